"""What a move needs from the rest of pywire, as one value, so that a test can hand in its own.

Protocols and a frozen dataclass; nothing here acts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pywire.config import MigrationConfig
from pywire.events import Event
from pywire.relay.port import Backend, Relay
from pywire.session.host import Host
from pywire.session.registry import SessionRegistry
from pywire.session.session import Session

__all__ = ["Hosts", "Tools"]


class Hosts(Protocol):
    """Who opens backends on hosts."""

    async def service(self, cluster: str, host: str) -> Backend:
        """Log in as the cluster's service user; raises HostUnreachable or HostRejected."""

    async def reopen(self, session: Session, host: Host) -> Backend:
        """Log a session in on another host, exactly as its client did; raises as `service`."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The verbs and registries a move uses.

    Attributes:
        policy: a function, since a reload may change the limits.
    """

    relay: Relay
    registry: SessionRegistry
    hosts: Hosts
    emit: Callable[[Event], None]
    policy: Callable[[], MigrationConfig]
