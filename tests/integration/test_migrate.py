"""One session moves: what it takes along, and what keeps it where it is."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from typing import Any

import asyncpg
import psycopg
import pytest

from .harness import PASSWORD, Manager, Pair, wait_until


def session_of(manager: Manager, name: str) -> dict[str, object]:
    """The session with this application_name."""
    return next(row for row in manager.show("SESSIONS") if row["application_name"] == name)


def sessions_called(manager: Manager, name: str) -> list[dict[str, object]]:
    """Every session with this application_name."""
    return [row for row in manager.show("SESSIONS") if row["application_name"] == name]


def named(manager: Manager, name: str, **options: Any) -> psycopg.Connection[tuple[Any, ...]]:
    """A connection with an application_name."""
    return psycopg.connect(f"{manager.dsn()} application_name='{name}'", autocommit=True, **options)


def move(
    manager: Manager, name: str, host: str, *, check: bool = True
) -> subprocess.CompletedProcess[str]:
    """MIGRATE the session of that name."""
    return manager.ctl(
        f"MIGRATE SESSION {session_of(manager, name)['session']} TO {host}", check=check
    )


def other_than(manager: Manager, role: str) -> str:
    """The host that is not of this role, once there are two."""
    wait_until(
        lambda: {row["role"] for row in manager.show("HOSTS")} == {"primary", "standby"},
        "two hosts",
    )
    return str(next(row["host"] for row in manager.show("HOSTS") if row["role"] != role))


def test_a_session_takes_settings_and_prepared_statements_along(
    pair: Pair, manager: Manager
) -> None:
    """To the standby, where it can only read, and back."""
    standby, primary = other_than(manager, "primary"), other_than(manager, "standby")
    pair.primary.query("create table if not exists seen (i int)")
    pair.primary.query("create schema if not exists elsewhere")
    with named(manager, "mover") as client:
        client.execute("set work_mem to '7MB'")
        client.execute("select set_config('TimeZone', 'Asia/Tokyo', false)")
        client.execute("set search_path to elsewhere, public")
        client.execute("set datestyle to 'German'")
        client.prepare_threshold = 0
        for value in range(3):
            client.execute("select %s::int + 1", (value,))
        before = client.execute("select * from seen order by 1", prepare=True).fetchall()
        client.execute("insert into seen values (1)", prepare=True)
        process_id = client.info.backend_pid

        moved = move(manager, "mover", standby)
        assert "t" in moved.stdout.split("|")[-1]
        assert client.execute("select pg_is_in_recovery()").fetchone() == (True,)
        settings = "select current_setting('work_mem'), current_setting('timezone'), current_setting('search_path')"
        assert client.execute(settings).fetchone() == ("7MB", "Asia/Tokyo", "elsewhere, public")
        assert client.info.parameter_status("in_hot_standby") == "on"
        assert client.info.parameter_status("TimeZone") == "Asia/Tokyo"
        assert client.info.backend_pid == process_id
        after = client.execute("select * from seen order by 1", prepare=True).fetchall()
        assert len(after) == len(before) + 1, (
            "the standby shows what the session wrote before it moved"
        )
        assert client.execute("select %s::int + 1", (41,)).fetchone() == (42,)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            client.execute("insert into seen values (2)", prepare=True)

        wait_until(
            lambda: move(manager, "mover", primary, check=False).returncode == 0,
            "its rest to be over",
        )
        assert client.info.parameter_status("TimeZone") == "Asia/Tokyo"
        client.execute("insert into seen values (3)", prepare=True)
        assert client.info.parameter_status("in_hot_standby") == "off"
        assert session_of(manager, "mover")["moves"] == 2
        assert client.execute("show datestyle").fetchone() == ("German, DMY",)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("create temp table mine (i int)", "temporary"),
        ("listen news", "notification channels"),
        ("select pg_advisory_lock(4711)", "advisory locks"),
        ("prepare mine as select 1", "PREPARE"),
        ("set app.tenant = 'x'", "does not list"),
        ("select set_config('app.tenant', 'x', false)", "does not list"),
        ("set role app", "role"),
        ("set session authorization app", "role"),
        ("load 'plpgsql'", "LOAD"),
        ("do $$ begin perform 1; end $$", "cannot be read back"),
    ],
)
def test_what_cannot_be_taken_along_pins_a_session(
    manager: Manager, statement: str, reason: str
) -> None:
    """With the reason; and the session goes on, unharmed."""
    standby = other_than(manager, "primary")
    name = f"pinned by {reason}"
    with named(manager, name) as client:
        wait_until(
            lambda: len(sessions_called(manager, name)) == 1, "the last test's session to be gone"
        )
        client.execute(statement.encode())
        refused = move(manager, name, standby, check=False)
        assert refused.returncode == 4
        assert reason in refused.stderr, refused.stderr
        assert client.execute("select pg_is_in_recovery()").fetchone() == (False,)


def test_a_cursor_with_hold_pins_until_it_is_closed(manager: Manager) -> None:
    """Reasons that go away are asked for anew each time."""
    standby = other_than(manager, "primary")
    with named(manager, "holder") as client:
        client.execute("declare c cursor with hold for select generate_series(1, 10)")
        assert "WITH HOLD" in move(manager, "holder", standby, check=False).stderr
        assert client.execute("fetch 2 from c").fetchall() == [(1,), (2,)]
        client.execute("close c")
        move(manager, "holder", standby)
        assert client.execute("select pg_is_in_recovery()").fetchone() == (True,)


def test_deallocated_statements_stay_gone(manager: Manager) -> None:
    """DEALLOCATE by SQL of a statement that was prepared by the protocol."""
    standby = other_than(manager, "primary")
    with named(manager, "tidy") as client:
        client.execute("select 1", prepare=True)
        client.execute("select 2", prepare=True)
        client.execute("deallocate all")
        move(manager, "tidy", standby)
        assert client.execute("select count(*) from pg_prepared_statements").fetchone() == (0,)


def test_it_waits_for_the_transaction_and_the_client_sees_a_pause_only(manager: Manager) -> None:
    """The transaction ends where it began."""
    standby = other_than(manager, "primary")
    with named(manager, "busy") as client:
        client.autocommit = False
        client.execute("select 1")
        answers: list[int] = []
        thread = threading.Thread(
            target=lambda: answers.append(move(manager, "busy", standby).returncode)
        )
        thread.start()
        wait_until(
            lambda: any(r["event"] == "hold_started" for r in manager.show("EVENTS")[-3:]),
            "the hold",
        )
        assert client.execute("select pg_is_in_recovery()").fetchone() == (False,)
        client.commit()
        thread.join(20)
        assert answers == [0]
        assert client.execute("select pg_is_in_recovery()").fetchone() == (True,)


def test_a_session_is_not_sent_back_and_forth(manager: Manager) -> None:
    """There is a rest between two moves."""
    standby, primary = other_than(manager, "primary"), other_than(manager, "standby")
    with named(manager, "dizzy") as client:
        client.execute("select 1")
        move(manager, "dizzy", standby)
        refused = move(manager, "dizzy", primary, check=False)
        assert refused.returncode == 4
        assert "a moment ago" in refused.stderr


def test_names_that_there_are_not(manager: Manager) -> None:
    """42704, and nothing happens."""
    with named(manager, "here") as client:
        client.execute("select 1")
        assert "no host" in move(manager, "here", "nowhere", check=False).stderr
        assert "no session" in manager.ctl("MIGRATE SESSION 1 TO a", check=False).stderr
        here = str(session_of(manager, "here")["host"])
        assert "already" in move(manager, "here", here, check=False).stderr


def test_the_unnamed_statement_goes_along(manager: Manager) -> None:
    """Parse, Sync, move, Bind: as pgjdbc and pgx do it."""
    standby = other_than(manager, "primary")
    with named(manager, "unnamed") as client:
        connection = client.pgconn
        connection.prepare(b"", b"select $1::int * 2")
        move(manager, "unnamed", standby)
        result = connection.exec_prepared(b"", [b"21"])
        assert result.get_value(0, 0) == b"42"


def test_asyncpg_goes_along(manager: Manager) -> None:
    """Named statements of its own, binary values, its types looked up and its pool's reset query sent."""
    standby = other_than(manager, "primary")

    async def work() -> None:
        client = await asyncpg.connect(
            host="127.0.0.1",
            port=manager.port,
            user="postgres",
            password=PASSWORD,
            database="postgres",
            server_settings={"application_name": "asyncpg"},
        )
        try:
            statement = await client.prepare("select $1::int[] || $2::int, now() > '2000-01-01'")
            assert (await statement.fetchrow([1, 2], 3))[0] == [1, 2, 3]
            await client.reset()
            await asyncio.to_thread(move, manager, "asyncpg", standby)
            assert (await statement.fetchrow([1, 2], 3))[0] == [1, 2, 3]
            assert await client.fetchval("select pg_is_in_recovery()") is True
        finally:
            await client.close()

    asyncio.run(work())
