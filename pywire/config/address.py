"""Where something listens: `host:port`, `[v6]:port`, or `/directory:port` for a Unix socket.

A value only; it never resolves a name and never opens a socket.
"""

from dataclasses import dataclass
from typing import Self

PORT_DEFAULT = 5432


@dataclass(frozen=True, slots=True)
class Address:
    """A PostgreSQL server's address.

    Attributes:
        host: a name or an address without brackets; the directory if it is a Unix socket's.
        port: the port, which also names the socket in its directory.
    """

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address; ValueError says what is wrong with it."""
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            if not bracket or rest[:1] not in ("", ":"):
                raise ValueError('an IPv6 address is written "[address]:port"')
            return cls(host, _port(rest[1:]))
        host, _, port = text.rpartition(":")
        if not host:
            host, port = (port, "") if ":" not in text else ("", port)
        if ":" in host:
            raise ValueError('an IPv6 address is written "[address]:port"')
        if not host or any(letter.isspace() for letter in host):
            raise ValueError('an address is written "host:port" or "/directory:port"')
        return cls(host.rstrip("/") or "/" if host.startswith("/") else host, _port(port))

    @property
    def is_unix(self) -> bool:
        """Whether this is a Unix socket's directory rather than a host."""
        return self.host.startswith("/")

    @property
    def unix_path(self) -> str | None:
        """The path of the Unix socket, by PostgreSQL's convention; None if it is not one."""
        return unix_socket_path(self.host, self.port) if self.is_unix else None

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def unix_socket_path(directory: str, port: int) -> str:
    """The path PostgreSQL gives its socket in a directory."""
    return f"{directory.rstrip('/')}/.s.PGSQL.{port}"


def _port(text: str) -> int:
    if not text:
        return PORT_DEFAULT
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError(f"not a port: {text!r} (a number from 1 to 65535)")
    return int(text)
