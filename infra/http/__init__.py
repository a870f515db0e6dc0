"""HTTP as all surfaces share it: the table of operations, problems, tokens, limits, traces and the OpenAPI document."""
