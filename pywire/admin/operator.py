"""Carrying out the console's commands: reading the registries, and asking others to act.

It owns nothing: sessions, clusters and the process itself belong to those it asks. A command that is refused changes
nothing and is answered with the reasons.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pywire.admin.commands import (
    Command,
    Migrate,
    Pause,
    Reload,
    Resume,
    Show,
    Shutdown,
    Switchover,
)
from pywire.admin.show import Sources, rows_of
from pywire.admin.table import Answer, columns_of
from pywire.cluster.fleet import Fleet
from pywire.cluster.pause import Pauses
from pywire.cluster.state import ClusterState
from pywire.cluster.switchover import Refused as SwitchoverRefused
from pywire.cluster.switchover import switchover
from pywire.errors import PywireError
from pywire.events import CommandGiven
from pywire.migration.migrate import Gone, Moved, RestBetweenMoves, migrate
from pywire.migration.tools import Tools

__all__ = ["CommandRefused", "Operations", "Process"]


class CommandRefused(PywireError):
    """An admin command was understood and not carried out; nothing was changed."""

    sqlstate = "55000"
    template = "{complaint}"


class NothingOfThatName(CommandRefused):
    """An admin command names a session, cluster or host that there is not."""

    sqlstate = "42704"


@dataclass(frozen=True, slots=True)
class Process:
    """What the supervisor lets the console do to the process itself.

    Attributes:
        reload: reads the configuration again; returns what changed, raises ConfigError.
        shut_down: begins the end; with True, only once every client has left.
    """

    reload: Callable[[], list[str]]
    shut_down: Callable[[bool], None]


class Operations:
    """Carries commands out: an `Operator` of admin/console.py."""

    def __init__(
        self, fleet: Fleet, pauses: Pauses, tools: Tools, sources: Sources, process: Process
    ) -> None:
        self._fleet = fleet
        self._pauses = pauses
        self._tools = tools
        self._sources = sources
        self._process = process
        self._rest = RestBetweenMoves()

    async def __call__(self, command: Command, user: str) -> Answer:
        """Carry `command` out for `user`."""
        if isinstance(command, Show):
            return Answer("SHOW", columns_of(command), rows_of(command.subject, self._sources))
        self._tools.emit(CommandGiven(user=user, command=_text_of(command)))
        match command:
            case Migrate():
                return await self._migrate(command)
            case Switchover():
                return await self._switchover(command)
            case Pause():
                return await self._pause(command)
            case Resume():
                return self._resume(command)
            case Reload():
                changed = self._process.reload()
                text = f"changed: {', '.join(changed)}" if changed else "nothing has changed"
                return Answer("RELOAD", notices=(text,))
            case Shutdown(wait):
                self._process.shut_down(wait)
                return Answer("SHUTDOWN")
            case _:
                raise CommandRefused(complaint="there is nothing to do")

    async def _migrate(self, command: Migrate) -> Answer:
        session = self._tools.registry.get(command.session)
        if session is None:
            raise NothingOfThatName(complaint=f"there is no session {command.session}")
        cluster = self._fleet.clusters[session.cluster]
        target = cluster.hosts.get(command.host)
        if target is None:
            text = f'there is no host "{command.host}" in cluster {cluster.name}'
            raise NothingOfThatName(complaint=text)
        if session.host == command.host:
            raise CommandRefused(
                complaint=f"session {session.id} is on host {command.host} already"
            )
        self._refuse_if_paused(cluster)
        outcome = await migrate(
            session, target, topology=cluster.topology, rest=self._rest, tools=self._tools
        )
        if isinstance(outcome, Moved):
            pause_ms = outcome.pause_seconds * 1000
            row = (outcome.session, outcome.host, pause_ms, outcome.read_only)
            return Answer("MIGRATE", columns_of(command), (row,))
        if isinstance(outcome, Gone):
            raise NothingOfThatName(complaint=f"session {command.session} has ended")
        complaint = f"session {command.session} stays on host {session.host}"
        raise CommandRefused(outcome.text, complaint=complaint)

    async def _switchover(self, command: Switchover) -> Answer:
        cluster = self._cluster(command.cluster)
        if command.host not in cluster.hosts:
            text = f'there is no host "{command.host}" in cluster {cluster.name}'
            raise NothingOfThatName(complaint=text)
        self._refuse_if_paused(cluster)
        outcome = await switchover(cluster, command.host, force=command.force, tools=self._tools)
        if isinstance(outcome, SwitchoverRefused):
            complaint = (
                f"switchover of {cluster.name} to {command.host} ended while {outcome.phase.value}"
            )
            raise CommandRefused(" ".join(outcome.reasons), complaint=complaint)
        pause_ms = outcome.pause_seconds * 1000
        row = (
            cluster.name,
            outcome.target,
            outcome.migrated,
            outcome.lost,
            pause_ms,
            outcome.attached,
        )
        return Answer("SWITCHOVER", columns_of(command), (row,))

    async def _pause(self, command: Pause) -> Answer:
        for cluster in self._clusters(command.cluster):
            late = await self._pauses.pause(cluster)
            if late:
                named = ", ".join(map(str, late[:10]))
                raise CommandRefused(
                    f"Sessions still inside a transaction: {named}.",
                    complaint=f"cluster {cluster.name} could not be paused",
                )
        return Answer("PAUSE")

    def _resume(self, command: Resume) -> Answer:
        resumed = [self._pauses.resume(cluster.name) for cluster in self._clusters(command.cluster)]
        if not any(resumed):
            raise CommandRefused(complaint="nothing is paused")
        return Answer("RESUME")

    def _refuse_if_paused(self, cluster: ClusterState) -> None:
        if self._pauses.paused(cluster.name):
            raise CommandRefused(
                complaint=f"cluster {cluster.name} is paused", hint="RESUME it first."
            )

    def _clusters(self, name: str | None) -> list[ClusterState]:
        return [self._cluster(name)] if name is not None else list(self._fleet.clusters.values())

    def _cluster(self, name: str) -> ClusterState:
        cluster = self._fleet.clusters.get(name)
        if cluster is None:
            known = ", ".join(self._fleet.clusters)
            raise NothingOfThatName(
                complaint=f'there is no cluster "{name}"', hint=f"There is: {known}."
            )
        return cluster


def _text_of(command: Command) -> str:
    """A command as an event shows it."""
    match command:
        case Migrate(session, host):
            return f"MIGRATE SESSION {session} TO {host}"
        case Switchover(cluster, host, force):
            return f"SWITCHOVER {cluster} TO {host}{' FORCE' if force else ''}"
        case Pause(cluster) | Resume(cluster):
            verb = type(command).__name__.upper()
            return verb if cluster is None else f"{verb} {cluster}"
        case Shutdown(wait):
            return "SHUTDOWN WAIT" if wait else "SHUTDOWN"
        case _:
            return type(command).__name__.upper()
