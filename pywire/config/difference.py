"""What a reload would change, and which of it has to wait for a restart.

Compares two configurations field by field; it applies nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pywire.config.model import ClusterConfig
from pywire.config.setting import settings

if TYPE_CHECKING:
    from pywire.config.parse import Config


@dataclass(frozen=True, slots=True)
class Change:
    """One field with another value than before.

    Attributes:
        place: as in a Problem: `listen.tls_mode`.
        restart_needed: whether the old value stays in force until pywire is started again.
    """

    place: str
    restart_needed: bool

    def __str__(self) -> str:
        return self.place


def diff(old: Config, new: Config) -> list[Change]:
    """Every field whose value differs, in the order of the reference page."""
    changes: list[Change] = []
    for name in ("listen", "relay", "login", "migration", "admin", "log"):
        changes += _section(getattr(old, name), getattr(new, name), name)
    for name in dict.fromkeys([*old.clusters, *new.clusters]):
        before, after = old.clusters.get(name), new.clusters.get(name)
        if before is None or after is None:
            changes.append(Change(f"cluster.{name}", restart_needed=True))
        else:
            changes += _cluster(before, after, f"cluster.{name}")
    return changes


def _cluster(old: ClusterConfig, new: ClusterConfig, place: str) -> Iterator[Change]:
    yield from _section(old, new, place)
    for name in dict.fromkeys(host.name for host in (*old.hosts, *new.hosts)):
        before, after = old.host(name), new.host(name)
        if before is None or after is None:
            yield Change(f"{place}.host {name}", restart_needed=True)
        else:
            yield from _section(before, after, f"{place}.host {name}")


def _section(old: Any, new: Any, place: str) -> Iterator[Change]:
    for item, about in settings(old):
        if getattr(old, item.name) != getattr(new, item.name):
            yield Change(f"{place}.{item.name}", restart_needed=about.restart)
