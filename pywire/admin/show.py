"""The rows of every SHOW, read from what others keep; nothing is asked of a host for them.

Only reads. Secrets are not in any of it: the configuration names their files.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import trio

from pywire.admin.commands import HELP
from pywire.admin.table import Value
from pywire.cluster.state import ClusterState
from pywire.cluster.topology import Unreachable
from pywire.config import Config
from pywire.config.setting import settings
from pywire.events import EventLog
from pywire.log import timestamp
from pywire.metrics import Metrics
from pywire.migration.carry import known_reasons
from pywire.relay.port import Relay
from pywire.session.registry import SessionRegistry

__all__ = ["Sources", "rows_of"]

Row = tuple[Value, ...]
_STATES = {ord("I"): "idle", ord("T"): "in_block", ord("E"): "in_failed_block"}


@dataclass(frozen=True, slots=True)
class Sources:
    """Where the rows come from.

    Attributes:
        config: a function, since a reload replaces it.
        engine: the engine's driver and how many workers it has.
    """

    version: str
    engine: tuple[str, int]
    relay: Relay
    registry: SessionRegistry
    clusters: dict[str, ClusterState]
    events: EventLog
    metrics: Metrics
    config: Callable[[], Config]


def rows_of(subject: str, sources: Sources) -> list[Row]:
    """The rows of `SHOW subject`."""
    return list(_SHOWN[subject](sources))


def _sessions(sources: Sources) -> Iterable[Row]:
    now = trio.current_time()
    for session in sources.registry:
        stats = sources.relay.session_stats(session.id)
        yield (
            session.id,
            session.user,
            session.database,
            session.cluster,
            session.host,
            _state(stats),
            ",".join(sorted(reason.label for reason in known_reasons(session))),
            session.parameters.get("application_name", ""),
            session.peer,
            session.process_id,
            round(now - session.opened_at, 3),
            session.moves,
            getattr(stats, "requests", 0),
            getattr(stats, "client_bytes_in", 0),
            getattr(stats, "client_bytes_out", 0),
        )


def _state(stats: object) -> str:
    if stats is None:
        return "closing"
    if getattr(stats, "held", False):
        return "held"
    if not getattr(stats, "quiescent", True):
        return "active"
    return _STATES.get(getattr(stats, "status", 0), "idle")


def _hosts(sources: Sources) -> Iterable[Row]:
    for cluster in sources.clusters.values():
        topology = cluster.topology
        for report in topology.reports:
            name = report.host
            address = str(cluster.hosts[name].address)
            sessions = sources.registry.on_host_count(cluster.name, name)
            controlled = name in cluster.servers
            head: Row = (cluster.name, name, address, topology.role(name))
            if isinstance(report, Unreachable):
                nothing: Row = (None, None, sessions, None, None, None, None, controlled)
                yield (*head, *nothing, report.reason)
                continue
            standby = topology.standby_of_primary(name)
            yield (
                *head,
                report.timeline,
                topology.lag_bytes(name),
                sessions,
                report.backends,
                report.connections_max,
                standby.sync_state if standby is not None else None,
                report.server_version_num,
                controlled,
                None,
            )


def _clusters(sources: Sources) -> Iterable[Row]:
    for cluster in sources.clusters.values():
        topology = cluster.topology
        sessions = sum(session.cluster == cluster.name for session in sources.registry)
        yield (
            cluster.name,
            topology.primary,
            ", ".join(topology.standbys),
            ", ".join(topology.lost),
            sessions,
            cluster.logins_waiting,
            ", ".join(cluster.pause_reasons),
            " ".join(problem.text for problem in topology.problems),
        )


def _events(sources: Sources) -> Iterable[Row]:
    for recorded in sources.events.last():
        event = recorded.event
        details = json.dumps(event.to_fields(), ensure_ascii=False)
        level = event.level.name.lower()
        yield (recorded.number, timestamp(recorded.at), level, event.name(), details)


def _config(sources: Sources) -> Iterable[Row]:
    config = sources.config()
    for section in ("listen", "relay", "login", "migration", "admin", "log"):
        yield from _section(section, getattr(config, section))
    for cluster in config.clusters.values():
        yield from _section(f"cluster.{cluster.name}", cluster)
        for host in cluster.hosts:
            yield from _section(f"cluster.{cluster.name}.host {host.name}", host)


def _section(place: str, section: object) -> Iterable[Row]:
    for item, about in settings(section):
        value = getattr(section, item.name)
        is_default = value == item.default
        yield (f"{place}.{item.name}", _plain(value), is_default, about.restart)


def _plain(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ", ".join(str(item) for item in value)
    return str(value)


def _stats(sources: Sources) -> Iterable[Row]:
    yield ("sessions_now", float(len(sources.registry)))
    yield ("sessions_opened_ever", float(sources.registry.opened))
    yield ("tasks_now", float(trio.lowlevel.current_statistics().tasks_living))
    yield from sources.metrics.rows()


def _version(sources: Sources) -> Iterable[Row]:
    driver, workers = sources.engine
    yield (sources.version, driver, workers, platform.python_version())


def _help(sources: Sources) -> Iterable[Row]:
    yield from HELP


_SHOWN: dict[str, Callable[[Sources], Iterable[Row]]] = {
    "clusters": _clusters,
    "config": _config,
    "events": _events,
    "help": _help,
    "hosts": _hosts,
    "sessions": _sessions,
    "stats": _stats,
    "version": _version,
}
