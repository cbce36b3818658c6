"""The phases of a switchover and of a migration: which can be undone, and what a client is told if one ends it.

Pure; the only place that says so. The documentation's tables are generated from it, `switchover` names the phase it
is in, and its clean-up asks `reversible` instead of remembering.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["MIGRATION", "SWITCHOVER", "Phase", "Step", "step"]


class Phase(Enum):
    """Where a switchover or a migration stands."""

    CHECKING = "checking"
    CHECKPOINTING = "checkpointing"
    CONNECTING = "connecting"
    HOLDING = "holding"
    DRAINING = "draining"
    CAPTURING = "capturing"
    RESTORING = "restoring"
    STOPPING = "stopping"
    VERIFYING = "verifying"
    PROMOTING = "promoting"
    CUTTING_OVER = "cutting_over"
    RELEASING = "releasing"
    ATTACHING = "attaching"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Step:
    """One row: `reversible` means that failing here leaves every client on the host it had, none the wiser."""

    phase: Phase
    reversible: bool
    does: str
    on_failure: str


_STAYS = "nothing: its session goes on where it was"
_RETURNS = "nothing: the primary is started again, and its session goes on there"

SWITCHOVER = (
    Step(
        Phase.CHECKING,
        True,
        "the target is a streaming standby of this primary, close behind",
        _STAYS,
    ),
    Step(
        Phase.CHECKPOINTING,
        True,
        "CHECKPOINT on the primary, so that stopping it is quick",
        _STAYS,
    ),
    Step(
        Phase.CONNECTING,
        True,
        "log every session in on the target and carry its state over, while it goes on",
        _STAYS,
    ),
    Step(
        Phase.HOLDING,
        True,
        "requests that would begin a transaction wait; new logins wait",
        _STAYS,
    ),
    Step(
        Phase.DRAINING,
        True,
        "open transactions run to their end; what has changed since is carried over",
        _STAYS,
    ),
    Step(
        Phase.STOPPING,
        True,
        "fast shutdown of the primary",
        _RETURNS,
    ),
    Step(
        Phase.VERIFYING,
        True,
        "the target has replayed the primary's last record; the primary is fenced",
        _RETURNS,
    ),
    Step(
        Phase.PROMOTING,
        False,
        "the target becomes primary",
        "57P01: log in again, on whichever host is primary",
    ),
    Step(
        Phase.CUTTING_OVER,
        False,
        "each session goes on with its backend on the new primary",
        "57P01, only the session whose new backend has gone",
    ),
    Step(Phase.RELEASING, False, "requests and logins flow again", _STAYS),
    Step(
        Phase.ATTACHING,
        False,
        "the old primary comes back as standby; synchronous names are set again",
        _STAYS,
    ),
    Step(Phase.DONE, False, "nothing is left to do", _STAYS),
)

MIGRATION = (
    Step(Phase.CHECKING, True, "the session is not pinned and the target answers", _STAYS),
    Step(Phase.CONNECTING, True, "log the session in on the target", _STAYS),
    Step(Phase.HOLDING, True, "its next request waits; the open transaction may end", _STAYS),
    Step(Phase.CAPTURING, True, "read its state from the source", _STAYS),
    Step(Phase.RESTORING, True, "re-create it on the target and compare", _STAYS),
    Step(
        Phase.CUTTING_OVER,
        False,
        "swap the backend; the source's is told Terminate",
        "57P01: its connection is closed",
    ),
    Step(Phase.DONE, False, "nothing is left to do", _STAYS),
)


def step(table: tuple[Step, ...], phase: Phase) -> Step:
    """The row of `phase`; KeyError is our bug."""
    for row in table:
        if row.phase is phase:
            return row
    raise KeyError(phase)
