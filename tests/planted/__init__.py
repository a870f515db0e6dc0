"""The proof's proof: bugs that the guarantees forbid, planted one at a time in a copy, each caught by a named test."""
