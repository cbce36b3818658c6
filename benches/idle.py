"""Memory of idle sessions, against a stub host: how much in Rust, how much in Python.

Two runs: one tells what the whole process grows by, the other, with tracemalloc, how much of that
Python has allocated. What is not Python's counts as Rust's, the allocator's waste included.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

from benches.procfs import tree_memory_kib
from benches.servers import Lab, Target, Unavailable, pywire_settings
from benches.wire import Connection

WARM_UP = 50


def measure(lab: Lab, host: Target, sessions: int) -> dict[str, float]:
    """KiB per idle session, in Rust and in Python."""
    port = lab.port()
    stub = lab.start(
        "stub", port, sys.executable, "-m", "benches.stub", str(port), str(host.port),
        version="stub", as_root=True, ready=False,
    )  # fmt: skip
    time.sleep(0.5)
    total, rate = _whole(lab, stub, sessions)
    python = _traced(lab, stub, sessions)
    return {
        "sessions": sessions,
        "total_kib": total,
        "python_kib": python,
        "rust_kib": total - python,
        "logins_per_second": rate,
    }


def _open(port: int, count: int) -> list[Connection]:
    return [Connection(port, user="idle") for _ in range(count)]


def _whole(lab: Lab, stub: Target, sessions: int) -> tuple[float, float]:
    port = lab.port()
    settings = lab.write("idle.toml", pywire_settings(port, stub.port, "auto"))
    program = Path(sys.executable).parent / "pywire"
    pywire = lab.start(
        "pywire-idle", port, program, "run", "--config", settings, version="", as_root=True
    )
    first = _open(port, WARM_UP)
    time.sleep(1)
    before, start = tree_memory_kib(pywire.pid), time.monotonic()
    more = _open(port, sessions)
    rate = sessions / (time.monotonic() - start)
    time.sleep(2)
    grown = tree_memory_kib(pywire.pid) - before
    _end(lab, first + more)
    return grown / sessions, rate


def _traced(lab: Lab, stub: Target, sessions: int) -> float:
    port = lab.port()
    settings = lab.write("traced.toml", pywire_settings(port, stub.port, "auto"))
    told = lab.directory / "traced"
    lab.start(
        "pywire-traced", port, sys.executable, "-m", "benches.traced", told, settings,
        version="", as_root=True,
    )  # fmt: skip
    first = _open(port, WARM_UP)
    time.sleep(2)
    before = int(told.read_text())
    more = _open(port, sessions)
    time.sleep(3)
    grown = int(told.read_text()) - before
    _end(lab, first + more)
    return grown / 1024 / sessions


def _end(lab: Lab, connections: list[Connection]) -> None:
    for connection in connections:
        connection.close()
    process, _ = lab.processes.pop()
    lab.stop(process, signal.SIGTERM)
    if process.returncode not in (0, -signal.SIGTERM):
        raise Unavailable(f"pywire ended with {process.returncode}")
