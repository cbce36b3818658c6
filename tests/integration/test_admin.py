"""The admin console as real clients meet it: psql, psycopg, asyncpg, and `pywire ctl`."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

import asyncpg
import psycopg
import pytest

from .harness import PASSWORD, Manager, Pair, running, wait_until

SHOWN = ("CLUSTERS", "CONFIG", "EVENTS", "HELP", "HOSTS", "SESSIONS", "STATS", "VERSION")


def psql(
    manager: Manager, pair: Pair, *arguments: str, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    """psql on the console."""
    return subprocess.run(
        [str(pair.a.flavour.bin_directory / "psql"), "-X", "-d", manager.dsn("pywire"), *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PGPASSWORD": PASSWORD},
        check=False,
    )


def test_psql_by_the_simple_protocol(pair: Pair, manager: Manager) -> None:
    """Tables, several statements at once, and an error with its place."""
    shown = psql(manager, pair, "-c", "show hosts; show version")
    assert shown.returncode == 0, shown.stderr
    assert "primary" in shown.stdout
    assert "driver" in shown.stdout
    wrong = psql(manager, pair, "-c", "show hotses")
    assert "syntax error" in wrong.stderr
    assert "^" in wrong.stderr
    assert "SHOW HOSTS" in wrong.stderr


def test_psql_by_the_extended_protocol(pair: Pair, manager: Manager) -> None:
    """psql 16 and later can."""
    if pair.a.flavour.name == "pg15":
        pytest.skip("psql of this version has no \\bind")
    shown = psql(
        manager, pair, given="show sessions \\bind \\g\nshow hosts \\parse h\n\\bind_named h \\g\n"
    )
    assert shown.returncode == 0, shown.stderr
    assert "lag_bytes" in shown.stdout


@pytest.mark.parametrize("subject", SHOWN)
def test_psycopg_reads_every_table(manager: Manager, subject: str) -> None:
    """Simple by ClientCursor, extended by the default one, binary on request; all say the same."""
    with psycopg.connect(manager.dsn("pywire"), autocommit=True) as console:
        extended = console.execute(f"SHOW {subject}".encode()).fetchall()
        simple = psycopg.ClientCursor(console).execute(f"SHOW {subject}".encode()).fetchall()
        binary = console.cursor(binary=True).execute(f"SHOW {subject}".encode()).fetchall()
        assert len(extended) == len(simple) == len(binary) or subject in ("EVENTS", "STATS")
        if subject in ("CONFIG", "HELP", "CLUSTERS"):
            assert extended == simple == binary


def test_psycopg_in_its_default_transaction_mode(manager: Manager) -> None:
    """It sends BEGIN by itself, and COMMIT at the end."""
    with psycopg.connect(manager.dsn("pywire")) as console:
        rows = console.execute("show hosts").fetchall()
        assert {row[1] for row in rows} == {"a", "b"}


def test_asyncpg(manager: Manager) -> None:
    """It asks for binary results."""

    async def ask() -> list[asyncpg.Record]:
        console = await asyncpg.connect(
            host="127.0.0.1",
            port=manager.port,
            user="postgres",
            password=PASSWORD,
            database="pywire",
        )
        try:
            assert await console.fetchval("select 1") == "1"
            return await console.fetch("SHOW HOSTS")
        finally:
            await console.close()

    rows = asyncio.run(ask())
    assert {row["role"] for row in rows} == {"primary", "standby"}
    assert all(isinstance(row["sessions"], int) for row in rows)
    assert all(row["controlled"] is True for row in rows)


def test_only_admin_users(manager: Manager) -> None:
    """Another user is let into its database and not into the console."""
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        manager.connect("pywire", user="app").close()
    manager.connect("app", user="app").close()


def test_ctl_prints_tables_and_json(manager: Manager) -> None:
    """Exit codes: 0 done, 4 refused."""
    assert "primary" in manager.ctl("SHOW HOSTS").stdout
    rows = manager.ctl_json("SHOW HOSTS")
    assert {row["host"] for row in rows} == {"a", "b"}
    assert all(row["controlled"] is True for row in rows)
    wrong = manager.ctl("MAKE COFFEE", check=False)
    assert wrong.returncode == 4
    assert 'near "MAKE"' in wrong.stderr
    assert "hint:" in wrong.stderr


def test_sessions_are_shown_with_what_they_do(manager: Manager) -> None:
    """State and pins."""
    with (
        manager.connect() as idle,
        psycopg.connect(manager.dsn()) as busy,
        manager.connect() as pinned,
    ):
        idle.execute("set application_name to 'the idle one'")
        busy.execute("set application_name to 'the busy one'")
        pinned.execute("set application_name to 'the pinned one'")
        pinned.execute("set app.tenant to 'x'")
        shown = {row["application_name"]: row for row in manager.show("SESSIONS")}
        assert shown["the idle one"]["state"] == "idle"
        assert shown["the idle one"]["pins"] == ""
        assert shown["the busy one"]["state"] == "in_block"
        assert shown["the pinned one"]["pins"] == "custom_parameter"


def test_pause_lets_everybody_wait_and_resume_lets_them_go(manager: Manager) -> None:
    """A session's next transaction and a new login both wait, unharmed."""
    with manager.connect() as client:
        client.execute("select 1")
        manager.ctl("PAUSE main")
        answers: list[object] = []

        def ask() -> None:
            answers.append(client.execute("select 2").fetchone())

        def log_in() -> None:
            with manager.connect() as newcomer:
                answers.append(newcomer.execute("select 3").fetchone())

        threads = [threading.Thread(target=work) for work in (ask, log_in)]
        for thread in threads:
            thread.start()
        wait_until(lambda: manager.show("CLUSTERS")[0]["logins_waiting"] == 1, "the login to wait")
        time.sleep(0.3)
        assert answers == []
        refused = manager.ctl("SWITCHOVER main TO b", check=False)
        assert "paused" in refused.stderr
        manager.ctl("RESUME")
        for thread in threads:
            thread.join(20)
        assert sorted(answers) == [(2,), (3,)]  # type: ignore[type-var]
    assert manager.ctl("RESUME", check=False).returncode == 4


