"""What has happened, in one vocabulary for logs, the admin console, metrics and tests.

Each event is a frozen dataclass with a past-tense name. `EventLog` keeps the last ones. Nothing
here knows the time (it is given), writes anything, or carries a secret or a statement.
"""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import ClassVar, TypeAlias

Field: TypeAlias = str | int | float | bool | None


class Level(IntEnum):
    """How much an operator cares; the names are those of `log.level`."""

    DEBUG = 10
    INFO = 20
    WARNING = 30
    ERROR = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base of all events; never made itself."""

    level: ClassVar[Level] = Level.INFO

    @classmethod
    def name(cls) -> str:
        """The event's name in logs: `session_opened` for SessionOpened."""
        return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", cls.__name__).lower()

    def to_fields(self) -> dict[str, Field]:
        """The event's own fields as plain values, in their order of definition."""
        return {field.name: _plain(getattr(self, field.name)) for field in fields(self)}


def _plain(value: object) -> Field:
    """A value a log line can carry; tuples become one comma-separated text."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, tuple):
        return ",".join(str(item) for item in value)
    return str(value)


# ---- pywire itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Event):
    """pywire accepts clients."""

    address: str
    driver: str
    workers: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DrainStarted(Event):
    """pywire takes no new clients and waits for those it has."""

    sessions: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped(Event):
    """The last thing pywire says."""

    sessions_closed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigChanged(Event):
    """A reload took effect; `restart_needed` names the fields that did not."""

    changed: tuple[str, ...]
    restart_needed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConfigRefused(Event):
    """A reload found a configuration that cannot be used; the old one stays in force."""

    level = Level.ERROR
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandGiven(Event):
    """An admin command that changes something was given."""

    user: str
    command: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed(Event):
    """Something that ought to work did not, and pywire went on."""

    level = Level.ERROR
    what: str
    reason: str


# ---- sessions


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionOpened(Event):
    """A client logged in and has a backend."""

    level = Level.DEBUG
    session: int
    user: str
    database: str
    host: str
    peer: str = ""
    tls: bool = False
    login_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Event):
    """A session is over, and both its sockets are gone."""

    level = Level.DEBUG
    session: int
    host: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionPinned(Event):
    """A session got something that cannot be recreated elsewhere."""

    level = Level.DEBUG
    session: int
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LoginRefused(Event):
    """A client was not let in."""

    level = Level.WARNING
    user: str
    database: str
    peer: str
    sqlstate: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelForwarded(Event):
    """A client's cancel request went on to the backend that runs its statement."""

    level = Level.DEBUG
    session: int
    host: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelIgnored(Event):
    """A cancel request had no statement to meet, or a key that is not ours."""

    level = Level.DEBUG
    peer: str
    reason: str


# ---- migration of one session


@dataclass(frozen=True, slots=True, kw_only=True)
class HoldStarted(Event):
    """The session's next request waits in pywire."""

    level = Level.DEBUG
    session: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Quiesced(Event):
    """The held session has every answer it asked for."""

    level = Level.DEBUG
    session: int
    waited_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class CutOver(Event):
    """The session's backend was exchanged; from here on it lives there."""

    level = Level.DEBUG
    session: int
    source: str
    target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated(Event):
    """A session lives on another host; its client saw a pause."""

    session: int
    source: str
    target: str
    pause_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationRefused(Event):
    """A session stays where it is, unharmed."""

    level = Level.WARNING
    session: int
    source: str
    target: str
    reason: str


# ---- the hosts of a cluster


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFound(Event):
    """A host answered, for the first time or again."""

    cluster: str
    host: str
    role: str
    timeline: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostLost(Event):
    """A host answers no longer."""

    level = Level.WARNING
    cluster: str
    host: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchoverStarted(Event):
    """A planned change of primary began."""

    cluster: str
    source: str
    target: str
    sessions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchoverRefused(Event):
    """A planned change of primary did not happen; the primary is who it was."""

    level = Level.WARNING
    cluster: str
    source: str
    target: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promoted(Event):
    """A host became primary."""

    cluster: str
    host: str
    timeline: int = 0
    lsn: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SynchronousStandbysChanged(Event):
    """A new primary was given its synchronous standbys; until then it confirmed commits alone."""

    cluster: str
    host: str
    names: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchoverFinished(Event):
    """A planned change of primary is complete, and the sessions have been taken along."""

    cluster: str
    source: str
    target: str
    migrated: int = 0
    refused: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fenced(Event):
    """A host was kept from writing under an old epoch."""

    level = Level.WARNING
    cluster: str
    host: str
    epoch: int = 0


# ---- the last events


@dataclass(frozen=True, slots=True)
class Recorded:
    """An event, when it happened (seconds since 1970) and its number, which only grows."""

    number: int
    at: float
    event: Event


Listener: TypeAlias = Callable[[Recorded], None]


class EventLog:
    """The last events, bounded; listeners hear of each as it is recorded.

    Args:
        events_max: how many are kept; the oldest makes room.
        clock: gives the time of day in seconds since 1970.
    """

    def __init__(self, clock: Callable[[], float], events_max: int = 1000) -> None:
        self._clock = clock
        self._recorded: deque[Recorded] = deque(maxlen=events_max)
        self._listeners: list[Listener] = []
        self._number = 0

    def emit(self, event: Event) -> None:
        """Record an event and tell the listeners, in the order they came."""
        self._number += 1
        recorded = Recorded(self._number, self._clock(), event)
        self._recorded.append(recorded)
        for listener in self._listeners:
            listener(recorded)

    def listen(self, listener: Listener) -> None:
        """From now on call `listener` with every event; it must not raise, wait or emit."""
        self._listeners.append(listener)

    def last(self, count: int | None = None) -> list[Recorded]:
        """The last `count` events, oldest first; all that are kept if None."""
        kept = list(self._recorded)
        return kept if count is None else kept[max(0, len(kept) - count) :]

    @property
    def number(self) -> int:
        """How many events there have been."""
        return self._number


def every_event() -> tuple[type[Event], ...]:
    """All kinds of events, in the order they are defined."""
    return tuple(
        value
        for value in globals().values()
        if isinstance(value, type) and issubclass(value, Event) and value is not Event
    )
