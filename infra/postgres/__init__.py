"""PostgreSQL: the schema of the read models, the pool of the query API, and the one read that two folders share."""
