"""A planned change of primary, from the first look to the old primary streaming from the new one.

One line cannot be uncrossed: the promotion. Before it every way out leaves every session on the old primary, which is
started again if it was stopped. `migration.phases` says what each phase may undo; this is the prose of it.

Synchronous replication: the new primary begins with no synchronous standby, since none could confirm a commit until
the old primary is back; the names, with the two hosts exchanged, are set again as soon as it streams. In between, as
events say, commits are confirmed by the new primary alone.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import trio

from pywire.cluster.attach import (
    SynchronousNames,
    attach,
    clear_synchronous,
    give_back_synchronous,
    host_address,
    restore_synchronous,
    standby_conninfo,
)
from pywire.cluster.control import LocalServer
from pywire.cluster.decide import Refusal, SwitchoverLimits, switchover_refusals
from pywire.cluster.journey import Journey, Verdict
from pywire.cluster.probe import ask
from pywire.cluster.slots import Slots, create_slots, drop_slots, follow, slots_before
from pywire.cluster.state import ClusterState
from pywire.cluster.topology import Report, Unreachable
from pywire.errors import PywireError
from pywire.events import (
    Failed,
    Promoted,
    SwitchoverFinished,
    SwitchoverRefused,
    SwitchoverStarted,
)
from pywire.lsn import Lsn
from pywire.migration.phases import SWITCHOVER, Phase, step
from pywire.migration.tools import Tools
from pywire.relay.port import Backend, LinkClosed, StatementFailed
from pywire.session.pins import Reason

__all__ = ["Outcome", "Refused", "SwitchedOver", "SwitchoverTimes", "switchover"]

POLL_SECONDS = 0.003
LOOK_SECONDS = 0.1
REST_SECONDS = 0.5
SESSIONS_NAMED_MAX = 5
_MAY_PASS = frozenset({Reason.TRANSACTION_OPEN, Reason.NOT_QUIESCENT, Reason.PAUSE_EXCEEDED})
PASSING = frozenset({"target_not_streaming", "target_unknown_to_primary", "target_lags"})


@dataclass(frozen=True, slots=True, kw_only=True)
class SwitchoverTimes:
    """How long the servers may take for each step."""

    checkpoint_seconds_max: float = 120.0
    stop_seconds_max: float = 10.0
    verify_seconds_max: float = 5.0
    promote_seconds_max: float = 60.0
    start_seconds_max: float = 60.0
    attach_seconds_max: float = 60.0
    catch_up_seconds_max: float = 5.0


@dataclass(frozen=True, slots=True)
class SwitchedOver:
    """The target is the primary, and this many sessions came along; `attached` says the old one streams from it."""

    target: str
    migrated: int
    lost: int
    pause_seconds: float
    attached: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The primary is who it was, in what phase it ended, and why."""

    phase: Phase
    reasons: tuple[str, ...]


Outcome = SwitchedOver | Refused


class _Stop(Exception):  # caught below
    """The switchover ends here, before the line."""

    def __init__(self, *reasons: str) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = reasons


async def switchover(
    cluster: ClusterState,
    target: str,
    *,
    force: bool,
    tools: Tools,
    limits: SwitchoverLimits | None = None,
    times: SwitchoverTimes | None = None,
) -> Outcome:
    """Make `target` the primary of `cluster`, every session with it.

    Args:
        cluster: the cluster.
        target: the name of a standby.
        force: end the sessions that cannot come along, instead of refusing.
        tools: the verbs.
        limits: how far behind the target may be.
        times: how long servers may take.
    """
    async with cluster.exclusively() as mine:
        if not mine:
            return Refused(Phase.CHECKING, ("Another change of primary is under way.",))
        times = times or SwitchoverTimes()
        refusals = await _check(cluster, target, limits or SwitchoverLimits(), times, tools)
        source = cluster.topology.primary
        outcome: Outcome
        if refusals or source is None:
            outcome = Refused(Phase.CHECKING, tuple(refusal.text for refusal in refusals))
        else:
            outcome = await _try(cluster, source, target, force, tools, times)
        if isinstance(outcome, Refused):
            reason = f"{outcome.phase.value}: {' '.join(outcome.reasons)}"
            tools.emit(
                SwitchoverRefused(
                    cluster=cluster.name, source=source or "", target=target, reason=reason
                )
            )
        return outcome


