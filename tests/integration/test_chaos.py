"""Clients, backends and the host die at random; afterwards pywire holds nothing it did not hold before.

The seed is printed first. Twenty seconds belong to the ordinary run; PYWIRE_CHAOS_SECONDS and PYWIRE_CHAOS_SEED make it
longer or repeat one (threads and the kernel still take their own order).
"""

import os
import random
import socket
import struct
import threading
import time
from contextlib import suppress

import psycopg
import pytest

from .harness import APP_PASSWORD, Postgres, flavours, running, wait_until
from .raw_client import (
    COPY_DONE,
    SYNC,
    TERMINATE,
    RawClient,
    bind,
    copy_data,
    execute,
    parse,
    query,
)
from .single import Costs, costs, manager_before

SECONDS = float(os.environ.get("PYWIRE_CHAOS_SECONDS", "20"))
CLIENTS = 12
GROWTH_BYTES_MAX = 6 << 20
DEATHS = (OSError, EOFError, struct.error)
"""What a client may see when somebody dies; anything else is a fault of the test or of pywire."""


class Clients:
    """Threads that each live through one short session after another."""

    def __init__(self, port: int, seed: int) -> None:
        self.port = port
        self.ended = threading.Event()
        self.lives = 0
        self.deaths = 0
        self.faults: list[BaseException] = []
        self.threads = [
            threading.Thread(target=self._live, args=(random.Random(seed * 1000 + i),), daemon=True)
            for i in range(CLIENTS)
        ]

    def start(self) -> None:
        """Let them live."""
        for thread in self.threads:
            thread.start()

    def stop(self) -> None:
        """Wait until the last of them is gone."""
        self.ended.set()
        for thread in self.threads:
            thread.join(40)
            assert not thread.is_alive(), "a client hangs"
        assert not self.faults, self.faults

    def _live(self, chance: random.Random) -> None:
        while not self.ended.is_set():
            try:
                self._one_life(chance)
                self.lives += 1
            except DEATHS:
                self.deaths += 1
                time.sleep(0.02)
            except BaseException as fault:
                self.faults.append(fault)
                return

    def _one_life(self, chance: random.Random) -> None:
        if chance.random() < 0.05:
            self._babble(chance)
            return
        with RawClient(self.port, seconds_max=20) as client:
            if chance.random() < 0.05:
                client.send(b"\x00\x00\x00\x30\x00\x03")  # a login that ends in its first message
                return
            client.login("app", APP_PASSWORD, "app")
            for _ in range(chance.randrange(12)):
                chance.choice(DEEDS)(client, chance)
            self._end(client, chance)

    def _babble(self, chance: random.Random) -> None:
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as stranger:
            stranger.sendall(chance.randbytes(chance.randrange(1, 200)))
            if chance.random() < 0.5:
                stranger.shutdown(socket.SHUT_WR)

    def _end(self, client: RawClient, chance: random.Random) -> None:
        way = chance.randrange(4)
        if way == 0:
            client.send(TERMINATE)
        elif way == 1:  # a reset instead of an end
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif way == 2:
            client.send(query("select pg_sleep(0.2), repeat('x', 3000000)")[:-3])  # half a message
        else:
            client.send(query("select repeat('x', 3000000)"))  # an answer nobody reads


def simple(client: RawClient, chance: random.Random) -> None:
    client.ask(query(f"select {chance.randrange(1000)}, repeat('x', {chance.randrange(50_000)})"))


def pipeline(client: RawClient, chance: random.Random) -> None:
    one = parse("", "select $1::int") + bind("", "", b"7") + execute() + SYNC
    count = chance.randrange(1, 20)
    client.ask(one * count, ready=count)


def block(client: RawClient, chance: random.Random) -> None:
    client.ask(query("begin; select 1"))
    if chance.random() < 0.7:
        client.ask(query(chance.choice(["commit", "rollback", "select 1/0; commit"])))


def copy(client: RawClient, chance: random.Random) -> None:
    client.send(query("create temporary table if not exists t (x text); copy t from stdin"))
    tags = b""
    while not tags.endswith((b"G", b"Z")):
        tags += client.receive()[0]
    if tags.endswith(b"G"):
        client.send(copy_data(b"x\n") * chance.randrange(1000))
        if chance.random() < 0.8:
            client.ask(COPY_DONE)


def cancel(client: RawClient, chance: random.Random) -> None:
    client.send(query("select pg_sleep(5)"))
    with socket.create_connection(client.socket.getpeername(), timeout=10) as canceller:
        body = struct.pack("!ii", 80877102, client.process_id) + client.key
        canceller.sendall(struct.pack("!i", len(body) + 4) + body)
        canceller.recv(1)
    client.until(b"Z")


