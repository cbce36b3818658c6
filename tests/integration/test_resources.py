"""Many sessions: idle ones are held and still answer, silent strangers stop nobody."""

import resource
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from .harness import APP_PASSWORD, Ports, flavours, running, wait_until
from .raw_client import TERMINATE, RawClient, query
from .single import costs, manager_before

STUB_SESSIONS = 5_000
POSTGRES_SESSIONS = 300
SILENT_CLIENTS = 1_000
SESSION_BYTES_MAX = 24 * 1024
"""More than the aim of 10 KiB: the allocators keep what logins needed for a while. The benchmark measures exactly."""


@pytest.fixture(scope="module", autouse=True)
def descriptors():
    """This process holds as many sockets as there are clients."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3 * STUB_SESSIONS:
        pytest.skip(f"only {hard} open files are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def stub(pair, flavour):
    """The port of a host that lets everybody in and costs nothing; one version behind it is enough."""
    if flavour.name != flavours()[0].name:
        pytest.skip("the stub has been tried with another version")
    port = Ports.take()
    process = subprocess.Popen(
        [
            sys.executable,
            Path(__file__).with_name("stub_backend.py"),
            str(port),
            str(pair.primary.port),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout.readline() == b"ready\n"
    yield port
    process.stdin.close()
    process.stdout.close()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def close_all(clients: list[RawClient]) -> None:
    """Say goodbye for all of them."""
    for client in clients:
        client.send(TERMINATE)
        client.socket.close()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_5000_idle_sessions_are_held_and_still_answer(stub, scratch, record_property):
    with running(manager_before(stub, scratch, login='auth = "trust"')) as manager:
        pid = manager.process.pid
        warm = [RawClient(manager.port).login("app", "", "app") for _ in range(50)]
        close_all(warm)
        wait_until(lambda: len(manager.show("SESSIONS")) <= 1, "the warm-up's sessions to end")
        before = costs(pid)
        clients = [RawClient(manager.port).login("app", "", "app") for _ in range(STUB_SESSIONS)]
        held = costs(pid)
        each = (held.resident_bytes - before.resident_bytes) / STUB_SESSIONS
        record_property("bytes_per_idle_session", round(each))
        print(f"{each:.0f} bytes of pywire's resident memory for each idle session")
        assert held.descriptors - before.descriptors <= 2 * STUB_SESSIONS + 50
        assert held.threads <= before.threads + 1
        assert each <= SESSION_BYTES_MAX
        for client in clients:
            client.send(query("select 1"))
        for client in clients:
            assert [tag for tag, _ in client.until(b"Z")] == [b"T", b"D", b"C", b"Z"]
        close_all(clients)
        wait_until(
            lambda: costs(pid).descriptors <= before.descriptors + 5, "the descriptors to be closed"
        )


@pytest.mark.slow
def test_300_sessions_against_postgresql_are_held_and_still_answer(manager):
    clients = [
        RawClient(manager.port).login("app", APP_PASSWORD, "app") for _ in range(POSTGRES_SESSIONS)
    ]
    try:
        assert len({client.process_id for client in clients}) == POSTGRES_SESSIONS
        for client in clients:
            client.send(query("select pg_backend_pid()"))
        for client in clients:
            row = client.until(b"Z")[1][1]
            assert row.endswith(str(client.process_id).encode())
    finally:
        close_all(clients)


def test_silent_clients_do_not_stop_the_next_one(manager):
    with ExitStack() as stack:
        for _ in range(SILENT_CLIENTS):
            stack.enter_context(socket.create_connection(("127.0.0.1", manager.port), timeout=10))
        started = time.monotonic()
        client = RawClient(manager.port, seconds_max=10).login("app", APP_PASSWORD, "app")
        assert time.monotonic() - started < 5
        assert client.ask(query("select 1")) == "TDCZ"
        close_all([client])


def test_silent_clients_beyond_the_limit_give_way(pair, scratch):
    made = manager_before(pair.primary.port, scratch, login="startups_max = 50")
    with ExitStack() as stack, running(made) as manager:
        for _ in range(200):
            stack.enter_context(socket.create_connection(("127.0.0.1", manager.port), timeout=10))
        client = RawClient(manager.port, seconds_max=10).login("app", APP_PASSWORD, "app")
        assert client.ask(query("select 1")) == "TDCZ"
        close_all([client])


def test_a_login_that_takes_too_long_is_cut_off(pair, scratch):
    made = manager_before(pair.primary.port, scratch, login="startup_seconds_max = 1.0")
    with running(made) as manager, socket.create_connection(("127.0.0.1", manager.port)) as slow:
        slow.settimeout(15)
        slow.sendall(b"\x00\x00\x00")  # three bytes of a length, and then nothing
        started = time.monotonic()
        while slow.recv(1024):
            pass
        assert time.monotonic() - started < 5
