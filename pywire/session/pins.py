"""Why a session may not move now: one reason per kind of state that would be lost or changed by moving.

Pure. A reason is an answer, not an error: it is shown by `SHOW SESSIONS`, in events and in refusals, and it
never reaches a client by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum, IntFlag

__all__ = ["PINNING", "Flag", "Reason", "reasons_of_flags", "sentences"]


class Reason(Enum):
    """A reason why a session stays where it is; the value is the sentence an operator reads."""

    ADVISORY_LOCK = "It holds session-level advisory locks, which another host would not know."
    ATTEMPTS_EXCEEDED = "Its transactions did not end soon enough at any of the attempts allowed."
    CODE_BLOCK = "It ran code whose effects on the session cannot be read back from the server."
    CONNECTION = "Its backend holds a connection or a replication origin of its own."
    CREDENTIALS_MISSING = (
        "The target host wants a proof of identity that pywire cannot give for this user."
    )
    CURSOR_HELD = "It has a cursor WITH HOLD open, whose rows exist only on this host."
    CUSTOM_PARAMETER = "It may have set a parameter that the server does not list, so its value cannot be read back."
    DEALLOCATED = (
        "It deallocated or discarded statements in a way that cannot be followed for certain."
    )
    LISTEN = "It listens on notification channels, and notifications would be missed in between."
    LOADED_LIBRARY = "It loaded a shared library with LOAD."
    MOVED_RECENTLY = "It was moved a moment ago; sessions are not sent back and forth."
    NOT_QUIESCENT = "A request of its client is not answered yet."
    PAUSE_EXCEEDED = "It could not be moved within the longest pause its client may see."
    PREPARED_DIFFERS = "Its prepared statements could not be re-created exactly."
    RANDOM_SEED = (
        "It called setseed(), and the series of random numbers continues only on this host."
    )
    REPLICATION = "It is a replication connection, which follows one host's WAL."
    ROLE_CHANGED = "It changed its role or session authorization."
    SEQUENCE_STATE = "It asked for currval() or lastval(), which only this host can answer."
    SETTING_DIFFERS = "One of its settings could not be re-created exactly on the target host."
    SQL_PREPARED = "It made prepared statements with the SQL command PREPARE."
    STATEMENTS_OVERFLOW = "Its prepared statements exceed the memory pywire keeps for them."
    TARGET_FULL = "The target host takes no more connections."
    TARGET_LAGS = "The target host has not yet replayed what this session has written."
    TARGET_UNREACHABLE = "The target host did not accept a connection for this session."
    TEMPORARY_OBJECT = "It has temporary tables, views or sequences."
    TRANSACTION_OPEN = "It is inside a transaction block."
    UNKNOWN_SESSION_STATE = "It ran a statement whose effect on the session is not understood."
    UNTRACKED = "Its conversation with the server could not be followed exactly."

    @property
    def label(self) -> str:
        """The short form, as shown in tables: lower case with underscores."""
        return self.name.lower()


def sentences(reasons: Iterable[Reason]) -> str:
    """All reasons as one text, in a fixed order, so that two equal sets read the same."""
    return " ".join(reason.value for reason in sorted(set(reasons), key=lambda reason: reason.name))


class Flag(IntFlag):
    """What the relay has noticed in a session's statements: `StatementFlags` of rust/wire, name for name."""

    SET = 1 << 0
    SET_CONFIG = 1 << 1
    RESET = 1 << 2
    DISCARD = 1 << 3
    DEALLOCATE = 1 << 4
    PREPARE = 1 << 5
    LISTEN = 1 << 6
    UNLISTEN = 1 << 7
    TEMPORARY = 1 << 8
    DECLARE = 1 << 9
    ADVISORY = 1 << 10
    SEQUENCE = 1 << 11
    SETSEED = 1 << 12
    LOAD = 1 << 13
    DO = 1 << 14
    CALL = 1 << 15
    CONNECTION = 1 << 16
    ESCAPED = 1 << 17
    FUNCTION_CALL = 1 << 18
    SET_CUSTOM = 1 << 19
    STATEMENTS_OVERFLOW = 1 << 24
    REPLICATION = 1 << 25


PINNING = {
    # A name given to set_config() may be a custom parameter's, and those the server does not list.
    Flag.SET_CONFIG: Reason.CUSTOM_PARAMETER,
    Flag.SET_CUSTOM: Reason.CUSTOM_PARAMETER,
    Flag.SEQUENCE: Reason.SEQUENCE_STATE,
    Flag.SETSEED: Reason.RANDOM_SEED,
    Flag.LOAD: Reason.LOADED_LIBRARY,
    Flag.DO: Reason.CODE_BLOCK,
    Flag.CALL: Reason.CODE_BLOCK,
    Flag.CONNECTION: Reason.CONNECTION,
    Flag.ESCAPED: Reason.UNKNOWN_SESSION_STATE,
    Flag.FUNCTION_CALL: Reason.UNKNOWN_SESSION_STATE,
    Flag.STATEMENTS_OVERFLOW: Reason.STATEMENTS_OVERFLOW,
    Flag.REPLICATION: Reason.REPLICATION,
}
"""Flags that pin by themselves. What the others stand for, the server can be asked about when the time comes."""


def reasons_of_flags(flags: int) -> frozenset[Reason]:
    """The reasons that a session's flags alone give."""
    return frozenset(reason for flag, reason in PINNING.items() if flags & flag)
