"""The wire of each documented contract: shapes, status and error tables, messages in the document's language. Pure."""