async def _try(
    cluster: ClusterState,
    source: str,
    target: str,
    force: bool,
    tools: Tools,
    times: SwitchoverTimes,
) -> Outcome:
    """As many attempts as the policy allows, if all that stood in the way was a transaction still open.

    Between two of them everybody goes on, so nobody waits longer than `pause_seconds_max` at once.
    """
    policy = tools.policy()
    began = trio.current_time()
    attempts = 0
    while True:
        change = _Change(cluster, source, target, force, tools, times)
        outcome = await change.run()
        attempts += 1
        in_time = trio.current_time() - began < policy.drain_seconds_max
        again = change.worth_another and in_time and attempts < policy.attempts_max
        if isinstance(outcome, SwitchedOver) or not again:
            return outcome
        await trio.sleep(REST_SECONDS)


async def _check(
    cluster: ClusterState,
    target: str,
    limits: SwitchoverLimits,
    times: SwitchoverTimes,
    tools: Tools,
) -> list[Refusal]:
    """The reasons against it; those that pass by themselves are given a moment to.

    A standby that has just come back streams, meets the end of the old timeline, and streams anew.
    """
    controlled = frozenset(cluster.servers)
    began = trio.current_time()
    while True:
        await _look(cluster, tools)
        refusals = switchover_refusals(
            cluster.topology, target, controlled=controlled, limits=limits
        )
        passing = {refusal.code for refusal in refusals} <= PASSING
        patient = trio.current_time() - began < times.catch_up_seconds_max
        if not refusals or not passing or not patient:
            return refusals
        await trio.sleep(LOOK_SECONDS)


async def _look(cluster: ClusterState, tools: Tools) -> None:
    """Ask every host now: the latest reports may be from before the previous switchover's end."""

    async def look(host: str) -> None:
        with trio.move_on_after(cluster.config.probe_timeout_seconds):
            try:
                backend = await tools.hosts.service(cluster.name, host)
                try:
                    cluster.note(await ask(backend, host))
                finally:
                    backend.close()
                return
            except (PywireError, LinkClosed) as problem:
                cluster.note(Unreachable(host=host, reason=str(problem)))
                return
        cluster.note(Unreachable(host=host, reason="no answer in time"))

    async with trio.open_nursery() as nursery:
        for host in cluster.hosts:
            nursery.start_soon(look, host)


