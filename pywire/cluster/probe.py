"""Asking a host who it is, over a connection of the service user, again and again.

`ask` is one question; `watch` keeps a connection and asks at an interval, reporting what it hears or that it hears
nothing. Nothing is decided here.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable

import trio

from pywire.cluster.topology import Report, ReportedStandby, Unreachable
from pywire.errors import PywireError
from pywire.lsn import Lsn
from pywire.relay.port import Backend, LinkClosed
from pywire.wire import messages

__all__ = ["PROBE", "ask", "watch"]

PROBE = """\
select pg_catalog.json_build_object(
 'in_recovery', pg_catalog.pg_is_in_recovery(),
 'system_identifier', (select system_identifier from pg_catalog.pg_control_system())::text,
 'server_version_num', pg_catalog.current_setting('server_version_num'),
 'timeline', case when pg_catalog.pg_is_in_recovery()
   then (select received_tli from pg_catalog.pg_stat_wal_receiver)
   else ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8))::bit(32)::int end,
 'started_at', pg_catalog.pg_postmaster_start_time()::text,
 'insert_lsn', case when not pg_catalog.pg_is_in_recovery()
   then pg_catalog.pg_current_wal_insert_lsn()::text end,
 'receive_lsn', pg_catalog.pg_last_wal_receive_lsn()::text,
 'replay_lsn', pg_catalog.pg_last_wal_replay_lsn()::text,
 'replay_paused', case when pg_catalog.pg_is_in_recovery()
   then pg_catalog.pg_is_wal_replay_paused() else false end,
 'receiver_status', (select status from pg_catalog.pg_stat_wal_receiver),
 'sender', (select sender_host || ':' || sender_port from pg_catalog.pg_stat_wal_receiver),
 'synchronous_standby_names', pg_catalog.current_setting('synchronous_standby_names'),
 'backends', (select pg_catalog.sum(numbackends) from pg_catalog.pg_stat_database),
 'connections_max', pg_catalog.current_setting('max_connections')::int,
 'standbys', (select pg_catalog.json_agg(pg_catalog.json_build_array(
     application_name, state, sync_state, replay_lsn::text)) from pg_catalog.pg_stat_replication)
)"""


async def ask(backend: Backend, host: str) -> Report:
    """Ask once; raises StatementFailed or LinkClosed."""
    (result,) = await backend.query(PROBE)
    told = json.loads(result.scalar() or "{}")
    return Report(
        host=host,
        in_recovery=told["in_recovery"],
        system_identifier=int(told["system_identifier"]),
        server_version_num=int(told["server_version_num"]),
        timeline=told["timeline"],
        started_at=told["started_at"],
        insert_lsn=_lsn(told["insert_lsn"]),
        receive_lsn=_lsn(told["receive_lsn"]),
        replay_lsn=_lsn(told["replay_lsn"]),
        replay_paused=told["replay_paused"],
        receiver_status=told["receiver_status"],
        sender=told["sender"],
        synchronous_standby_names=told["synchronous_standby_names"],
        standbys=tuple(
            ReportedStandby(
                application_name=name, state=state, sync_state=sync_state, replay_lsn=_lsn(lsn)
            )
            for name, state, sync_state, lsn in told["standbys"] or ()
        ),
        backends=told["backends"] or 0,
        connections_max=told["connections_max"],
    )


async def watch(
    host: str,
    connect: Callable[[], Awaitable[Backend]],
    report: Callable[[Report | Unreachable], None],
    *,
    interval_seconds: float,
    timeout_seconds: float,
) -> None:
    """Ask `host` for as long as this runs; a question unanswered in time counts as no answer."""
    backend: Backend | None = None
    try:
        while True:
            heard: Report | Unreachable = Unreachable(
                host=host, reason=f"no answer within {timeout_seconds} s"
            )
            with trio.move_on_after(timeout_seconds):
                try:
                    if backend is not None and await _gone(backend):
                        backend = (
                            None  # it was stopped since; whether it is back, a new connection tells
                        )
                    if backend is None:
                        backend = await connect()
                    heard = await ask(backend, host)
                except (PywireError, LinkClosed, OSError, ValueError, KeyError) as problem:
                    heard = Unreachable(host=host, reason=str(problem) or type(problem).__name__)
            if isinstance(heard, Unreachable) and backend is not None:
                backend.close()
                backend = None
            report(heard)
            await trio.sleep(interval_seconds)
    finally:
        if backend is not None:
            backend.close()


async def _gone(backend: Backend) -> bool:
    """Whether a connection that was good has ended meanwhile."""
    try:
        await backend.request(messages.SYNC)
    except LinkClosed:
        backend.close()
        return True
    return False


def _lsn(text: str | None) -> Lsn | None:
    return None if text is None else Lsn.parse(text)
