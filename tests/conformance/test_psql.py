"""psql: every backslash command that asks the server something, \\copy, pipelines, Ctrl-C."""

import fcntl
import os
import pty
import select
import subprocess
import termios
import time
from pathlib import Path

import pytest

from tests.integration.harness import wait_until

HERE = Path(__file__).parent / "psql"


@pytest.fixture
def psql(host):
    """The psql of the server's own version."""
    return host.programs / "psql"


def test_psql_shows_the_same(psql, same, tmp_path):
    folder = tmp_path.parent  # the same on every route: psql prints where its script lies
    script = (HERE / "backslash.sql").read_text().replace("copied.csv", str(folder / "copied.csv"))
    file = folder / "script.sql"
    file.write_text(script)
    printed = same(psql, "-X", "-a", "-f", file)
    assert "-- end" in printed
    assert "e\\\\leven" in printed


def test_psql_pipelines(host, psql, same):
    if host.version < 180000:
        pytest.skip("psql has pipelines since version 18; this one is older")
    printed = same(psql, "-X", "-a", "-f", HERE / "pipeline.sql")
    assert "simple again |     2" in printed


class Terminal:
    """An interactive psql on a terminal of its own."""

    def __init__(self, psql: Path, environment: dict[str, str]) -> None:
        ours, theirs = pty.openpty()
        self.terminal = ours
        self.seen = ""
        self.process = subprocess.Popen(
            [psql, "-XAt", "--no-readline", "-P", "pager=off"],
            env=environment,
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)

    def type(self, text: str) -> None:
        """Type as a person would."""
        os.write(self.terminal, text.encode())

    def until(self, text: str, seconds: float = 20.0) -> None:
        """Read until `text` has been printed since the last call."""
        deadline = time.monotonic() + seconds
        while text not in self.seen:
            assert select.select([self.terminal], [], [], max(0, deadline - time.monotonic()))[0], (
                self.seen
            )
            self.seen += os.read(self.terminal, 4096).decode()
        self.seen = self.seen.partition(text)[2]

    def close(self) -> None:
        """End psql."""
        os.close(self.terminal)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def test_ctrl_c_cancels_the_statement_and_nothing_else(host, psql, target):
    terminal = Terminal(psql, target.environment())
    try:
        terminal.until("=>")
        for number in range(3):
            terminal.type(f"select pg_sleep(60 + {number});\n")
            asleep = f"select count(*) from pg_stat_activity where query like '%60 + {number}%' and wait_event = 'PgSleep'"
            wait_until(lambda query=asleep: host.sql(query) == 1, "psql to sleep")
            terminal.type("\x03")
            terminal.until("canceling statement due to user request")
            terminal.type(f"select 'still here' || {number};\n")
            terminal.until(f"still here{number}")
        terminal.type("\x03")  # nothing runs: this one must not hit the next statement
        time.sleep(0.3)  # psql drops what is typed before it has shown a new prompt
        terminal.type("select 'unharmed' || pg_sleep(0.5);\n")
        terminal.until("\nunharmed")
    finally:
        terminal.close()
