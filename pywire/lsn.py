"""PostgreSQL's positions in the write-ahead log, as ordered values.

`Lsn` reads and writes the manual's notation (`16/B374D848`). It never talks to a host, and it does
not order positions of different timelines: that takes the timelines' history.
"""

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import NewType, Self

TimelineId = NewType("TimelineId", int)
"""Which line of history the log belongs to: one more after every promotion."""

_LSN = re.compile(r"([0-9A-Fa-f]{1,8})/([0-9A-Fa-f]{1,8})")
_MAX = 2**64 - 1


@total_ordering
@dataclass(frozen=True, slots=True)
class Lsn:
    """A byte position in the write-ahead log.

    Attributes:
        position: bytes since the beginning of the log; 0 is PostgreSQL's "invalid" position.
    """

    position: int

    def __post_init__(self) -> None:
        if not 0 <= self.position <= _MAX:
            raise ValueError(f"an LSN is an unsigned 64-bit number, not {self.position}")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `16/B374D848`; anything else is a ValueError."""
        match = _LSN.fullmatch(text)
        if match is None:
            raise ValueError(f"not an LSN: {text[:40]!r}")
        return cls(int(match[1], 16) << 32 | int(match[2], 16))

    def __str__(self) -> str:
        return f"{self.position >> 32:X}/{self.position & 0xFFFFFFFF:X}"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Lsn):
            return NotImplemented
        return self.position < other.position

    def __sub__(self, other: "Lsn") -> int:
        """How many bytes of log lie between two positions; negative if `other` is ahead."""
        return self.position - other.position

    def __bool__(self) -> bool:
        """False for `0/0`, which PostgreSQL uses for "no position"."""
        return self.position != 0