class _Change:
    """One switchover under way: who, and how far it is."""

    def __init__(
        self,
        cluster: ClusterState,
        source: str,
        target: str,
        force: bool,
        tools: Tools,
        times: SwitchoverTimes,
    ) -> None:
        self.cluster = cluster
        self.source = source
        self.target = target
        self.force = force
        self.tools = tools
        self.times = times
        self.phase = Phase.CHECKING
        self.stopped = False
        self.worth_another = False
        self.names = SynchronousNames()
        self.slots = Slots()
        self.conninfo: dict[str, str] = {}
        self.held_at = 0.0

    @property
    def old(self) -> LocalServer:
        """The old primary's server."""
        return self.cluster.servers[self.source]

    async def run(self) -> Outcome:
        """The switchover from beginning to end."""
        outcome: Outcome = Refused(Phase.CHECKING, ("It was not begun.",))
        began = trio.current_time()
        hosts = self.cluster.hosts
        async with trio.open_nursery() as nursery:
            journey = Journey(
                self.cluster.name, hosts[self.source], hosts[self.target], self.tools, nursery
            )
            try:
                async with self._service(self.source) as old, self._service(self.target) as new:
                    outcome = await self._through(journey, old, new, began)
            except (
                Exception
            ) as problem:  # whatever it is: servers and sessions must not be left half-way
                if not step(SWITCHOVER, self.phase).reversible:
                    outcome = await self._stranded(journey, problem)
                else:
                    with trio.CancelScope(shield=True):
                        outcome = await self._undo(journey, problem)
            finally:
                # Cancelled (pywire is told to stop at once): nobody must wait for a word that never comes.
                journey.speak(Verdict.STAY)
        return outcome

    async def _through(self, journey: Journey, old: Backend, new: Backend, began: float) -> Outcome:
        """Phase by phase; a _Stop or an error before the promotion is undone by the caller."""
        sessions = journey.board()
        self.tools.emit(
            SwitchoverStarted(
                cluster=self.cluster.name, source=self.source, target=self.target, sessions=sessions
            )
        )
        self._enter(Phase.CHECKPOINTING)
        self.names = await clear_synchronous(old, new)
        self.slots = await slots_before(old, new, self.source)
        self.conninfo = await standby_conninfo(self.cluster, new, self.source, self.target)
        with trio.move_on_after(self.times.checkpoint_seconds_max) as limit:
            await old.query("checkpoint")
        if limit.cancelled_caught:
            raise _Stop(f"CHECKPOINT took longer than {self.times.checkpoint_seconds_max} s.")
        self._enter(Phase.CONNECTING)
        await journey.until_connected()
        self._refuse_if_any(journey)
        with self.cluster.closed_for(f"switchover to {self.target}"):
            await self._empty_the_old_primary(journey, old, new)
            with trio.CancelScope(shield=True):  # from here to the cut-over, servers are in motion
                await self._change_servers(new)
                self._enter(Phase.CUTTING_OVER)
                journey.speak(Verdict.GO)
                await journey.until_over()
                pause = trio.current_time() - self.held_at
                self._enter(Phase.RELEASING)
        self._enter(Phase.ATTACHING)
        with trio.CancelScope(
            shield=True
        ):  # pywire may be told to stop; a server must not stay down for it
            await self._lead_the_others()
            attached = await self._attach(new)
        self._enter(Phase.DONE)
        seconds = trio.current_time() - began
        self.tools.emit(
            SwitchoverFinished(
                cluster=self.cluster.name,
                source=self.source,
                target=self.target,
                migrated=journey.migrated,
                refused=journey.lost,
                seconds=seconds,
            )
        )
        return SwitchedOver(self.target, journey.migrated, journey.lost, pause, attached)

    # ---- before the line

    async def _empty_the_old_primary(self, journey: Journey, old: Backend, new: Backend) -> None:
        """Hold everybody, let transactions end, carry the sessions' state over."""
        self._enter(Phase.HOLDING)
        policy = self.tools.policy()
        # Everybody waits for the slowest, so the pause allowed to one session bounds it too.
        limit = min(policy.drain_seconds_max, policy.pause_seconds_max)
        self.held_at = trio.current_time()
        journey.board()
        journey.hold(limit)
        self._enter(Phase.DRAINING)
        known = -1
        with trio.move_on_after(limit + policy.pause_seconds_max) as patience:
            # A login that had passed the gate before it closed may still become a session.
            while (count := journey.board()) != known or self.tools.registry.arriving:
                known = count
                await journey.until_ready()
                if self.tools.registry.arriving:
                    await trio.sleep(POLL_SECONDS)
        if patience.cancelled_caught:
            raise _Stop("Not every session could be made ready in time.")
        self._refuse_if_any(journey)
        here, there = await ask(old, self.source), await ask(new, self.target)
        if here.in_recovery or not there.in_recovery or there.receiver_status != "streaming":
            raise _Stop(f"Host {self.target} does not stream from {self.source} any more.")

    def _refuse_if_any(self, journey: Journey) -> None:
        """Give up, naming those who cannot come along; with `force` they are ended, but only at the last moment."""
        refused = journey.still_refused()
        if not refused or (self.force and self.phase is Phase.CONNECTING):
            return
        if self.force:
            journey.dismiss_refused()
            return
        self.worth_another = all(reasons <= _MAY_PASS for reasons in refused.values())
        named = list(refused.items())[:SESSIONS_NAMED_MAX]
        reasons = [
            f"Session {session}: {' '.join(sorted(reason.value for reason in reasons))}"
            for session, reasons in named
        ]
        if (more := len(refused) - len(named)) > 0:
            reasons.append(f"So it is with {more} more.")
        raise _Stop(*reasons)

    async def _change_servers(self, new: Backend) -> None:
        """Stop the one, make sure that the other has everything, promote it."""
        self._enter(Phase.STOPPING)
        self.stopped = True
        await self.old.stop("fast", seconds_max=self.times.stop_seconds_max)
        self.cluster.note(Unreachable(host=self.source, reason="stopped for a switchover"))
        self._enter(Phase.VERIFYING)
        await self._fence_and_verify(new)
        began = trio.current_time()
        report = await self._promote(new)
        self.tools.emit(
            Promoted(
                cluster=self.cluster.name,
                host=self.target,
                timeline=report.timeline or 0,
                lsn=str(report.insert_lsn or ""),
                seconds=trio.current_time() - began,
            )
        )
        self.cluster.note(report)

    async def _fence_and_verify(self, new: Backend) -> None:
        """Both at once, since every session waits meanwhile."""
        problems: list[Exception] = []

        async def attempt(step: Callable[[], Awaitable[None]]) -> None:
            try:
                await step()
            except (_Stop, PywireError, LinkClosed) as problem:
                problems.append(problem)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(attempt, self.old.fence)
            nursery.start_soon(attempt, lambda: self._verify(new))
        if problems:
            raise problems[0]

    async def _verify(self, new: Backend) -> None:
        """The target has replayed the shutdown checkpoint, which is the last record of the old primary."""
        control = await self.old.control_data()
        if not control.clean:
            raise _Stop(f"Host {self.source} did not shut down cleanly: it is {control.state}.")
        replayed: Lsn | None = None
        with trio.move_on_after(self.times.verify_seconds_max):
            while True:
                (result,) = await new.query("select pg_catalog.pg_last_wal_replay_lsn()")
                replayed = Lsn.parse(result.scalar() or "0/0")
                if replayed > control.checkpoint_lsn:
                    return
                await trio.sleep(POLL_SECONDS)
        text = f"Host {self.target} has replayed up to {replayed}, and {self.source} has written {control.checkpoint_lsn}."
        raise _Stop(text)

    async def _promote(self, new: Backend) -> Report:
        """---- the line: once the standby has been told, there is no calling it back."""
        self._enter(Phase.PROMOTING)
        try:
            await new.query("select pg_catalog.pg_promote(false)")
        except StatementFailed:
            try:
                limit = self.times.promote_seconds_max
                await self.cluster.servers[self.target].promote(seconds_max=limit)
            except PywireError:
                self._enter(
                    Phase.VERIFYING
                )  # nobody has told the standby anything: not over the line
                raise
        with trio.move_on_after(self.times.promote_seconds_max):
            while True:
                (result,) = await new.query("select pg_catalog.pg_is_in_recovery()")
                if result.scalar() == "f":
                    return await ask(new, self.target)
                await trio.sleep(POLL_SECONDS)
        raise _Stop(f"Host {self.target} did not become primary in time.")

    # ---- after the line, and back

    async def _attach(self, new: Backend) -> bool:
        """The old primary comes back as standby. If it does not, the switchover has still happened."""
        try:
            with trio.fail_after(self.times.attach_seconds_max):
                await self.old.make_standby(self.conninfo, slot=self.slots.source)
                await create_slots(new, self.slots)
                await attach(self.cluster, self.old, new, source=self.source, times=self.times)
                async with self._service(self.source) as old:
                    await drop_slots(old, self.slots)
            await restore_synchronous(new, self.names, self.source, self.target, self.tools)
            await _look(self.cluster, self.tools)
        except (PywireError, LinkClosed, trio.TooSlowError) as problem:
            reason = str(problem) or "it took too long"
            self.tools.emit(Failed(what=f"attaching {self.source} as standby", reason=reason))
            return False
        return True

    async def _lead_the_others(self) -> None:
        """Standbys besides the two stream from the new primary; one that cannot is told of, and left alone."""
        address = host_address(self.cluster, self.target)
        for name in self.cluster.topology.standbys:
            if name in (self.source, self.target):
                continue
            try:
                async with self._service(name) as standby:
                    await follow(standby, host=address.host, port=address.port)
            except (PywireError, LinkClosed, ValueError) as problem:
                what = f"pointing {name} at the new primary"
                self.tools.emit(Failed(what=what, reason=str(problem)))

    async def _undo(self, journey: Journey, problem: Exception) -> Refused:
        """Everybody goes on where they were."""
        phase = self.phase
        reasons = problem.reasons if isinstance(problem, _Stop) else (str(problem),)
        verdict = Verdict.STAY
        if self.stopped:
            verdict = Verdict.BACK
            await self._start_old_again()
        journey.speak(verdict)
        await journey.until_over()
        if self.names.target:
            await self._give_names_back()
        return Refused(phase, tuple(reasons))

    async def _start_old_again(self) -> None:
        """The old primary serves again, as primary."""
        try:
            # A fast shutdown that waits for a standby that is stuck never ends by itself.
            await self.old.stop("immediate", seconds_max=self.times.stop_seconds_max)
            await self.old.make_primary()
            await self.old.start(seconds_max=self.times.start_seconds_max)
            async with self._service(self.source) as old:
                self.cluster.note(await ask(old, self.source))
        except (PywireError, LinkClosed) as problem:
            what = f"starting {self.source} again after a switchover that was given up"
            self.tools.emit(Failed(what=what, reason=str(problem)))

    async def _give_names_back(self) -> None:
        try:
            async with self._service(self.target) as new:
                await give_back_synchronous(new, self.names)
        except (PywireError, LinkClosed) as problem:
            what = f"setting synchronous_standby_names of {self.target} back"
            self.tools.emit(Failed(what=what, reason=str(problem)))

    async def _stranded(self, journey: Journey, problem: Exception) -> Refused:
        """Past the line and it went wrong: the sessions are told, nobody is promoted by guess."""
        self.tools.emit(Failed(what=f"switchover to {self.target}", reason=str(problem)))
        journey.speak(Verdict.NOWHERE)
        with trio.CancelScope(shield=True):
            await journey.until_over()
        return Refused(self.phase, (str(problem),))

    # ---- small things

    def _enter(self, phase: Phase) -> None:
        self.phase = phase

    @asynccontextmanager
    async def _service(self, host: str) -> AsyncIterator[Backend]:
        backend = await self.tools.hosts.service(self.cluster.name, host)
        try:
            yield backend
        finally:
            backend.close()
