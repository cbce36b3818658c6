"""The steps every move of a session shares: may it, its state from one backend to another, and the books afterwards.

Used by `migrate` for one session and by the switchover for all of a cluster. Nothing here holds or releases.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import trio

from pywire.errors import HostRejected, HostUnreachable, PywireError
from pywire.migration.capture import CaptureFailed, capture, sqlstate_in
from pywire.migration.restore import news_for_client, restore
from pywire.migration.tools import Tools
from pywire.relay.port import Backend, HeldSession, LinkClosed, LoginRefused
from pywire.session.host import Host
from pywire.session.inventory import Captured, Inventory, Kept, pins, plan
from pywire.session.pins import Reason, reasons_of_flags
from pywire.session.session import Session
from pywire.wire import messages

__all__ = [
    "Carried",
    "Looked",
    "carry",
    "known_reasons",
    "open_target",
    "re_create",
    "settle",
    "synchronise",
]

_IDLE = ord("I")
_TOO_MANY = "53300"
_AUTHORIZATION_CLASS = "28"
_BY_LABEL = {reason.label: reason for reason in Reason}
_PARAMETER_STATUS = 0x53
_REPLAY_SECONDS = (0.0, 0.01, 0.05, 0.2)


@dataclass(frozen=True, slots=True)
class Looked:
    """A session's state as found on its backend; with reasons, it cannot move."""

    reasons: frozenset[Reason]
    source: Captured | None = None
    inventory: Inventory | None = None
    requests: int | None = None


@dataclass(frozen=True, slots=True)
class Carried:
    """A session's state as it now also exists on another backend; with reasons, it does not.

    Attributes:
        reported: ParameterStatus bodies the new backend has sent since its login.
        requests: how many requests the client had made when its state was read; None if nobody counted.
    """

    reasons: frozenset[Reason]
    source: Captured | None = None
    inventory: Inventory | None = None
    reported: tuple[bytes, ...] = ()
    requests: int | None = None


def known_reasons(session: Session) -> frozenset[Reason]:
    """Why the session cannot move, as far as that is known without asking its host."""
    noted = {_BY_LABEL.get(pin, Reason.UNKNOWN_SESSION_STATE) for pin in session.pins}
    if session.startup.replication:
        noted.add(Reason.REPLICATION)
    return frozenset(noted) | reasons_of_flags(session.flags)


async def open_target(session: Session, host: Host, tools: Tools) -> Backend | Reason:
    """Log the session in on `host`, or say why that cannot be."""
    try:
        return await tools.hosts.reopen(session, host)
    except LoginRefused as refused:
        if refused.code == _TOO_MANY:
            return Reason.TARGET_FULL
        unproven = refused.code.startswith(_AUTHORIZATION_CLASS)
        return Reason.CREDENTIALS_MISSING if unproven else Reason.TARGET_UNREACHABLE
    except HostRejected:
        return Reason.CREDENTIALS_MISSING
    except (HostUnreachable, LinkClosed, PywireError):
        return Reason.TARGET_UNREACHABLE
    except ValueError:
        # The session ended meanwhile, and its credentials were wiped.
        if tools.registry.get(session.id) is not None:
            raise
        return Reason.TARGET_UNREACHABLE


async def look(held: HeldSession) -> Looked:
    """Read the held session's state from its backend."""
    note = held.note
    if not note.quiescent:
        return Looked(frozenset({Reason.NOT_QUIESCENT}))
    if note.status != _IDLE:
        return Looked(frozenset({Reason.TRANSACTION_OPEN}))
    if flagged := reasons_of_flags(note.flags):
        return Looked(flagged)
    try:
        source = await capture(held.request)
    except CaptureFailed:
        return Looked(frozenset({Reason.UNKNOWN_SESSION_STATE}))
    kept = Kept(statements=note.statements, unnamed=note.unnamed)
    if reasons := pins(source, kept):
        return Looked(reasons)
    return Looked(frozenset(), source, plan(source, kept), note.requests)


