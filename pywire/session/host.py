"""Where a database host is and how it is reached.

Pure values made from the configuration. This module never resolves a name and never opens a socket.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, Self

from pywire.config.address import Address
from pywire.config.model import HostConfig


@dataclass(frozen=True, slots=True)
class HostAddress:
    """One PostgreSQL server's address: a TCP host and port, or a Unix-domain socket."""

    host: str
    port: int
    unix_path: str | None = None

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read an address as the configuration writes it; ValueError says what is wrong."""
        address = Address.parse(text)
        return cls(address.host, address.port, address.unix_path)

    @classmethod
    def from_config(cls, host: HostConfig) -> Self:
        """Take the address to dial: the Unix socket where the configuration gives one."""
        return cls(host.address.host, host.address.port, host.unix_path)

    def __str__(self) -> str:
        if self.unix_path is not None:
            return self.unix_path
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class ClientTls(Protocol):
    """A TLS context for dialling; opaque, made by Relay.client_tls."""


@dataclass(frozen=True, slots=True)
class HostTls:
    """How TLS is spoken with a host.

    `context` is what `Relay.client_tls` returned; `required` is false only for `sslmode=prefer`.
    """

    context: ClientTls
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
