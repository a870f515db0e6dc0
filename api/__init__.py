"""Read models to HTTP: the query side of the native surface."""
