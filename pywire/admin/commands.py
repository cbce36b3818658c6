"""The console's commands as values: what can be asked, one frozen class each.

Pure. `parser` makes them, `console` carries them out, `HELP` lists them.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "HELP",
    "SHOWN",
    "Command",
    "Migrate",
    "Nothing",
    "Pause",
    "Polite",
    "Reload",
    "Resume",
    "Show",
    "Shutdown",
    "Switchover",
]


@dataclass(frozen=True, slots=True)
class Show:
    """`SHOW SESSIONS` and the like: read-only tables."""

    subject: str


@dataclass(frozen=True, slots=True)
class Migrate:
    """`MIGRATE SESSION id TO host`."""

    session: int
    host: str


@dataclass(frozen=True, slots=True)
class Switchover:
    """`SWITCHOVER cluster TO host [FORCE]`; with FORCE, sessions that cannot move are ended with 57P01."""

    cluster: str
    host: str
    force: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """`PAUSE [cluster]`: every session waits before its next transaction, logins wait too."""

    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Resume:
    """`RESUME [cluster]`: the end of a PAUSE."""

    cluster: str | None = None


@dataclass(frozen=True, slots=True)
class Reload:
    """`RELOAD`: read the configuration file again, as SIGHUP does."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """`SHUTDOWN [WAIT]`: end like SIGTERM; with WAIT only after every client has left by itself."""

    wait: bool = False


@dataclass(frozen=True, slots=True)
class Polite:
    """What drivers send at connect by themselves; answered so that they go on, and changing nothing."""

    tag: str
    column: str | None = None
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Nothing:
    """An empty query string."""


Command = Show | Migrate | Switchover | Pause | Resume | Reload | Shutdown | Polite | Nothing

SHOWN = {
    "clusters": "each cluster, its primary and its problems",
    "config": "the configuration in force",
    "events": "the latest events",
    "help": "these commands",
    "hosts": "each host, its role and how far it is behind",
    "sessions": "each session, where it is and what keeps it there",
    "stats": "counts of sessions, bytes and requests",
    "version": "pywire's version",
}

HELP = (
    *((f"SHOW {subject.upper()}", does) for subject, does in SHOWN.items()),
    ("MIGRATE SESSION id TO host", "move one session, between two transactions"),
    ("SWITCHOVER cluster TO host [FORCE]", "make a standby the primary, every session with it"),
    ("PAUSE [cluster]", "let every session wait before its next transaction"),
    ("RESUME [cluster]", "let them go on"),
    ("RELOAD", "read the configuration again"),
    ("SHUTDOWN [WAIT]", "let transactions end, then stop; WAIT: let clients leave first"),
)
