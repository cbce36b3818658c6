"""What goes through pywire comes out as it went in, byte for byte, in both directions; only the cancel key is new.

A recording relay stands before pywire and another behind it. Sessions of the two are matched by the backend's process
id, which pywire passes on, and compared whole.
"""

import re
import shutil
import subprocess
import time

import pytest

from .harness import APP_PASSWORD, PASSWORD, Postgres, wait_until
from .raw_client import (
    COPY_DONE,
    FLUSH,
    SYNC,
    TERMINATE,
    RawClient,
    bind,
    close,
    copy_data,
    copy_fail,
    describe,
    execute,
    function_call,
    message,
    parse,
    query,
)
from .recorder import Recorder
from .single import manager_before

NUMERIC_LENGTH = 1317  # pg_catalog.length(text)
MEGABYTE = 1 << 20


class Bench:
    """Client side recorder, pywire, server side recorder, PostgreSQL."""

    def __init__(self, server: Postgres, directory) -> None:
        self.server = server
        self.behind = Recorder(server.port)
        self.manager = manager_before(self.behind.port, directory)
        self.manager.start()
        self.before = Recorder(self.manager.port)

    def client(self, user="app", database="app", **options) -> RawClient:
        """A session through everything."""
        password = PASSWORD if user == "postgres" else APP_PASSWORD
        return RawClient(self.before.port).login(user, password, database, **options)

    def compare(self, count: int = 1) -> None:
        """Compare the sessions that ended since the last call; there must be `count`."""
        wait_until(
            lambda: all(item.closed.is_set() for item in self.before.conversations), "the ends"
        )
        before, behind = self.before.by_process_id(), self.behind.by_process_id()
        assert len(before) == count
        for process_id, near in before.items():
            far = behind[process_id]
            wait_until(far.closed.is_set, "the end behind pywire")
            assert near.login() == far.login()
            assert near.replies() == far.replies()
            # A client that closes with answers unread resets the connection, as walreceivers do;
            # what a reset overtakes is lost on any connection, and may only be the farewell.
            asked = bytes(near.requests())
            assert far.requests() in (asked, asked.removesuffix(TERMINATE))

    def close(self) -> None:
        """Stop pywire and both recorders."""
        code = self.manager.stop()
        self.before.close()
        self.behind.close()
        assert code == 0


@pytest.fixture(scope="module")
def arranged(pair, tmp_path_factory):
    """One arrangement for all conversations."""
    made = Bench(pair.primary, tmp_path_factory.mktemp("transcript"))
    yield made
    made.close()


@pytest.fixture
def bench(arranged):
    """The arrangement, with nothing recorded yet."""
    arranged.before.conversations.clear()
    return arranged


def test_simple_queries_errors_and_notices(bench):
    with bench.client(application_name="transcript") as client:
        assert client.ask(query("select 1, null, 'x'")) == "TDCZ"
        assert client.ask(query("")) == "IZ"
        assert client.ask(query("select 1; select 2; select 1/0; select 3")) == "TDCTDCEZ"
        assert "N" in client.ask(query("do $$ begin raise notice 'n'; raise warning 'w'; end $$"))
        assert client.ask(query("begin; select nosuch")) == "CEZ"
        assert client.ask(query("select 1")) == "EZ"
        assert client.ask(query("rollback")) == "CZ"
        assert "S" in client.ask(query("set timezone to 'Asia/Tokyo'"))
        assert "S" in client.ask(
            query("set application_name to 'other'; set client_encoding to latin1")
        )
        assert "S" in client.ask(query("reset all"))
        client.send(TERMINATE)
    bench.compare()