def test_reload_and_a_bad_configuration(pair: Pair, scratch: Path) -> None:
    """What can change does; what is wrong changes nothing."""
    manager = Manager.configured(pair, scratch)
    with running(manager):
        text = manager.configuration.read_text()
        manager.configuration.write_text(text + "\n[migration]\npause_seconds_max = 3.5\n")
        assert "migration.pause_seconds_max" in manager.ctl("RELOAD").stderr
        values = {row["name"]: row["value"] for row in manager.show("CONFIG")}
        assert values["migration.pause_seconds_max"] == "3.5"
        manager.configuration.write_text(text + "\n[migration]\npause_seconds = 1\n")
        assert manager.process is not None
        manager.process.send_signal(signal.SIGHUP)
        wait_until(
            lambda: any(r["event"] == "config_refused" for r in manager.show("EVENTS")),
            "the refusal",
        )
        values = {row["name"]: row["value"] for row in manager.show("CONFIG")}
        assert values["migration.pause_seconds_max"] == "3.5"
        manager.configuration.write_text(text)


def test_sigterm_lets_transactions_end_and_exits_with_zero(pair: Pair, scratch: Path) -> None:
    """The open transaction commits; its client is then told 57P01; the idle one at once."""
    manager = Manager.configured(pair, scratch)
    manager.start()
    assert manager.process is not None
    try:
        with psycopg.connect(manager.dsn()) as busy, manager.connect() as idle:
            busy.execute("create table if not exists drained (i int)")
            busy.commit()
            busy.execute("insert into drained values (1)")
            idle.execute("select 1")
            manager.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            assert manager.process.poll() is None
            with pytest.raises(psycopg.OperationalError, match="administrator command"):
                idle.execute("select 1")
            busy.commit()
            assert pair.primary.query("select count(*) > 0 from drained") is True
            with pytest.raises(psycopg.OperationalError):
                busy.execute("select 1")
        assert manager.process.wait(20) == 0
    finally:
        manager.stop()


def test_shutdown_wait_lets_clients_leave_first(pair: Pair, scratch: Path) -> None:
    """And ends by itself when the last one has."""
    manager = Manager.configured(pair, scratch)
    manager.start()
    assert manager.process is not None
    try:
        with manager.connect() as client:
            client.execute("select 1")
            manager.ctl("SHUTDOWN WAIT")
            time.sleep(0.3)
            assert client.execute("select 1").fetchone() == (1,)
            with pytest.raises(psycopg.OperationalError):
                manager.connect().close()
        assert manager.process.wait(20) == 0
    finally:
        manager.stop()
