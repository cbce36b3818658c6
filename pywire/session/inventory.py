"""What must exist on another backend before a session may go on there, and what forbids going at all.

Pure. `Captured` is what the server said of a session, `Kept` what the relay kept of its requests; from the two come
an `Inventory` to re-create, or the reasons why not. What cannot be known for certain is a reason, never a guess.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from pywire.session.pins import Reason

__all__ = ["Captured", "Identity", "Inventory", "Kept", "differences", "pins", "plan"]

_PARSE_NAME_AT = 5


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the session is to the server."""

    session_user: str
    current_user: str
    role: str
    database: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """One answer to the capture query.

    Attributes:
        settings: what was SET in this session, by name, in the units of pg_settings.
        prepared: names of the statements prepared by the protocol.
        sql_prepared: how many were prepared by the SQL command.
        cursors, channels, advisory_locks, temporary: how many of each the session has.
    """

    identity: Identity
    settings: Mapping[str, str]
    prepared: frozenset[str]
    sql_prepared: int = 0
    cursors: int = 0
    channels: int = 0
    advisory_locks: int = 0
    temporary: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """What the relay kept: Parse messages verbatim, and the reasons its flags stand for."""

    statements: Sequence[bytes] = ()
    unnamed: bytes | None = None
    reasons: frozenset[Reason] = field(default_factory=frozenset)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What to re-create: settings, then named statements, then the unnamed one."""

    settings: Mapping[str, str]
    statements: tuple[bytes, ...]
    unnamed: bytes | None


def pins(captured: Captured, kept: Kept) -> frozenset[Reason]:
    """Every reason found why this session cannot move now."""
    found = set(kept.reasons)
    counted = (
        (captured.sql_prepared, Reason.SQL_PREPARED),
        (captured.cursors, Reason.CURSOR_HELD),
        (captured.channels, Reason.LISTEN),
        (captured.advisory_locks, Reason.ADVISORY_LOCK),
        (captured.temporary, Reason.TEMPORARY_OBJECT),
    )
    found |= {reason for count, reason in counted if count}
    names = [statement_name(frame) for frame in kept.statements]
    if not all(name.isascii() for name in names):
        found.add(
            Reason.PREPARED_DIFFERS
        )  # the server's view is in another encoding than the message
    elif captured.prepared - {name.decode() for name in names}:
        found.add(Reason.PREPARED_DIFFERS)
    return frozenset(found)


def plan(captured: Captured, kept: Kept) -> Inventory:
    """What to re-create for a session without pins. Statements the server no longer has are left out."""
    return Inventory(
        settings=dict(captured.settings),
        statements=tuple(
            frame
            for frame in kept.statements
            if statement_name(frame).decode("utf-8", "replace") in captured.prepared
        ),
        unnamed=kept.unnamed,
    )


def differences(source: Captured, target: Captured) -> frozenset[Reason]:
    """In what the re-created session is not the captured one; empty if a client could not tell them apart."""
    found = set()
    if source.identity != target.identity:
        found.add(Reason.ROLE_CHANGED)
    if dict(source.settings) != dict(target.settings):
        found.add(Reason.SETTING_DIFFERS)
    if source.prepared != target.prepared:
        found.add(Reason.PREPARED_DIFFERS)
    return frozenset(found)


def statement_name(frame: bytes) -> bytes:
    """The name a Parse message gives its statement; empty for the unnamed one."""
    return frame[_PARSE_NAME_AT : frame.index(b"\0", _PARSE_NAME_AT)]
