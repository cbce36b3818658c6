"""What the manager's events mean, in a line each for whoever watches.

Pure: rows of SHOW EVENTS in, text out. What says nothing to a spectator has no line.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

Details = Mapping[str, str | int | float | bool | None]


def line_of(event: str, details: Details) -> str | None:
    """Return what to show for an event, or None."""
    match event:
        case "switchover_started":
            source, target, sessions = (details[key] for key in ("source", "target", "sessions"))
            return (
                f"{source} → {target}: {sessions} sessions finish their transactions and are held"
            )
        case "host_lost":
            return f"{details['host']} does not answer: {details['reason']}"
        case "promoted":
            seconds = float(details["seconds"] or 0)
            timeline = details["timeline"]
            return f"{details['host']} is promoted in {seconds:.2f} s, timeline {timeline}"
        case "host_found" if details["role"] == "standby":
            return f"{details['host']} follows as a standby"
        case "switchover_refused" | "migration_refused":
            return f"refused: {details['reason']}"
        case "failed":
            return f"{details['what']} failed: {details['reason']}"
    return None


class Story:
    """Remembers which events have been told, and which host is leaving the primary's place."""

    def __init__(self) -> None:
        self._told = 0
        self._leaving: object = None

    def new_lines(self, rows: list[dict[str, str]]) -> list[str]:
        """Return the lines of the events that are new among `rows`, the oldest first."""
        lines: list[str] = []
        for row in sorted(rows, key=lambda row: int(row["number"])):
            if int(row["number"]) <= self._told:
                continue
            self._told = int(row["number"])
            if (line := self._line(row["event"], json.loads(row["details"]))) is not None:
                lines.append(line)
        return lines

    def _line(self, event: str, details: Details) -> str | None:
        match event:
            case "switchover_started":
                self._leaving = details["source"]
            case "switchover_finished" | "switchover_refused":
                self._leaving = None
            case "host_lost" if details["host"] == self._leaving:
                return f"{details['host']} has stopped, as it should"
        return line_of(event, details)


def closing_line(rows: list[dict[str, str | int | float | bool | None]], seconds: float) -> str:
    """Return what a switchover came to, from the answer to its command."""
    row = rows[0]
    line = (
        f"{row['migrated']} sessions live on {row['primary']}; they paused {_ms(row['pause_ms'])}"
    )
    if row["ended"]:
        line += f", {row['ended']} had to be ended"
    return f"{line} ({seconds:.1f} s in all)"


def _ms(value: str | float | bool | None) -> str:
    return f"{float(value or 0):,.0f} ms"
