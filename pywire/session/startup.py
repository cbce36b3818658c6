"""A StartupMessage's parameters, read once.

Pure. The original bytes are kept, because a session is re-opened elsewhere with exactly the startup its client sent.
"""

from __future__ import annotations

from sys import intern

PROTOCOL_3_0 = 3 << 16
PROTOCOL_3_2 = (3 << 16) | 2


class Startup:
    """What a client asked for: user, database, and every other startup parameter.

    `body` is the message after the protocol version, verbatim: `name NUL value NUL … NUL`.
    """

    __slots__ = ("body", "database", "protocol", "user")

    def __init__(self, protocol: int, body: bytes) -> None:
        """Read `body`; raises ValueError when it is not a list of pairs closed by a NUL."""
        self.protocol = protocol
        self.body = body
        found = _pairs(body)
        self.user = intern(_text(found.get(b"user", b"")))
        # As PostgreSQL: an absent or empty database name means the user's name.
        self.database = intern(_text(found.get(b"database", b""))) or self.user

    @property
    def parameters(self) -> dict[str, str]:
        """Every startup parameter, user and database included, in the order sent."""
        return {_text(name): _text(value) for name, value in _pairs(self.body).items()}

    @property
    def replication(self) -> bool:
        """Whether this is a walsender connection, physical or logical."""
        if b"replication" not in self.body:
            return False
        value = _pairs(self.body).get(b"replication")
        return value is not None and value.lower() not in _FALSE

    @property
    def protocol_options(self) -> list[bytes]:
        """Names of the `_pq_.` options asked for; PostgreSQL knows none so far."""
        if b"_pq_." not in self.body:
            return []
        return [name for name in _pairs(self.body) if name.startswith(b"_pq_.")]

    def host_body(self) -> bytes:
        """The parameters as a host is to see them: verbatim, without `_pq_.` options."""
        if b"_pq_." not in self.body:
            return self.body
        kept = [
            n + b"\0" + v + b"\0"
            for n, v in _pairs(self.body).items()
            if not n.startswith(b"_pq_.")
        ]
        return b"".join(kept) + b"\0"

    def __repr__(self) -> str:
        return f"Startup(user={self.user!r}, database={self.database!r})"


_FALSE = frozenset((b"", b"0", b"f", b"fa", b"fal", b"fals", b"false", b"n", b"no", b"of", b"off"))


def _text(value: bytes) -> str:
    # PostgreSQL takes names as bytes; surrogateescape lets any of them make the round trip.
    return value.decode("utf-8", "surrogateescape")


def _pairs(body: bytes) -> dict[bytes, bytes]:
    """Split `name NUL value NUL … NUL`; a repeated name keeps its last value, as in PostgreSQL."""
    if body == b"\0":
        return {}
    parts = body.split(b"\0")
    # "a\0b\0\0" splits into [a, b, "", ""]: always even, with the two empty parts of the end.
    if len(parts) % 2 or parts[-2:] != [b"", b""] or b"" in parts[:-2:2]:
        raise ValueError("invalid startup packet layout: expected terminator as last byte")
    return dict(zip(parts[:-2:2], parts[1:-2:2], strict=True))
