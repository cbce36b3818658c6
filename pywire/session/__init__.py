"""What a session is, and what is known about it. Pure."""
