"""A cluster as this manager knows it: the hosts' latest reports, and the gate new sessions pass through.

It turns reports into a topology and events, and lets logins wait while the cluster is paused or has no primary. It
moves no session and stops no server; `switchover` does.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager

import trio

from pywire.cluster.control import LocalServer
from pywire.cluster.topology import Report, Topology, Unreachable
from pywire.config import ClusterConfig, HostConfig
from pywire.errors import NoPrimary
from pywire.events import Event, HostFound, HostLost
from pywire.session.host import Host

__all__ = ["ClusterState"]

NEVER_ASKED = "it has not been asked yet"


class ClusterState:
    """One cluster of the configuration.

    Args:
        config: its section.
        hosts: its hosts by name, as the relay reaches them.
        emit: takes events.
        wait_seconds_max: how long a login waits for a primary that is not there.
    """

    def __init__(
        self,
        config: ClusterConfig,
        hosts: Mapping[str, Host],
        emit: Callable[[Event], None],
        *,
        wait_seconds_max: float = 30.0,
    ) -> None:
        self.config = config
        self.name = config.name
        self.hosts = dict(hosts)
        self.servers = {
            host.name: server for host in config.hosts if (server := _server(host)) is not None
        }
        self.wait_seconds_max = wait_seconds_max
        self._emit = emit
        self._reports: dict[str, Report | Unreachable] = {
            name: Unreachable(host=name, reason=NEVER_ASKED) for name in self.hosts
        }
        self._topology = Topology.of(self._reports.values())
        self._closed_for: list[str] = []
        self._changed = trio.Event()
        self._changing = False
        self.logins_waiting = 0

    # ---- what is known

    @property
    def topology(self) -> Topology:
        """The conclusion from the latest reports."""
        return self._topology

    @property
    def pause_reasons(self) -> tuple[str, ...]:
        """Why logins wait; empty when they do not."""
        return tuple(self._closed_for)

    def note(self, report: Report | Unreachable) -> None:
        """Take a host's report, and tell when its role or reachability is news."""
        before = self._reports[report.host]
        self._reports[report.host] = report
        self._topology = Topology.of(self._reports.values())
        if isinstance(report, Unreachable):
            if isinstance(before, Report) or before.reason == NEVER_ASKED:
                self._emit(HostLost(cluster=self.name, host=report.host, reason=report.reason))
        elif isinstance(before, Unreachable) or before.in_recovery != report.in_recovery:
            role = self._topology.role(report.host)
            timeline = report.timeline or 0
            self._emit(HostFound(cluster=self.name, host=report.host, role=role, timeline=timeline))
        self._wake()

    async def until_known(self) -> None:
        """Wait until every host has been asked once."""
        while any(
            isinstance(r, Unreachable) and r.reason == NEVER_ASKED for r in self._reports.values()
        ):
            await self._changed.wait()

    async def until_primary(self, host: str) -> None:
        """Wait until `host` is known to be the primary."""
        while self._topology.primary != host:
            await self._changed.wait()

    # ---- the gate

    async def route(self) -> Host:
        """The primary, for a new session: waits while the gate is closed, or while there is no primary.

        Raises:
            NoPrimary: there was none for `wait_seconds_max`.
        """
        if (host := self.route_now()) is not None:
            return host
        self.logins_waiting += 1
        try:
            with trio.move_on_after(self.wait_seconds_max) as patience:
                while True:
                    if self._closed_for:
                        # A pause says itself how long it lasts; only the lack of a primary wears patience out.
                        patience.deadline = trio.current_time() + self.wait_seconds_max
                    elif self._topology.primary is not None:
                        return self.hosts[self._topology.primary]
                    await self._changed.wait()
        finally:
            self.logins_waiting -= 1
        raise NoPrimary(
            "; ".join(problem.text for problem in self._topology.problems), cluster=self.name
        )

    def route_now(self) -> Host | None:
        """The primary, if the gate is open and there is one."""
        primary = self._topology.primary
        return None if self._closed_for or primary is None else self.hosts[primary]

    @contextmanager
    def closed_for(self, why: str) -> Iterator[None]:
        """Let logins wait for as long as the context lasts."""
        self._closed_for.append(why)
        try:
            yield
        finally:
            self._closed_for.remove(why)
            self._wake()

    @asynccontextmanager
    async def exclusively(self) -> AsyncIterator[bool]:
        """For one who changes the primary; yields False at once if another is at it."""
        if self._changing:
            yield False
            return
        self._changing = True
        try:
            yield True
        finally:
            self._changing = False

    def _wake(self) -> None:
        changed, self._changed = self._changed, trio.Event()
        changed.set()


def _server(host: HostConfig) -> LocalServer | None:
    if host.data_directory is None or host.bin_directory is None:
        return None
    return LocalServer(host.name, host.data_directory, host.bin_directory, host.run_as)