def test_extended_queries_and_pipelines(bench):
    with bench.client() as client:
        whole = parse("", "select $1::int + 1") + describe(b"S", "") + bind("", "", b"41")
        assert client.ask(whole + describe(b"P", "") + execute() + SYNC) == "1tT2TDCZ"
        assert client.ask(parse("named", "select generate_series(1, 5)") + SYNC) == "1Z"
        portal = (
            bind("walk", "named") + execute("walk", 2) + execute("walk", 2) + execute("walk", 2)
        )
        assert client.ask(query("begin")) == "CZ"
        assert client.ask(portal + close(b"P", "walk") + SYNC) == "2DDsDDsDC3Z"
        assert client.ask(query("commit")) == "CZ"
        one = bind("", "named") + execute()
        assert client.ask((one + SYNC) * 50, ready=50) == "2DDDDDCZ" * 50
        broken = parse("", "select 1/0") + bind("", "") + execute() + one + parse("", "x") + SYNC
        assert client.ask(broken + one + SYNC, ready=2) == "1EZ2DDDDDCZ"
        client.send(one + FLUSH)
        client.until(b"C")
        assert client.ask(close(b"S", "named") + close(b"S", "nosuch") + SYNC) == "33Z"
        assert client.ask(bind("", "named") + execute() + SYNC) == "EZ"
        assert client.ask(
            query("select 1") + parse("", "select 2") + SYNC + query("select 3"), ready=3
        )
        client.send(TERMINATE)
    bench.compare()


def test_copy_in_all_its_ways_to_end(bench):
    with bench.client() as client:
        client.ask(query("create temporary table copied (id int, name text)"))
        client.send(query("copy copied from stdin"))
        assert client.until(b"G")
        rows = b"".join(copy_data(b"%d\tname\n" % i) for i in range(5000))
        assert client.ask(rows + COPY_DONE) == "CZ"
        client.send(query("copy copied from stdin"))
        client.until(b"G")
        assert client.ask(copy_data(b"1\tx\n") * 10 + copy_fail("no more")) == "EZ"
        client.send(query("copy copied from stdin"))
        client.until(b"G")
        client.send(copy_data(b"wrong\n"))
        # The server drops what is still on its way, and pywire passes it on.
        assert client.ask(copy_data(b"1\tlate\n") * 3 + COPY_DONE) == "EZ"
        assert client.ask(query("copy copied to stdout")).endswith("dcCZ")
        copy = parse("", "copy copied from stdin") + bind("", "") + execute() + SYNC
        client.send(copy)
        client.until(b"G")
        assert client.ask(copy_data(b"1\tx\n") + COPY_DONE + SYNC) == "CZ"
        assert client.ask(query("copy copied to stdout; select 1")).endswith("dcCTDCZ")
        client.send(TERMINATE)
    bench.compare()


def test_function_calls(bench):
    with bench.client() as client:
        assert client.ask(function_call(NUMERIC_LENGTH, b"four")) == "VZ"
        assert client.ask(function_call(1)) == "EZ"
        assert client.ask(function_call(NUMERIC_LENGTH, None)) == "VZ"
        assert client.ask(query("select 1")) == "TDCZ"
        client.send(TERMINATE)
    bench.compare()


def test_notifications_at_any_time(bench):
    with bench.client() as listener, bench.client() as notifier:
        listener.ask(query("listen news"))
        notifier.ask(query("notify news, 'while idle'"))
        assert listener.receive()[0] == b"A"
        listener.ask(query("begin"))
        notifier.ask(query("select pg_notify('news', repeat('x', 7999))"))
        assert "A" in listener.ask(query("commit"))
        listener.ask(query("notify news, 'to itself'"))
        for client in (listener, notifier):
            client.send(TERMINATE)
    bench.compare(2)


def test_messages_cut_anywhere(bench):
    with bench.client() as client:
        stream = query("select 'one'") + parse("", "select 2") + bind("", "") + execute() + SYNC
        for byte in stream:
            client.send(bytes([byte]))
        client.until(b"Z", 2)
        for size in (2, 3, 5, 7):
            for start in range(0, len(stream), size):
                client.send(stream[start : start + size])
                time.sleep(0.001)
            client.until(b"Z", 2)
        client.send(TERMINATE)
    bench.compare()


