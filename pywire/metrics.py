"""Counters made from events, so that what is counted is what was logged.

A plain listener of the event log. It asks nobody and serves nothing: the admin console shows it,
and later an exporter may. Sessions are counted by their registry: their beginnings and ends are
events only where the log asks for them.
"""

from collections import Counter

from pywire.events import LoginRefused, Migrated, MigrationRefused, Recorded


class Metrics:
    """How often each event happened, and the pauses sessions saw.

    Attributes:
        pause_seconds_sum: of all migrations together.
        pause_seconds_max: the longest.
    """

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self.pause_seconds_sum = 0.0
        self.pause_seconds_max = 0.0

    def count(self, recorded: Recorded) -> None:
        """Take one event into account: `events.listen(metrics.count)`."""
        event = recorded.event
        self._counts[event.name()] += 1
        if isinstance(event, Migrated):
            self.pause_seconds_sum += event.pause_seconds
            self.pause_seconds_max = max(self.pause_seconds_max, event.pause_seconds)

    def rows(self) -> list[tuple[str, float]]:
        """Name and value of everything counted, in a stable order."""
        fixed: list[tuple[str, float]] = [
            ("logins_refused", self._counts[LoginRefused.name()]),
            ("migrations", self._counts[Migrated.name()]),
            ("migrations_refused", self._counts[MigrationRefused.name()]),
            ("pause_seconds_sum", self.pause_seconds_sum),
            ("pause_seconds_max", self.pause_seconds_max),
        ]
        counted = [(f"event_{name}", float(n)) for name, n in sorted(self._counts.items())]
        return fixed + counted
