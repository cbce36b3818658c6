"""What pg_controldata says of a stopped server.

Pure: it parses the program's output under LC_ALL=C. The one number that matters at a switchover is the latest
checkpoint's location, since after a clean shutdown it is the last record the server ever wrote.
"""

from __future__ import annotations

from dataclasses import dataclass

from pywire.lsn import Lsn

__all__ = ["ControlData", "parse_controldata"]

SHUT_DOWN = "shut down"
SHUT_DOWN_IN_RECOVERY = "shut down in recovery"


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlData:
    """The lines of pg_controldata that pywire needs."""

    system_identifier: int
    state: str
    checkpoint_lsn: Lsn
    timeline: int

    @property
    def clean(self) -> bool:
        """True if the server wrote a shutdown checkpoint as primary and nothing after it."""
        return self.state == SHUT_DOWN


def parse_controldata(text: str) -> ControlData:
    """Read the output of pg_controldata; ValueError names the line that is missing."""
    lines = dict(_split(line) for line in text.splitlines() if ":" in line)

    def line(name: str) -> str:
        if name not in lines:
            raise ValueError(f"pg_controldata does not show: {name}")
        return lines[name]

    return ControlData(
        system_identifier=int(line("Database system identifier")),
        state=line("Database cluster state"),
        checkpoint_lsn=Lsn.parse(line("Latest checkpoint location")),
        timeline=int(line("Latest checkpoint's TimeLineID")),
    )


def _split(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip(), value.strip()
