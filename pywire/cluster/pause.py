"""PAUSE and RESUME: every session of a cluster waits before its next transaction, and logins wait too.

A paused session is held like one that moves, but goes on where it was. Nothing is stopped on any host.
"""

from __future__ import annotations

from contextlib import ExitStack

import trio

from pywire.cluster.state import ClusterState
from pywire.migration.tools import Tools
from pywire.relay.port import CommandRefused, LinkClosed
from pywire.session.session import Session

__all__ = ["Pauses"]

WHY = "pause"
POLL_SECONDS = 0.005


class Pauses:
    """The pauses in force.

    Args:
        nursery: where held sessions wait.
        tools: the verbs.
    """

    def __init__(self, nursery: trio.Nursery, tools: Tools) -> None:
        self._nursery = nursery
        self._tools = tools
        self._paused: dict[str, _Pause] = {}

    def paused(self, cluster: str) -> bool:
        """Whether a cluster is paused, or about to be."""
        return cluster in self._paused

    async def pause(self, cluster: ClusterState) -> list[int]:
        """Pause a cluster and wait until every session waits.

        Returns the sessions whose transactions did not end in time; then nothing is paused.
        """
        if cluster.name in self._paused:
            return []
        pause = self._paused[cluster.name] = _Pause(cluster, self._nursery, self._tools)
        late = await pause.begin()
        if late:
            self.resume(cluster.name)
        return late

    def resume(self, cluster: str) -> bool:
        """End a pause; False if there was none."""
        pause = self._paused.pop(cluster, None)
        if pause is None:
            return False
        pause.end()
        return True

    def resume_all(self) -> None:
        """End every pause."""
        for cluster in list(self._paused):
            self.resume(cluster)


class _Pause:
    def __init__(self, cluster: ClusterState, nursery: trio.Nursery, tools: Tools) -> None:
        self._cluster = cluster
        self._nursery = nursery
        self._tools = tools
        self._gate = ExitStack()
        self._over = trio.Event()
        self._known: set[int] = set()
        self._waiting: set[int] = set()
        self._late: list[int] = []

    async def begin(self) -> list[int]:
        self._gate.enter_context(self._cluster.closed_for(WHY))
        limit = self._tools.policy().drain_seconds_max
        while True:
            for session in self._tools.registry:
                if session.cluster == self._cluster.name and session.id not in self._known:
                    self._known.add(session.id)
                    self._waiting.add(session.id)
                    self._nursery.start_soon(self._hold, session, limit)
            if not self._waiting and not self._tools.registry.arriving:
                return self._late
            await trio.sleep(POLL_SECONDS)

    async def _hold(self, session: Session, limit: float) -> None:
        try:
            async with self._tools.relay.holding(session, timeout_seconds=limit):
                self._waiting.discard(session.id)
                await self._over.wait()
        except trio.TooSlowError:
            self._late.append(session.id)
        except (LinkClosed, CommandRefused):
            pass  # it left, which is as good as waiting
        finally:
            self._waiting.discard(session.id)

    def end(self) -> None:
        self._over.set()
        self._gate.close()
