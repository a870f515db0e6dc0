"""HTTP to commands: every write path, up to the log and back with the answer."""