async def carry(held: HeldSession, backend: Backend, before: Carried | None = None) -> Carried:
    """Read the held session's state from its backend and re-create it on `backend`.

    Args:
        held: the session.
        backend: a fresh one, or the one `before` speaks of.
        before: what was carried there a moment ago, while the session went on; often nothing has changed since.
    """
    if before is not None and _untouched(before, held):
        return before
    looked = await look(held)
    if looked.source is None or looked.inventory is None:
        return Carried(looked.reasons)
    try:
        if before is not None and await _still_good(before, looked, backend):
            return replace(before, inventory=looked.inventory)
        return await _re_create_patiently(backend, looked, before)
    except LinkClosed:
        return Carried(frozenset({Reason.TARGET_UNREACHABLE}))


def _untouched(before: Carried, held: HeldSession) -> bool:
    """Whether the client has not asked for anything since: then nothing can have changed."""
    note = held.note
    idle = note.quiescent and note.status == _IDLE
    return idle and not before.reasons and before.requests == note.requests


async def _still_good(before: Carried, looked: Looked, backend: Backend) -> bool:
    """Whether what was carried before is what there is now, but perhaps for the unnamed statement."""
    if before.reasons or before.inventory is None or looked.inventory is None:
        return False
    if before.source != looked.source:
        return False
    if before.inventory == looked.inventory:
        return True
    unnamed = looked.inventory.unnamed
    if replace(before.inventory, unnamed=unnamed) != looked.inventory:
        return False
    frame = unnamed if unnamed is not None else messages.close_statement(b"")
    return sqlstate_in(await backend.request(frame + messages.SYNC)) is None


async def _re_create_patiently(backend: Backend, looked: Looked, before: Carried | None) -> Carried:
    """Re-create what was found; a standby may not yet have replayed what a statement speaks of."""
    assert looked.source is not None
    assert looked.inventory is not None
    reported = before.reported if before is not None else ()
    carried = Carried(frozenset({Reason.TARGET_UNREACHABLE}))
    for attempt, seconds in enumerate(_REPLAY_SECONDS):
        if attempt or before is not None:
            await trio.sleep(seconds)
            reported += await _discard(backend)
        carried = await re_create(backend, looked.inventory, looked.source)
        reported += carried.reported
        if carried.reasons != {Reason.PREPARED_DIFFERS}:
            break
    return replace(carried, reported=reported)


async def _discard(backend: Backend) -> tuple[bytes, ...]:
    """Make a backend as good as new, whatever was tried on it."""
    frames = messages.query("rollback") + messages.query("discard all")
    return _reported(await backend.request(frames, ready=2))


async def re_create(backend: Backend, inventory: Inventory, source: Captured) -> Carried:
    """Re-create what was captured earlier on a backend."""
    try:
        restored = await restore(backend.request, inventory, source)
    except LinkClosed:
        return Carried(frozenset({Reason.TARGET_UNREACHABLE}))
    return Carried(restored.reasons, source, inventory, restored.reported)


async def synchronise(backend: Backend) -> tuple[bytes, ...]:
    """One empty request: it shows that the backend lives, and brings what it has to report (in_hot_standby)."""
    return _reported(await backend.request(messages.SYNC))


def _reported(replies: list[tuple[int, bytes]]) -> tuple[bytes, ...]:
    return tuple(body for tag, body in replies if tag == _PARAMETER_STATUS)


async def settle(
    held: HeldSession,
    session: Session,
    backend: Backend,
    reported: tuple[bytes, ...],
    tools: Tools,
) -> None:
    """Cut the held session over to `backend`, tell its client what really differs, and keep the books.

    Raises:
        LinkClosed, CommandRefused: the session ended meanwhile.
    """
    news, now = news_for_client(session.parameters, backend.parameters, reported)
    host, link = backend.host.name, backend.link.id
    process_id, key = backend.process_id, backend.key
    await held.cut_over(backend, news)
    old_host = session.host
    told = b"".join(
        messages.parameter_status(name.encode(), value.encode("utf-8", "surrogateescape"))
        for name, value in now.items()
    )
    session.moved(
        host=host,
        backend=link,
        process_id=process_id,
        key=key,
        reported=tools.registry.shared_report(told),
    )
    tools.registry.moved(session, old_host)
