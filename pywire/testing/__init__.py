"""A public kit of stand-ins: an engine without threads, a PostgreSQL without a server."""
