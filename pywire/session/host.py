"""Where a database host is and how it is reached.

Pure values made from the configuration. This module never resolves a name and never opens a socket.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class HostAddress:
    """One PostgreSQL server's address: a TCP host and port, or a Unix-domain socket."""

    host: str
    port: int
    unix_path: str | None = None

    @classmethod
    def parse(cls, text: str, *, port: int = 5432) -> HostAddress:
        """Read `host`, `host:port`, `[v6]:port`, or a socket's path (or its directory) starting with `/`.

        Raises:
            ValueError: the text is none of these.
        """
        if text.startswith("/"):
            path = text if ".s.PGSQL." in text else f"{text.rstrip('/')}/.s.PGSQL.{port}"
            return cls(host="localhost", port=int(path.rsplit(".", 1)[1]), unix_path=path)
        if text.startswith("["):
            host, bracket, rest = text[1:].partition("]")
            if not bracket or (rest and not rest.startswith(":")):
                raise ValueError(f"not a host address: {text!r}")
            number = rest[1:]
        elif text.count(":") > 1:
            host, number = text, ""
        else:
            host, _, number = text.partition(":")
        if not host:
            raise ValueError(f"not a host address: {text!r}")
        chosen = int(number) if number else port
        if not 0 < chosen < 65536:
            raise ValueError(f"not a port: {chosen}")
        return cls(host=host, port=chosen)

    def __str__(self) -> str:
        if self.unix_path is not None:
            return self.unix_path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class HostTls:
    """How TLS is spoken with a host.

    `context` is what `Relay.client_tls` returned; `required` is false only for `sslmode=prefer`.
    """

    context: int
    required: bool
    server_name: str
    direct: bool = False


@dataclass(frozen=True, slots=True)
class Host:
    """One database host of a cluster."""

    cluster: str
    name: str
    address: HostAddress
    tls: HostTls | None = None
