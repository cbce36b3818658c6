"""trio around the engine: links, logins, sessions' bytes."""
