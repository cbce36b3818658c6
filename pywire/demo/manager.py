"""pywire itself, run as its user runs it: a configuration file, `pywire run`, and `pywire ctl`.

The demonstration never reaches into the manager; all it knows it reads from the admin console.
"""

from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import trio

from pywire.demo.servers import Pair
from pywire.demo.tools import DemoError, free_ports

CONFIGURATION = """\
# What a user would write for two hosts that pywire itself looks after.
[listen]
address = "127.0.0.1"
port = {port}

[admin]
users = ["postgres"]

[cluster.main]
source = "pywire"
service_user = "postgres"
service_password_file = "service_password"
"""

HOST = """
[[cluster.main.host]]
name = "{name}"
address = "127.0.0.1:{port}"
data_directory = "{directory}"
bin_directory = "{programs}"
"""

READY_SECONDS_MAX = 30.0
DRAIN_SECONDS_MAX = 10.0

Rows = list[dict[str, str | int | float | bool | None]]
"""Rows of the admin console: column name to value."""

MARK_TEXT = "-- end of table"
MARK = ("-c", f"\\echo {MARK_TEXT}")


@dataclass(frozen=True, slots=True)
class Manager:
    """A running `pywire run` and how to speak to it."""

    configuration: Path
    port: int
    pair: Pair

    def conninfo(self, database: str = "postgres") -> str:
        """Return the connection string that reaches the current primary through pywire."""
        return f"host=127.0.0.1 port={self.port} user=postgres dbname={database} sslmode=disable"

    async def control(self, command: str) -> Rows:
        """Run `pywire ctl` with one command and return the rows it answers with.

        Raises:
            DemoError: The command was refused or failed.
        """
        completed = await trio.run_process(
            [*PYWIRE, "ctl", "--config", str(self.configuration), "--json", command],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            start_new_session=True,
        )
        said = completed.stdout.decode(errors="replace")
        if completed.returncode != 0:
            raise DemoError(f"{command}: {completed.stderr.decode(errors='replace') or said}")
        rows: Rows = json.loads(said)
        return rows

    async def show(self, *subjects: str) -> dict[str, list[dict[str, str]]]:
        """Return the rows of `SHOW ...` for each subject, read from the admin console with psql."""
        commands = [word for subject in subjects for word in ("-c", f"SHOW {subject}", *MARK)]
        printed = await self.pair.account.run(
            *(self.pair.programs / "psql", "-Xq", "--csv", "-d", self.conninfo("pywire")),
            *commands,
            environment=self.pair.environment,
        )
        tables = printed.split(f"{MARK_TEXT}\n")
        return {
            subject: list(csv.DictReader(table.splitlines()))
            for subject, table in zip(subjects, tables, strict=False)
        }


PYWIRE = (sys.executable, "-m", "pywire")


@asynccontextmanager
async def running_manager(pair: Pair, scratch: Path) -> AsyncIterator[Manager]:
    """Write the configuration, start `pywire run`, yield once it takes sessions, and end it in the end."""
    configuration = scratch / "pywire.toml"
    (port,) = free_ports(1)
    text = CONFIGURATION.format(port=port)
    for server in pair.servers:
        text += HOST.format(
            name=server.name, port=server.port, directory=server.directory, programs=pair.programs
        )
        if pair.account.borrowed:
            text += f'run_as = "{pair.account.name}"\n'
    configuration.write_text(text)
    password_file = scratch / "service_password"
    password_file.touch(mode=0o600)
    password_file.write_text(pair.password)

    manager = Manager(configuration, port, pair)
    log = scratch / "pywire.log"
    with log.open("wb") as log_file:
        process = await trio.lowlevel.open_process(
            [*PYWIRE, "run", "--config", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=log_file,
            stderr=log_file,
            start_new_session=True,
        )
    try:
        await _until_ready(manager, process, log)
        yield manager
        if process.poll() is not None:
            raise DemoError(
                f"pywire ended by itself with exit code {process.returncode}:\n{tail(log)}"
            )
    finally:
        with trio.CancelScope(shield=True):
            await _end(process)


async def _until_ready(manager: Manager, process: trio.Process, log: Path) -> None:
    problem = "no answer"
    with trio.move_on_after(READY_SECONDS_MAX):
        while process.poll() is None:
            try:
                await manager.pair.query(manager.conninfo(), "select 1")
                return
            except DemoError as error:
                problem = str(error)
            await trio.sleep(0.2)
        raise DemoError(f"pywire did not start (exit code {process.returncode}):\n{tail(log)}")
    raise DemoError(
        f"pywire takes no sessions after {READY_SECONDS_MAX:.0f} s: {problem}\n{tail(log)}"
    )


async def _end(process: trio.Process) -> None:
    """Ask for a drain, as an operator would, and insist if that takes too long."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        with trio.move_on_after(DRAIN_SECONDS_MAX):
            await process.wait()
    if process.poll() is None:
        process.kill()
        await process.wait()


def tail(log: Path, lines_max: int = 15) -> str:
    """Return the last lines of a log file."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-lines_max:])
