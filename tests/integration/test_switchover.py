"""Changing the primary under load, and every way it may be refused or fail before the line."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from .harness import Flavour, Manager, Pair, children_of, exists, make_scratch, running, wait_until
from .load import Load, history, prepare, switch_back_and_forth


def roles(manager: Manager) -> dict[str, str]:
    """Role to host, by the console."""
    return {str(row["role"]): str(row["host"]) for row in manager.show("HOSTS")}


def standby_of(manager: Manager) -> str:
    """The present standby, once it is one."""
    wait_until(
        lambda: "standby" in roles(manager) and "primary" in roles(manager),
        "a primary and a standby",
    )
    return roles(manager)["standby"]


def bench(
    pair: Pair, manager: Manager, *, protocol: str, switchovers: int, seconds: int
) -> list[dict[str, object]]:
    """Load, switch, and compare what pgbench says with what the data say."""
    prepare(pair.primary)
    load = Load.start(
        pair.a.flavour.bin_directory, manager.port, protocol=protocol, clients=16, seconds=seconds
    )
    wait_until(lambda: len(manager.show("SESSIONS")) >= 16, "pgbench's sessions")
    told = switch_back_and_forth(manager, switchovers, load)
    done = load.finish()
    primary = pair.primary
    assert history(primary) == done
    assert all(row["migrated"] == 16 and row["ended"] == 0 and row["attached"] for row in told), (
        told
    )
    other = pair.other(primary)
    wait_until(
        lambda: other.query("select count(*) from pgbench_history", "bench") == done,
        "the standby to have it all",
    )
    assert history(other) == done
    return told


@pytest.mark.timeout(180)
@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_the_primary_changes_under_load_and_no_transaction_fails(
    pair: Pair, manager: Manager, protocol: str
) -> None:
    """Two switchovers per protocol, six together per version."""
    bench(pair, manager, protocol=protocol, switchovers=2, seconds=12)


@pytest.mark.timeout(180)
def test_clients_that_come_and_go_notice_nothing(pair: Pair, manager: Manager) -> None:
    """A connection per transaction: logins wait at the gate, and those under way are taken along.

    A thread per client, because pgbench connects without doing anything else meanwhile: a login that waits for a
    transaction of the same thread would wait for ever.
    """
    prepare(pair.primary)
    programs = pair.a.flavour.bin_directory
    load = Load.start(
        programs, manager.port, protocol="simple", clients=8, seconds=10, extra=("-C", "-j", "8")
    )
    wait_until(lambda: len(manager.show("SESSIONS")) >= 1, "pgbench's sessions")
    told = switch_back_and_forth(manager, 2, load)
    assert load.finish() == history(pair.primary)
    assert all(row["ended"] == 0 for row in told), told


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("protocol", ["simple", "extended", "prepared"])
def test_twenty_switchovers_under_load(pair: Pair, manager: Manager, protocol: str) -> None:
    """The long form."""
    bench(pair, manager, protocol=protocol, switchovers=20, seconds=90)


@pytest.mark.timeout(180)
def test_synchronous_replication_comes_back_with_the_hosts_exchanged(
    flavour: Flavour, scratch: Path
) -> None:
    """Commits go on while the old primary is away, and are synchronous again once it streams."""
    pair = Pair.make(flavour, scratch, synchronous=True)
    manager = Manager.configured(pair, scratch / "manager")
    try:
        with running(manager):
            with manager.connect() as client:
                client.execute("create table t (i int)")
                manager.ctl("SWITCHOVER main TO b")
                client.execute("insert into t values (1)")
                assert pair.b.query("show synchronous_standby_names") == "a"
                wait_until(
                    lambda: pair.b.query("select sync_state from pg_stat_replication") == "sync",
                    "a synchronous standby",
                )
                client.execute("insert into t values (2)")
                assert pair.a.query("select count(*) from t") in (1, 2)
            events = {row["event"] for row in manager.show("EVENTS")}
            assert "synchronous_standbys_changed" in events
    finally:
        pair.destroy()


def test_an_open_transaction_is_waited_for(pair: Pair, manager: Manager) -> None:
    """The switchover happens after COMMIT, and the transaction is whole."""
    target = standby_of(manager)
    with psycopg.connect(manager.dsn()) as client:
        client.execute("create table if not exists waited (i int)")
        client.commit()
        client.execute("insert into waited values (1)")
        import threading

        answer: list[object] = []
        thread = threading.Thread(
            target=lambda: answer.append(manager.ctl(f"SWITCHOVER main TO {target}"))
        )
        thread.start()
        wait_until(
            lambda: any(r["event"] == "switchover_started" for r in manager.show("EVENTS")[-3:]),
            "its start",
        )
        client.execute("insert into waited values (2)")
        client.commit()
        thread.join(60)
        assert answer
        rows = client.execute("select pg_is_in_recovery(), count(*) from waited").fetchone()
        assert rows is not None
        assert rows[0] is False


@pytest.mark.timeout(180)
def test_a_transaction_that_does_not_end_makes_it_refuse(
    pair: Pair, flavour: Flavour, scratch: Path
) -> None:
    """Everybody goes on where they were, and the refusal names the session."""
    manager = Manager.configured(
        pair, scratch, extra="[migration]\ndrain_seconds_max = 1.0\npause_seconds_max = 1.0"
    )
    with running(manager):
        primary = roles(manager)["primary"]
        target = standby_of(manager)
        with psycopg.connect(manager.dsn()) as stubborn, manager.connect() as other:
            stubborn.execute("select 1")
            refused = manager.ctl(f"SWITCHOVER main TO {target}", check=False)
            assert refused.returncode == 4
            assert "inside a transaction" in refused.stderr
            assert "Session" in refused.stderr
            assert stubborn.execute("select 2").fetchone() == (2,)
            assert other.execute("select pg_is_in_recovery()").fetchone() == (False,)
        assert roles(manager)["primary"] == primary


@pytest.mark.timeout(180)
def test_a_pinned_session_makes_it_refuse_and_force_ends_it(pair: Pair, manager: Manager) -> None:
    """With FORCE the session with a temporary table is told 57P01, and nobody else notices anything."""
    target = standby_of(manager)
    with manager.connect() as pinned, manager.connect() as free:
        pinned.execute("create temp table mine (i int)")
        free.execute("select 1")
        refused = manager.ctl(f"SWITCHOVER main TO {target}", check=False)
        assert refused.returncode == 4
        assert "temporary" in refused.stderr
        assert pinned.execute("select count(*) from mine").fetchone() == (0,)
        (told,) = manager.ctl_json(f"SWITCHOVER main TO {target} FORCE")
        assert told["primary"] == target
        assert told["ended"] == 1
        assert free.execute("select pg_is_in_recovery()").fetchone() == (False,)
        with pytest.raises(psycopg.OperationalError) as farewell:
            pinned.execute("select 1")
        assert "could not be taken along" in str(farewell.value) or "administrator" in str(
            farewell.value
        )


def test_what_cannot_be_a_target_is_refused(pair: Pair, manager: Manager) -> None:
    """The primary itself, a host that there is not, a cluster that there is not."""
    standby_of(manager)
    for command, text in (
        (f"SWITCHOVER main TO {roles(manager)['primary']}", "primary already"),
        ("SWITCHOVER main TO nowhere", "no host"),
        ("SWITCHOVER other TO a", "no cluster"),
    ):
        refused = manager.ctl(command, check=False)
        assert refused.returncode == 4
        assert text in refused.stderr, refused.stderr


@pytest.fixture
def fresh(flavour: Flavour) -> Iterator[Pair]:
    """A pair that a test may break."""
    directory = make_scratch()
    pair = Pair.make(flavour, directory)
    yield pair
    pair.destroy()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.mark.timeout(180)
def test_slots_and_a_third_host_follow(fresh: Pair, scratch: Path) -> None:
    """Every standby streams from the new primary, by a slot that is there; none is left on the old one."""
    third = fresh.a.basebackup("c")
    for server in (fresh.b, third):
        fresh.a.query(f"select pg_create_physical_replication_slot('of_{server.name}')")
        with (server.directory / "postgresql.conf").open("a") as file:
            file.write(f"primary_slot_name = 'of_{server.name}'\n")
    third.start()
    fresh.b.query("select pg_reload_conf()")
    active = "select count(*) from pg_replication_slots where active"
    wait_until(lambda: fresh.a.query(active) == 2, "both slots in use")
    manager = Manager.configured(fresh, scratch, others=(third,))
    try:
        with running(manager), manager.connect() as client:
            client.execute("create table t (i int)")
            manager.ctl("SWITCHOVER main TO b")
            client.execute("insert into t values (1)")
            wait_until(lambda: fresh.b.query(active) == 2, "both standbys on the new primary")
            for server in (fresh.a, third):
                wait_until(lambda: server.query("select count(*) from t") == 1, "the row")  # noqa: B023
            assert fresh.a.query("select count(*) from pg_replication_slots") == 0
            manager.ctl("SWITCHOVER main TO c")
            client.execute("insert into t values (2)")
            for server in (fresh.a, fresh.b):
                wait_until(lambda: server.query("select count(*) from t") == 2, "the row")  # noqa: B023
            assert {row["role"] for row in manager.show("HOSTS")} == {"primary", "standby"}
    finally:
        third.stop("immediate")


@pytest.mark.timeout(180)
def test_a_standby_that_does_not_stream_is_refused(fresh: Pair, scratch: Path) -> None:
    """Before anything is stopped."""
    manager = Manager.configured(fresh, scratch)
    with running(manager):
        fresh.b.query("alter system set primary_conninfo = ''")
        fresh.b.query("select pg_reload_conf()")
        wait_until(
            lambda: fresh.b.query("select count(*) from pg_stat_wal_receiver") == 0,
            "the receiver to stop",
        )
        refused = manager.ctl("SWITCHOVER main TO b", check=False)
        assert refused.returncode == 4
        assert "WAL receiver" in refused.stderr
        assert roles(manager)["primary"] == "a"


@pytest.mark.timeout(180)
def test_paused_replay_is_refused(fresh: Pair, scratch: Path) -> None:
    """A standby that does not replay cannot have everything."""
    manager = Manager.configured(fresh, scratch)
    with running(manager):
        fresh.b.query("select pg_wal_replay_pause()")
        refused = manager.ctl("SWITCHOVER main TO b", check=False)
        assert refused.returncode == 4
        assert "replay is paused" in refused.stderr


@pytest.mark.timeout(180)
def test_a_failure_after_the_stop_brings_everybody_back(fresh: Pair, scratch: Path) -> None:
    """pg_controldata fails, so it is not certain that nothing was lost: the old primary is started again."""
    programs = scratch / "bin"
    programs.mkdir()
    for program in fresh.a.flavour.bin_directory.iterdir():
        (programs / program.name).symlink_to(program)
    (programs / "pg_controldata").unlink()
    (programs / "pg_controldata").write_text("#!/bin/sh\necho 'no such thing' >&2\nexit 1\n")
    (programs / "pg_controldata").chmod(0o755)
    manager = Manager.configured(fresh, scratch)
    text = manager.configuration.read_text()
    manager.configuration.write_text(
        text.replace(str(fresh.a.flavour.bin_directory), str(programs))
    )
    with running(manager), manager.connect() as one, manager.connect("app", user="app") as two:
        one.execute("set timezone to 'Asia/Tokyo'")
        two.execute("select 1", prepare=True)
        refused = manager.ctl("SWITCHOVER main TO b", check=False)
        assert refused.returncode == 4
        assert "pg_controldata" in refused.stderr
        assert one.execute(
            "select pg_is_in_recovery(), current_setting('timezone')"
        ).fetchone() == (False, "Asia/Tokyo")
        assert two.execute("select 1", prepare=True).fetchone() == (1,)
        assert fresh.primary.name == "a"
        assert not (fresh.a.directory / "standby.signal").exists()
        with manager.connect() as newcomer:
            newcomer.execute("create table still_writable (i int)")
        fresh.until_streaming()


@pytest.mark.timeout(180)
def test_a_primary_that_does_not_stop_is_brought_back(fresh: Pair, scratch: Path) -> None:
    """A frozen walreceiver keeps a fast shutdown waiting; nobody is left behind."""
    manager = Manager.configured(fresh, scratch)
    with running(manager), manager.connect() as client:
        client.execute("create table t (i int)")
        receivers = [
            pid for pid in children_of(fresh.b.pid or 0) if "walreceiver" in command_of(pid)
        ]
        assert receivers
        os.kill(receivers[0], signal.SIGSTOP)
        try:
            refused = manager.ctl("SWITCHOVER main TO b", check=False)
        finally:
            if exists(receivers[0]):
                os.kill(receivers[0], signal.SIGCONT)
        assert refused.returncode == 4, refused.stdout
        client.execute("insert into t values (1)")
        assert fresh.a.query("select count(*) from t") == 1
        assert fresh.b.query("select pg_is_in_recovery()") is True


def command_of(pid: int) -> str:
    """A process's title."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""
