"""The sessions of a cluster during a change of primary: one task each, all waiting for one word.

Every session's task logs it in on the target, holds it, carries its state over, and then waits for the verdict: go on
there, stay, or come back to the old primary, whose server was stopped meanwhile. `switchover` speaks the verdict; this
module never decides and never touches a server.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

import trio

from pywire.errors import PywireError, ShuttingDown
from pywire.events import CutOver, Failed
from pywire.migration.carry import (
    Carried,
    carry,
    known_reasons,
    look,
    open_target,
    re_create,
    settle,
    synchronise,
)
from pywire.migration.tools import Tools
from pywire.relay.port import Backend, CommandRefused, HeldSession, LinkClosed
from pywire.session.host import Host
from pywire.session.pins import Reason
from pywire.session.session import Session
from pywire.wire import messages

__all__ = ["Journey", "Verdict"]

SYNCHRONISE_SECONDS_MAX = 10.0
IN_ADVANCE_SECONDS_MAX = 1.0
# Found in advance, these may be gone when it matters: the transaction ends, the standby catches up.
_PASSING = frozenset(
    {
        Reason.NOT_QUIESCENT,
        Reason.TRANSACTION_OPEN,
        Reason.PREPARED_DIFFERS,
        Reason.TARGET_UNREACHABLE,
    }
)


class Verdict(Enum):
    """Where every session of the journey goes on."""

    GO = auto()
    STAY = auto()
    BACK = auto()
    NOWHERE = auto()


class _Stage(Enum):
    CONNECTING = auto()
    CONNECTED = auto()
    READY = auto()
    REFUSED = auto()
    LEFT = auto()


class Journey:
    """All sessions of `source` on their way to `target`.

    Attributes:
        refused: reasons of the sessions that cannot come along, by id.
        migrated: how many live on the target now.
        lost: how many were ended because they could not be taken along.
    """

    def __init__(
        self, cluster: str, source: Host, target: Host, tools: Tools, nursery: trio.Nursery
    ) -> None:
        self._cluster = cluster
        self._source = source
        self._target = target
        self._tools = tools
        self._nursery = nursery
        self._stages: dict[int, _Stage] = {}
        self._limiter = trio.CapacityLimiter(tools.policy().concurrency_max)
        self._hold = trio.Event()
        self._spoken = trio.Event()
        self._verdict = Verdict.STAY
        self._changed = trio.Event()
        self.hold_seconds_max = 0.0
        self.refused: dict[int, frozenset[Reason]] = {}
        self.migrated = 0
        self.lost = 0

    # ---- what switchover says

    def board(self) -> int:
        """Start a task for every session of the source that has none; returns how many are known."""
        for session in self._tools.registry.of_host(self._cluster, self._source.name):
            if session.id not in self._stages:
                self._stages[session.id] = _Stage.CONNECTING
                self._nursery.start_soon(self._travel, session)
        return len(self._stages)

    async def until_connected(self) -> None:
        """Wait until every session known so far has a backend on the target, or is refused."""
        await self._until(lambda: _Stage.CONNECTING not in self._stages.values())

    def hold(self, seconds_max: float) -> None:
        """Let every session wait before its next transaction; they have `seconds_max` to end the open one."""
        self.hold_seconds_max = seconds_max
        self._hold.set()

    async def until_ready(self) -> None:
        """Wait until every session is held and its state is on the target, or it is refused."""
        pending = {_Stage.CONNECTING, _Stage.CONNECTED}
        await self._until(lambda: not pending & set(self._stages.values()))

    def still_refused(self) -> dict[int, frozenset[Reason]]:
        """The sessions that cannot come along and have not left by themselves meanwhile."""
        registry = self._tools.registry
        self.refused = {s: why for s, why in self.refused.items() if registry.get(s) is not None}
        return self.refused

    def dismiss_refused(self) -> int:
        """End the sessions that cannot come along, with 57P01; returns how many."""
        for session in self.refused:
            reason = "This session could not be taken along to the new primary."
            farewell = messages.error_response(ShuttingDown(reason).response_fields())
            self._tools.relay.close(session, farewell)
        count = len(self.refused)
        self.lost += count
        self.refused.clear()
        return count

    def speak(self, verdict: Verdict) -> None:
        """Say where everybody goes on; only the first word counts."""
        if not self._spoken.is_set():
            self._verdict = verdict
            self._spoken.set()
            self._hold.set()

    async def until_over(self) -> None:
        """Wait until every session goes on somewhere."""
        await self._until(lambda: set(self._stages.values()) <= {_Stage.LEFT, _Stage.REFUSED})

    # ---- one session

    async def _travel(self, session: Session) -> None:
        try:
            if reasons := known_reasons(session):
                self._refuse(session, reasons)
                return
            async with self._limiter:
                backend = await open_target(session, self._target, self._tools)
            if isinstance(backend, Reason):
                self._refuse(session, frozenset({backend}))
                return
            await self._with_backend(session, backend)
        except (LinkClosed, CommandRefused):
            self._gone(session)
        except Exception as problem:  # one session's trouble must not become everybody's
            reason = f"{type(problem).__name__}: {problem}"
            self._tools.emit(Failed(what=f"moving session {session.id}", reason=reason))
            self._refuse(session, frozenset({Reason.UNKNOWN_SESSION_STATE}))

    async def _with_backend(self, session: Session, backend: Backend) -> None:
        given_away = False
        try:
            before = await self._in_advance(session, backend)
            if before is not None and before.reasons - _PASSING:
                self._refuse(session, before.reasons)
                return
            self._at(session, _Stage.CONNECTED)
            await self._hold.wait()
            limit = self.hold_seconds_max
            async with self._tools.relay.holding(session, timeout_seconds=limit) as held:
                carried = Carried(frozenset({Reason.PAUSE_EXCEEDED}))
                with trio.move_on_after(self._tools.policy().pause_seconds_max):
                    async with self._limiter:
                        carried = await carry(held, backend, before)
                if carried.reasons:
                    self._refuse(session, carried.reasons)
                    return
                self._at(session, _Stage.READY)
                await self._spoken.wait()
                if self._verdict is Verdict.GO:
                    given_away = True
                    await self._go(held, session, backend, carried)
                elif self._verdict is Verdict.BACK:
                    # The source was stopped and started again: its backends are gone.
                    await self._anew(held, session, carried, self._source)
                elif self._verdict is Verdict.NOWHERE:
                    self._lose(session, "there is no primary to take it to")
            self._at(session, _Stage.LEFT)
        except trio.TooSlowError:
            self._refuse(session, frozenset({Reason.TRANSACTION_OPEN}))
        finally:
            if not given_away:
                backend.close()

    async def _in_advance(self, session: Session, backend: Backend) -> Carried | None:
        """Carry the state over while the session goes on, so that little is left to do when everybody waits.

        Its client sees a pause of a moment between two transactions. None if no such moment came.
        """
        try:
            async with self._limiter:
                limit = min(IN_ADVANCE_SECONDS_MAX, self._tools.policy().pause_seconds_max)
                async with self._tools.relay.holding(session, timeout_seconds=limit) as held:
                    looked = await look(held)
                if looked.source is None or looked.inventory is None:
                    return Carried(looked.reasons)
                carried = await re_create(backend, looked.inventory, looked.source)
                return replace(carried, requests=looked.requests)
        except trio.TooSlowError:
            return None

    async def _go(
        self, held: HeldSession, session: Session, backend: Backend, carried: Carried
    ) -> None:
        """Past the line: there is no other place for this session to be."""
        try:
            with trio.fail_after(SYNCHRONISE_SECONDS_MAX):
                reported = carried.reported + await synchronise(backend)
        except (LinkClosed, PywireError, trio.TooSlowError):
            backend.close()  # it did not survive the wait, or the promotion; another one may
            moved = await self._anew(held, session, carried, self._target)
        else:
            moved = await self._settle(held, session, backend, reported)
        if moved:
            self.migrated += 1
            self._tools.emit(
                CutOver(session=session.id, source=self._source.name, target=self._target.name)
            )

    async def _anew(
        self, held: HeldSession, session: Session, carried: Carried, host: Host
    ) -> bool:
        """Give the session a new backend on `host`, made from what was carried."""
        backend = await open_target(session, host, self._tools)
        if isinstance(backend, Reason):
            self._lose(session, backend.value)
            return False
        assert carried.source is not None
        assert carried.inventory is not None
        try:
            with trio.fail_after(SYNCHRONISE_SECONDS_MAX):
                again = await re_create(backend, carried.inventory, carried.source)
        except (LinkClosed, PywireError, trio.TooSlowError) as problem:
            again = Carried(frozenset({Reason.TARGET_UNREACHABLE}))
            self._tools.emit(Failed(what=f"moving session {session.id}", reason=str(problem)))
        if again.reasons:
            backend.close()
            self._lose(session, f"its state could not be re-created on {host.name}")
            return False
        return await self._settle(held, session, backend, again.reported)

    async def _settle(
        self,
        held: HeldSession,
        session: Session,
        backend: Backend,
        reported: tuple[bytes, ...],
    ) -> bool:
        try:
            await settle(held, session, backend, reported, self._tools)
        except (LinkClosed, CommandRefused, PywireError, trio.TooSlowError) as problem:
            self._lose(session, str(problem))
            return False
        return True

    # ---- the books

    def _lose(self, session: Session, why: str) -> None:
        if self._tools.registry.get(session.id) is not None:
            self.lost += 1
            self._tools.emit(Failed(what=f"moving session {session.id}", reason=why))
            farewell = messages.error_response(ShuttingDown(why).response_fields())
            self._tools.relay.close(session.id, farewell)

    def _refuse(self, session: Session, reasons: frozenset[Reason]) -> None:
        if self._tools.registry.get(session.id) is not None:
            self.refused[session.id] = reasons
            self._at(session, _Stage.REFUSED)
        else:
            self._gone(session)

    def _gone(self, session: Session) -> None:
        """Its client left, or its backend did before the verdict: nothing is left to move."""
        self.refused.pop(session.id, None)
        self._at(session, _Stage.LEFT)

    def _at(self, session: Session, stage: _Stage) -> None:
        self._stages[session.id] = stage
        changed, self._changed = self._changed, trio.Event()
        changed.set()

    async def _until(self, reached: Callable[[], bool]) -> None:
        while not reached():
            await self._changed.wait()
