"""A client that reads a 2 GB result slowly costs pywire no memory, and the others no time."""

import threading
import time
from contextlib import ExitStack

import pytest

from .harness import APP_PASSWORD
from .raw_client import TERMINATE, RawClient, query
from .single import costs

MEBIBYTE = 1 << 20
ROWS = 2048
ROW_BYTES = 1 + 4 + 2 + 4 + MEBIBYTE
TRICKLE_BYTES = MEBIBYTE // 4
GROWTH_BYTES_MAX = 24 * MEBIBYTE
LATENCY_SECONDS_MAX = 1.0
STALL_SECONDS = 3.0
STANDING_READERS = 12


class Watch(threading.Thread):
    """Samples pywire's resident memory and a second session's latency while the result is read."""

    def __init__(self, pid: int, port: int) -> None:
        super().__init__(daemon=True)
        self.pid = pid
        self.client = RawClient(port).login("app", APP_PASSWORD, "app")
        self.ended = threading.Event()
        self.resident_bytes_max = 0
        self.latencies: list[float] = []

    def run(self) -> None:
        while not self.ended.is_set():
            started = time.monotonic()
            self.client.ask(query("select 1"))
            self.latencies.append(time.monotonic() - started)
            self.resident_bytes_max = max(self.resident_bytes_max, costs(self.pid).resident_bytes)
            self.ended.wait(0.01)


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_slow_reader_of_2_gigabytes(manager):
    with RawClient(manager.port).login("app", APP_PASSWORD, "app") as reader:
        reader.send(query("select repeat('x', 1048576) from generate_series(1, 10)"))
        reader.until(b"Z")  # the buffers a large result needs are there
        watch = Watch(manager.process.pid, manager.port)
        resident = costs(manager.process.pid).resident_bytes
        watch.start()
        try:
            reader.send(query(f"select repeat('x', 1048576) from generate_series(1, {ROWS})"))
            reader.until(b"T")
            reader.discard(ROW_BYTES * 3)
            time.sleep(STALL_SECONDS)  # not a byte is read
            asked_while_stalled = len(watch.latencies)
            for _ in range(20):  # a trickle
                reader.discard(TRICKLE_BYTES)
                time.sleep(0.05)
            reader.discard(ROW_BYTES * (ROWS - 3) - 20 * TRICKLE_BYTES)
            assert [tag for tag, _ in reader.until(b"Z")] == [b"C", b"Z"]
        finally:
            watch.ended.set()
            watch.join(30)
            watch.client.socket.close()
        reader.send(TERMINATE)
    print(
        f"growth {(watch.resident_bytes_max - resident) / MEBIBYTE:.1f} MiB, {len(watch.latencies)} other answers"
    )
    assert watch.resident_bytes_max - resident < GROWTH_BYTES_MAX
    assert asked_while_stalled > 20  # of some 200; the machine may be busy
    assert max(watch.latencies) < LATENCY_SECONDS_MAX


@pytest.mark.slow
def test_a_client_that_does_not_read_its_answers(manager):
    """Pipelined requests whose answers nobody takes: pywire stops reading from that client, and only from it."""
    with RawClient(manager.port, seconds_max=3).login("app", APP_PASSWORD, "app") as careless:
        resident = costs(manager.process.pid).resident_bytes
        requests = query("select repeat('x', 100000)") * 2000
        sent = 0
        try:
            while sent < len(requests) * 20:
                careless.send(requests)
                sent += len(requests)
        except TimeoutError:
            pass
        with RawClient(manager.port).login("app", APP_PASSWORD, "app") as other:
            assert other.ask(query("select 1")) == "TDCZ"
            other.send(TERMINATE)
        assert costs(manager.process.pid).resident_bytes - resident < GROWTH_BYTES_MAX


@pytest.mark.slow
def test_many_readers_that_stand_still_do_not_stop_the_others(manager):
    """What they are owed must not use up the buffers that everybody receives into."""
    with ExitStack() as stack:
        for _ in range(STANDING_READERS):
            reader = stack.enter_context(RawClient(manager.port))
            reader.login("app", APP_PASSWORD, "app")
            reader.send(query("select repeat('x', 1048576) from generate_series(1, 200)"))
            reader.until(b"T")
        other = stack.enter_context(RawClient(manager.port, seconds_max=15))
        other.login("app", APP_PASSWORD, "app")
        started = time.monotonic()
        for _ in range(100):
            assert other.ask(query("select repeat('y', 20000)")) == "TDCZ"
        assert time.monotonic() - started < 10
        other.send(TERMINATE)