@pytest.mark.slow
def test_a_row_of_100_megabytes_each_way(bench):
    size = 100 * MEGABYTE
    with bench.client() as client:
        client.send(query(f"select repeat('x', {size})"))
        client.until(b"T")
        client.discard(1 + 4 + 2 + 4 + size)
        assert client.receive()[0] == b"C"
        client.until(b"Z")
        client.send(
            parse("", "select length($1::text)") + bind("", "", b"y" * size) + execute() + SYNC
        )
        rows = [body for tag, body in client.until(b"Z") if tag == b"D"]
        assert rows[0].endswith(str(size).encode())
        client.send(TERMINATE)
    bench.compare()


def test_a_client_that_vanishes(bench):
    with bench.client() as client:
        client.ask(query("select 1"))
    bench.compare()


def test_an_error_that_ends_the_session(bench):
    with bench.client(user="postgres", database="postgres") as victim:
        bench.server.query(f"select pg_terminate_backend({victim.process_id})")
        assert victim.receive()[0] == b"E"
        with pytest.raises(ConnectionResetError):
            victim.receive()
    bench.compare()


def test_a_request_that_is_no_message(bench):
    """PostgreSQL answers an unknown message type with a fatal error; so it does through pywire."""
    with bench.client() as client:
        client.send(message(b"\x01", b"what"))
        assert client.receive()[0] == b"E"
        with pytest.raises(ConnectionResetError):
            client.receive()
    bench.compare()


def test_a_replication_connection(bench):
    with bench.client(user="postgres", database="postgres", replication="true") as client:
        assert client.ask(query("IDENTIFY_SYSTEM")) == "TDCZ"
        position = bench.server.query("select pg_current_wal_flush_lsn()::text")
        client.send(query(f"START_REPLICATION PHYSICAL {position}"))
        client.until(b"W")
        bench.server.query("create table replicated_once (); drop table replicated_once")
        tag, body = client.receive()
        assert (tag, body[:1]) in {(b"d", b"w"), (b"d", b"k")}
        client.send(copy_data(b"r" + bytes(33)) + COPY_DONE)
        client.until(b"Z")
        assert client.ask(query("IDENTIFY_SYSTEM")) == "TDCZ"
        client.send(TERMINATE)
    bench.compare()


def test_pg_basebackup(bench, tmp_path):
    run(bench, "pg_basebackup", "-D", tmp_path / "copy", "-X", "stream", "-c", "fast", "-N")
    assert (tmp_path / "copy" / "PG_VERSION").exists()
    bench.compare(count_sessions(bench))
    shutil.rmtree(tmp_path / "copy")


def test_pg_receivewal(bench, tmp_path):
    end = str(bench.server.query("select pg_current_wal_flush_lsn()::text"))
    bench.server.query("create table received (); drop table received")
    assert re.fullmatch(r"[0-9A-F]+/[0-9A-F]+", end)
    run(bench, "pg_receivewal", "-D", tmp_path, "-n", "--no-sync", f"--endpos={end}", "-s", "1")
    assert list(tmp_path.glob("0000*"))
    bench.compare(count_sessions(bench))


def count_sessions(bench: Bench) -> int:
    """How many sessions a program has opened, at least one."""
    count = len(bench.before.by_process_id())
    assert count
    return count


def run(bench: Bench, program: str, *arguments: object) -> None:
    """Run one of PostgreSQL's programs through the recorders and pywire."""
    dsn = f"host=127.0.0.1 port={bench.before.port} user=postgres dbname=postgres sslmode=disable"
    completed = subprocess.run(
        [str(bench.server.flavour.bin_directory / program), "-d", dsn, *map(str, arguments)],
        env={"PGPASSWORD": PASSWORD, "PATH": "/usr/bin:/bin", "PGGSSENCMODE": "disable"},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert completed.returncode == 0, completed.stderr
