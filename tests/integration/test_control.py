"""PostgreSQL's own programs, called as the switchover calls them, on real servers."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pywire.cluster.conninfo import parse_conninfo, pointed_at
from pywire.cluster.control import LocalServer, ServerControlFailed
from pywire.lsn import Lsn

from .harness import Flavour, Pair, Postgres, make_scratch, server_account, wait_until


@pytest.fixture
def fresh(flavour: Flavour) -> Iterator[Pair]:
    """A pair that a test may break."""
    directory = make_scratch()
    pair = Pair.make(flavour, directory)
    yield pair
    pair.destroy()
    shutil.rmtree(directory, ignore_errors=True)


def controller(server: Postgres) -> LocalServer:
    """What pywire would make of the configuration."""
    return LocalServer(
        server.name, server.directory, server.flavour.bin_directory, server_account()
    )


def towards(fresh: Pair, server: Postgres, name: str) -> dict[str, str]:
    """The standby's conninfo, pointed at `server`."""
    text = fresh.b.query("select current_setting('primary_conninfo')")
    return pointed_at(
        parse_conninfo(str(text)), host="127.0.0.1", port=server.port, application_name=name
    )


async def test_a_stopped_server_has_written_what_its_control_file_says(fresh: Pair) -> None:
    """The shutdown checkpoint is the last record, and the standby has replayed it."""
    server = controller(fresh.a)
    assert server.postmaster() == fresh.a.pid
    await server.stop("fast", seconds_max=20)
    assert server.postmaster() is None
    control = await server.control_data()
    assert control.clean
    wait_until(
        lambda: (
            Lsn.parse(str(fresh.b.query("select pg_last_wal_replay_lsn()")))
            > control.checkpoint_lsn
        ),
        "the standby to have it all",
    )
    await server.stop("fast", seconds_max=1)
    await server.start(seconds_max=20)
    await server.start(seconds_max=20)
    assert fresh.a.query("select pg_is_in_recovery()") is False


async def test_a_fenced_server_comes_up_as_standby_and_only_as_that(fresh: Pair) -> None:
    """Whoever starts it; and undone, it is a primary again."""
    server = controller(fresh.a)
    await server.stop("fast", seconds_max=20)
    await server.fence()
    fresh.a.start()
    assert fresh.a.query("select pg_is_in_recovery()") is True
    await server.stop("fast", seconds_max=20)
    await server.make_primary()
    await server.start(seconds_max=20)
    assert fresh.a.query("select pg_is_in_recovery()") is False


async def test_a_server_started_by_somebody_else_is_pointed_while_it_runs(fresh: Pair) -> None:
    """Its file is read again."""
    conninfo = towards(fresh, fresh.b, "a")
    server = controller(fresh.a)
    await server.stop("fast", seconds_max=20)
    await server.fence()
    fresh.b.query("select pg_promote()")
    fresh.a.start()
    await server.make_standby(conninfo, slot=None)
    wait_until(
        lambda: fresh.b.query("select application_name from pg_stat_replication") == "a",
        "it to stream",
    )


async def test_a_primary_that_went_its_own_way_is_rewound(fresh: Pair) -> None:
    """pg_rewind with a password that is on no command line."""
    conninfo = towards(fresh, fresh.b, "a")
    for member in (fresh.a, fresh.b):
        member.query("alter system set full_page_writes to on")
        member.query("select pg_reload_conf()")
    fresh.a.query("create table t (i int)")
    wait_until(lambda: fresh.b.query("select to_regclass('t')") is not None, "the table")
    fresh.b.query("select pg_promote()")
    fresh.a.query("insert into t values (1)")
    fresh.b.query("insert into t values (2)")
    fresh.b.query("checkpoint")
    server = controller(fresh.a)
    await server.stop("fast", seconds_max=20)
    await server.rewind(conninfo, seconds_max=60)
    await server.make_standby(conninfo, slot=None)
    await server.start(seconds_max=30)
    fresh.until_streaming()
    wait_until(lambda: fresh.a.query("select i from t") == 2, "the other history")


async def test_what_fails_says_what_and_why(fresh: Pair, tmp_path: Path) -> None:
    """And waits no longer than it may."""
    nowhere = LocalServer(
        "x", tmp_path / "nothing", fresh.a.flavour.bin_directory, server_account()
    )
    with pytest.raises(ServerControlFailed, match="pg_controldata failed"):
        await nowhere.control_data()
    began = time.monotonic()
    with pytest.raises(ServerControlFailed, match="failed"):
        await nowhere.start(seconds_max=5)
    assert time.monotonic() - began < 10
    without = LocalServer("x", fresh.a.directory, tmp_path, server_account())
    with pytest.raises(ServerControlFailed, match="pg_controldata failed"):
        await without.control_data()
