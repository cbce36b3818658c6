"""Proving who a client is, and proving it again to a host. Pure: no sockets, no clock."""
