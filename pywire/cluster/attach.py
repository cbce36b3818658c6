"""Making the old primary a standby of the new one, and what synchronous replication needs around that.

Talks to both servers; never to a session. `switchover` calls it, before and after the line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import trio

from pywire.cluster.conninfo import parse_conninfo, pointed_at
from pywire.cluster.control import LocalServer
from pywire.cluster.sql import literal
from pywire.cluster.state import ClusterState
from pywire.cluster.synchronous import swapped
from pywire.config import Address
from pywire.events import SynchronousStandbysChanged
from pywire.migration.tools import Tools
from pywire.relay.port import Backend

if TYPE_CHECKING:
    from pywire.cluster.switchover import SwitchoverTimes

__all__ = [
    "SynchronousNames",
    "attach",
    "clear_synchronous",
    "give_back_synchronous",
    "host_address",
    "restore_synchronous",
    "standby_conninfo",
]

POLL_SECONDS = 0.05


async def standby_conninfo(
    cluster: ClusterState, new: Backend, source: str, target: str
) -> dict[str, str]:
    """How the old primary will reach the new one: as the new one reached it so far, the other way round.

    The standby's own primary_conninfo names the replication user, its password or passfile and its TLS settings. If it
    is of the form of a URI, the service user takes over.
    """
    address = host_address(cluster, target)
    (result,) = await new.query("select pg_catalog.current_setting('primary_conninfo')")
    try:
        values = parse_conninfo(result.scalar() or "")
    except ValueError:
        values = {}
    if not values:
        values = {"user": cluster.config.service_user}
    # For a Unix socket libpq takes its directory as the host.
    return pointed_at(values, host=address.host, port=address.port, application_name=source)


def host_address(cluster: ClusterState, name: str) -> Address:
    """Where other servers reach a host: its configured address, whatever pywire itself prefers."""
    host = cluster.config.host(name)
    assert host is not None
    return host.address


@dataclass(frozen=True, slots=True)
class SynchronousNames:
    """synchronous_standby_names on both hosts before the change; `altered`: the target's came by ALTER SYSTEM."""

    source: str = ""
    target: str = ""
    altered: bool = False


async def clear_synchronous(old: Backend, new: Backend) -> SynchronousNames:
    """Leave the standby without synchronous standbys of its own before it is promoted; returns what there was."""
    question = (
        "select setting, coalesce(sourcefile, '') like '%postgresql.auto.conf'"
        " from pg_catalog.pg_settings where name = 'synchronous_standby_names'"
    )
    ((there,), (here,)) = await old.query(question), await new.query(question)
    names = SynchronousNames(
        there.rows[0][0] or "", here.rows[0][0] or "", altered=here.rows[0][1] == "t"
    )
    if names.target:
        await _set_names(new, literal(""))
    return names


async def attach(
    cluster: ClusterState,
    old: LocalServer,
    new: Backend,
    *,
    source: str,
    times: SwitchoverTimes,
) -> None:
    """Start the old primary, which was made a standby while it was down, and wait until it streams."""
    await old.start(seconds_max=times.start_seconds_max)
    question = (
        "select 1 from pg_catalog.pg_stat_replication"
        f" where application_name = {literal(source)} and state = 'streaming'"
    )
    while True:
        (result,) = await new.query(question)
        if result.rows:
            return
        await trio.sleep(POLL_SECONDS)


async def restore_synchronous(
    new: Backend, names: SynchronousNames, source: str, target: str, tools: Tools
) -> None:
    """Give the new primary the old one's names, with the two hosts exchanged, and say so."""
    wanted = swapped(names.source, source, target) if names.source else names.target
    (result,) = await new.query("select pg_catalog.current_setting('synchronous_standby_names')")
    if (result.scalar() or "") == wanted:
        return
    await _set_names(new, literal(wanted))
    tools.emit(
        SynchronousStandbysChanged(cluster=new.host.cluster, host=new.host.name, names=wanted)
    )


async def give_back_synchronous(new: Backend, names: SynchronousNames) -> None:
    """Undo `clear_synchronous` on a standby that was not promoted after all."""
    await _set_names(new, literal(names.target) if names.altered else None)


async def _set_names(backend: Backend, literal: str | None) -> None:
    if literal is None:
        await backend.query("alter system reset synchronous_standby_names")
    else:
        await backend.query(f"alter system set synchronous_standby_names = {literal}")
    await backend.query("select pg_catalog.pg_reload_conf()")