def listen(client: RawClient, chance: random.Random) -> None:
    client.ask(query("listen news; notify news, 'hello'"))


DEEDS = (simple, simple, pipeline, block, copy, cancel, listen)


class Killer(threading.Thread):
    """Ends backends all the time, and now and then the whole host."""

    def __init__(self, server: Postgres, seed: int) -> None:
        super().__init__(daemon=True)
        self.server = server
        self.chance = random.Random(seed)
        self.ended = threading.Event()
        self.backends = 0
        self.hosts = 0
        self.fault: BaseException | None = None

    def run(self) -> None:
        try:
            next_host = time.monotonic() + self.chance.uniform(2, 4)
            while not self.ended.wait(self.chance.uniform(0.01, 0.2)):
                if time.monotonic() < next_host:
                    self.kill_backends()
                else:
                    self.server.kill()
                    self.hosts += 1
                    # Its dead postmaster may stay a zombie for a while, and counts as running.
                    (self.server.directory / "postmaster.pid").unlink(missing_ok=True)
                    time.sleep(self.chance.uniform(0, 1))
                    self.server.start()
                    next_host = time.monotonic() + self.chance.uniform(3, 6)
        except BaseException as fault:
            self.fault = fault

    def kill_backends(self) -> None:
        """End one or two of them, the service user's own included."""
        with suppress(psycopg.Error), self.server.connect() as connection:
            found = connection.execute(
                "select count(pg_terminate_backend(pid)) from (select pid from pg_stat_activity"
                " where backend_type = 'client backend' and pid <> pg_backend_pid()"
                " order by random() limit 2) as unlucky"
            ).fetchone()
            self.backends += int(str(found[0])) if found else 0


@pytest.fixture
def server(scratch):
    """A host of its own, for it will not survive."""
    if not flavours():
        pytest.skip("no PostgreSQL on this machine")
    made = Postgres.initdb("a", flavours()[0], scratch, settings="unix_socket_directories = ''")
    made.start()
    made.query(f"create role app login password '{APP_PASSWORD.replace(chr(39), chr(39) * 2)}'")
    made.query("create database app owner app")
    yield made
    made.stop("immediate")


def settled(manager) -> tuple[Costs, int]:
    """Wait until no session is left; then read what pywire holds, and how many tasks it has."""

    def alone() -> bool:
        with suppress(psycopg.Error):
            return not [row for row in manager.show("SESSIONS") if row.get("user") == "app"]
        return False

    wait_until(alone, "the sessions to end", 30)
    wait_until(lambda: can_log_in(manager.port), "new sessions to be taken", 30)
    time.sleep(1)
    held = costs(manager.process.pid)
    stats = {row["name"]: row["value"] for row in manager.show("STATS")}
    return held, int(float(str(stats["tasks_now"])))


def can_log_in(port: int) -> bool:
    """Whether a session is taken now."""
    try:
        with RawClient(port).login("app", APP_PASSWORD, "app") as client:
            return client.ask(query("select 1")) == "TDCZ"
    except DEATHS:
        return False


@pytest.mark.slow
@pytest.mark.timeout(SECONDS * 3 + 120)
def test_nothing_leaks_when_everybody_dies(server, scratch):
    seed = int(os.environ.get("PYWIRE_CHAOS_SEED", random.randrange(1_000_000)))
    print(f"PYWIRE_CHAOS_SEED={seed}")
    with running(manager_before(server.port, scratch / "manager")) as manager:
        seen = []
        for number in range(
            3
        ):  # after the first round, all that is kept for good has been allocated
            clients, killer = Clients(manager.port, seed + number), Killer(server, seed + number)
            clients.start()
            killer.start()
            time.sleep(SECONDS / 3)
            killer.ended.set()
            killer.join(60)
            assert killer.fault is None
            clients.stop()
            held, tasks = settled(manager)
            seen.append((held, tasks))
            print(
                f"round {number}: {clients.lives} lives, {clients.deaths} deaths,"
                f" {killer.backends} backends and {killer.hosts} hosts killed; {held}, {tasks} tasks"
            )
            assert manager.process.poll() is None, manager.log.read_text()[-4000:]
        (first, tasks_first), (last, tasks_last) = seen[0], seen[-1]
        assert tasks_last <= tasks_first + 1
        assert last.descriptors <= first.descriptors + 2
        assert last.threads <= first.threads
        assert last.resident_bytes - first.resident_bytes <= GROWTH_BYTES_MAX
    log = manager.log.read_text()
    assert "Traceback" not in log, log[log.index("Traceback") - 500 :][:4000]
