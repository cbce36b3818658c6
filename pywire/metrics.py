"""Counters made from events, so that what is counted is what was logged.

A plain listener of the event log. It asks nobody and serves nothing: the admin console shows it,
and later an exporter may.
"""

from collections import Counter

from pywire.events import (
    LoginRefused,
    Migrated,
    MigrationRefused,
    Recorded,
    SessionClosed,
    SessionOpened,
)


class Metrics:
    """How often each event happened, and the pauses sessions saw.

    Attributes:
        sessions: how many are open.
        pause_seconds_sum: of all migrations together.
        pause_seconds_max: the longest.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.sessions = 0
        self.pause_seconds_sum = 0.0
        self.pause_seconds_max = 0.0

    def count(self, recorded: Recorded) -> None:
        """Take one event into account: `events.listen(metrics.count)`."""
        event = recorded.event
        self._counts[event.name()] += 1
        match event:
            case SessionOpened():
                self.sessions += 1
            case SessionClosed():
                self.sessions -= 1
            case Migrated():
                self.pause_seconds_sum += event.pause_seconds
                self.pause_seconds_max = max(self.pause_seconds_max, event.pause_seconds)

    def rows(self) -> list[tuple[str, float]]:
        """Name and value of everything counted, in a stable order."""
        fixed: list[tuple[str, float]] = [
            ("sessions", self.sessions),
            ("sessions_opened", self._counts[SessionOpened.name()]),
            ("logins_refused", self._counts[LoginRefused.name()]),
            ("migrations", self._counts[Migrated.name()]),
            ("migrations_refused", self._counts[MigrationRefused.name()]),
            ("pause_seconds_sum", self.pause_seconds_sum),
            ("pause_seconds_max", self.pause_seconds_max),
        ]
        counted = [(f"event_{name}", float(n)) for name, n in sorted(self._counts.items())]
        return fixed + counted
