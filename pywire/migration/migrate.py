"""One session moves to another host, outside a transaction; its client sees a pause and nothing else.

Before the cut-over every way out leaves the client where it was, untouched: `holding` always sets it going again. A
session may be sent to a standby if its operator asks; it can only read there, and the outcome says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import trio

from pywire.cluster.topology import Topology
from pywire.errors import PywireError
from pywire.events import CutOver, HoldStarted, Migrated, MigrationRefused, Quiesced
from pywire.lsn import Lsn
from pywire.migration.carry import carry, known_reasons, open_target, settle
from pywire.migration.tools import Tools
from pywire.relay.port import Backend, CommandRefused, HeldSession, LinkClosed
from pywire.session.host import Host
from pywire.session.pins import Reason, sentences
from pywire.session.session import Session

__all__ = ["Gone", "Moved", "Outcome", "Refused", "RestBetweenMoves", "migrate"]

REST_SECONDS_MIN = 5.0
CATCH_UP_SECONDS = (0.0002, 0.0005, 0.001, 0.002, 0.005)


@dataclass(frozen=True, slots=True)
class Moved:
    """The session lives on `host` now."""

    session: int
    host: str
    pause_seconds: float
    read_only: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The session stays where it was, unharmed."""

    session: int
    reasons: frozenset[Reason]

    @property
    def text(self) -> str:
        """The reasons in sentences."""
        return sentences(self.reasons)


@dataclass(frozen=True, slots=True)
class Gone:
    """The session ended before it was moved."""

    session: int


Outcome = Moved | Refused | Gone


class RestBetweenMoves:
    """Sessions that were moved a moment ago, which are not moved again so soon."""

    def __init__(self, seconds_min: float = REST_SECONDS_MIN) -> None:
        self._seconds_min = seconds_min
        self._moved_at: dict[int, float] = {}

    def resting(self, session: int, now: float) -> bool:
        """Whether this session has to stay a little longer."""
        self._moved_at = {s: at for s, at in self._moved_at.items() if now - at < self._seconds_min}
        return session in self._moved_at

    def moved(self, session: int, now: float) -> None:
        """Note a move."""
        self._moved_at[session] = now


async def migrate(
    session: Session, target: Host, *, topology: Topology, rest: RestBetweenMoves, tools: Tools
) -> Outcome:
    """Move `session` to `target`, in as many attempts as the policy allows."""
    policy = tools.policy()
    source = session.host
    outcome: Outcome = Refused(session.id, frozenset({Reason.ATTEMPTS_EXCEEDED}))
    if reasons := known_reasons(session):
        outcome = Refused(session.id, reasons)
    elif rest.resting(session.id, trio.current_time()):
        outcome = Refused(session.id, frozenset({Reason.MOVED_RECENTLY}))
    else:
        for _ in range(policy.attempts_max):
            outcome = await _attempt(session, target, topology, tools)
            if not isinstance(outcome, Refused) or not outcome.reasons <= _WORTH_ANOTHER:
                break
    if isinstance(outcome, Moved):
        rest.moved(session.id, trio.current_time())
        pause = outcome.pause_seconds
        tools.emit(
            Migrated(session=session.id, source=source, target=target.name, pause_seconds=pause)
        )
    elif isinstance(outcome, Refused):
        reason = outcome.text
        tools.emit(
            MigrationRefused(session=session.id, source=source, target=target.name, reason=reason)
        )
    return outcome


_WORTH_ANOTHER = frozenset({Reason.PAUSE_EXCEEDED, Reason.TRANSACTION_OPEN, Reason.NOT_QUIESCENT})


async def _attempt(session: Session, target: Host, topology: Topology, tools: Tools) -> Outcome:
    """Log in, hold, carry over, cut over; the login comes first, so that the pause does not contain it."""
    backend = await open_target(session, target, tools)
    if isinstance(backend, Reason):
        return Refused(session.id, frozenset({backend}))
    given_away = False
    began = trio.current_time()
    seconds_max = tools.policy().pause_seconds_max
    try:
        tools.emit(HoldStarted(session=session.id))
        async with tools.relay.holding(session, timeout_seconds=seconds_max) as held:
            tools.emit(Quiesced(session=session.id, waited_seconds=trio.current_time() - began))
            paused_at = trio.current_time()
            reasons: frozenset[Reason] = frozenset({Reason.PAUSE_EXCEEDED})
            reported: tuple[bytes, ...] = ()
            with trio.move_on_after(seconds_max):
                reasons, reported = await _prepare(held, session, backend, topology, tools)
            if reasons:
                return Refused(session.id, reasons)
            given_away = True
            source = session.host
            with trio.CancelScope(shield=True):  # cut_over has a limit of its own
                await settle(held, session, backend, reported, tools)  # ---- the line
            tools.emit(CutOver(session=session.id, source=source, target=target.name))
            read_only = topology.role(target.name) == "standby"
            return Moved(session.id, target.name, trio.current_time() - paused_at, read_only)
    except trio.TooSlowError:
        return Refused(session.id, frozenset({Reason.PAUSE_EXCEEDED}))
    except (LinkClosed, CommandRefused):
        if tools.registry.get(session.id) is None:
            return Gone(session.id)
        return Refused(session.id, frozenset({Reason.TARGET_UNREACHABLE}))
    finally:
        if not given_away:
            backend.close()


async def _prepare(
    held: HeldSession, session: Session, backend: Backend, topology: Topology, tools: Tools
) -> tuple[frozenset[Reason], tuple[bytes, ...]]:
    """Everything before the line: the state on the target, and the target as far on as the session has seen."""
    standby = topology.role(backend.host.name) == "standby"
    if standby and not await _caught_up(session, backend, tools):
        return frozenset({Reason.TARGET_LAGS}), ()
    carried = await carry(held, backend)
    return carried.reasons, carried.reported


async def _caught_up(session: Session, backend: Backend, tools: Tools) -> bool:
    """Wait until the standby has replayed all that existed on the session's host when it was held."""
    try:
        behind = await tools.hosts.service(session.cluster, session.host)
        try:
            (position,) = await behind.query(
                "select case when pg_catalog.pg_is_in_recovery() then pg_catalog.pg_last_wal_replay_lsn()"
                " else pg_catalog.pg_current_wal_insert_lsn() end"
            )
        finally:
            behind.close()
        ahead = await tools.hosts.service(session.cluster, backend.host.name)
    except (PywireError, LinkClosed):
        return False
    wanted = Lsn.parse(position.scalar() or "0/0")
    steps = iter(CATCH_UP_SECONDS)
    try:
        with trio.move_on_after(tools.policy().pause_seconds_max / 2):
            while True:
                (replayed,) = await ahead.query("select pg_catalog.pg_last_wal_replay_lsn()")
                text = replayed.scalar()
                if text is not None and Lsn.parse(text) >= wanted:
                    return True
                await trio.sleep(next(steps, CATCH_UP_SECONDS[-1]))
    except (PywireError, LinkClosed):
        return False
    finally:
        ahead.close()
    return False
