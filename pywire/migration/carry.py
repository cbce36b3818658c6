"""The steps every move of a session shares: may it, its state from one backend to another, and the books afterwards.

Used by `migrate` for one session and by the switchover for all of a cluster. Nothing here holds or releases.
"""

from __future__ import annotations

from dataclasses import dataclass

from pywire.errors import HostRejected, HostUnreachable, PywireError
from pywire.migration.capture import CaptureFailed, capture
from pywire.migration.restore import news_for_client, restore
from pywire.migration.tools import Tools
from pywire.relay.port import Backend, HeldSession, LinkClosed, LoginRefused
from pywire.session.host import Host
from pywire.session.inventory import Captured, Inventory, Kept, pins, plan
from pywire.session.pins import Reason, reasons_of_flags
from pywire.session.session import Session
from pywire.wire import messages

__all__ = ["Carried", "carry", "known_reasons", "open_target", "re_create", "settle", "synchronise"]

_IDLE = ord("I")
_PARAMETER_STATUS = 0x53


@dataclass(frozen=True, slots=True)
class Carried:
    """A session's state as it now also exists on another backend; with reasons, it does not.

    Attributes:
        reported: ParameterStatus bodies the new backend has sent since its login.
    """

    reasons: frozenset[Reason]
    source: Captured | None = None
    inventory: Inventory | None = None
    reported: tuple[bytes, ...] = ()


def known_reasons(session: Session) -> frozenset[Reason]:
    """Why the session cannot move, as far as that is known without asking its host."""
    by_label = {reason.label: reason for reason in Reason}
    noted = {by_label.get(pin, Reason.UNKNOWN_SESSION_STATE) for pin in session.pins}
    if session.startup.replication:
        noted.add(Reason.REPLICATION)
    return frozenset(noted) | reasons_of_flags(session.flags)


async def open_target(session: Session, host: Host, tools: Tools) -> Backend | Reason:
    """Log the session in on `host`, or say why that cannot be."""
    try:
        return await tools.hosts.reopen(session, host)
    except (HostRejected, LoginRefused):
        return Reason.CREDENTIALS_MISSING
    except (HostUnreachable, LinkClosed, PywireError):
        return Reason.TARGET_UNREACHABLE
    except ValueError:
        # The session ended meanwhile, and its credentials were wiped.
        if tools.registry.get(session.id) is not None:
            raise
        return Reason.TARGET_UNREACHABLE


async def carry(held: HeldSession, backend: Backend) -> Carried:
    """Read the held session's state from its backend and re-create it on `backend`."""
    note = held.note
    if not note.quiescent:
        return Carried(frozenset({Reason.NOT_QUIESCENT}))
    if note.status != _IDLE:
        return Carried(frozenset({Reason.TRANSACTION_OPEN}))
    flagged = reasons_of_flags(note.flags)
    if flagged:
        return Carried(flagged)
    try:
        source = await capture(held.request)
    except CaptureFailed:
        return Carried(frozenset({Reason.UNKNOWN_SESSION_STATE}))
    kept = Kept(statements=note.statements, unnamed=note.unnamed, reasons=flagged)
    if reasons := pins(source, kept):
        return Carried(reasons)
    return await re_create(backend, plan(source, kept), source)


async def re_create(backend: Backend, inventory: Inventory, source: Captured) -> Carried:
    """Re-create what was captured earlier on a backend."""
    try:
        restored = await restore(backend.request, inventory, source)
    except LinkClosed:
        return Carried(frozenset({Reason.TARGET_UNREACHABLE}))
    return Carried(restored.reasons, source, inventory, restored.reported)


async def synchronise(backend: Backend) -> tuple[bytes, ...]:
    """One empty request: it shows that the backend lives, and brings what it has to report (in_hot_standby)."""
    replies = await backend.request(messages.SYNC)
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
