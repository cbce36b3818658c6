"""The load: pgbench's TPC-B, and what it says about itself while it runs and at its end.

pgbench is the witness. Whether a transaction failed and how many there were is taken from its report, not from pywire.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import trio

from pywire.demo.tools import DemoError

PROGRESS = re.compile(r"progress: [\d.]+ s, (?P<tps>[\d.]+) tps, .*?(?P<failed>\d+) failed")
PROCESSED = re.compile(r"number of transactions actually processed: (\d+)")
FAILED = re.compile(r"number of failed transactions: (\d+)")
LATENCY = re.compile(r"latency average = ([\d.]+) ms")
TPS = re.compile(r"tps = ([\d.]+)")


@dataclass(frozen=True, slots=True)
class Progress:
    """One line of pgbench -P 1."""

    tps: float
    failed: int


@dataclass(frozen=True, slots=True)
class Report:
    """What pgbench says in the end."""

    processed: int
    failed: int
    tps: float
    latency_ms: float
    longest_ms: float
    """The longest any client waited for one transaction, from pgbench's log of every transaction."""
    complaints: list[str] = field(default_factory=list)
    """Errors it printed, aborted clients for example."""


@dataclass(frozen=True, slots=True)
class Load:
    """How pgbench is run."""

    program: Path
    conninfo: str
    environment: dict[str, str]
    """Has PGPASSWORD, which is nobody's business in a list of processes."""

    clients: int
    seconds: int
    directory: Path

    async def initialize(self) -> None:
        """Create and fill the tables, one branch for each client so that they do not queue for one row."""
        await self._run_to_end("-i", "-q", "-s", str(max(self.clients, 1)))

    async def run(self, on_progress: Callable[[Progress], None]) -> Report:
        """Run TPC-B for `seconds` and return the report.

        Raises:
            DemoError: It printed no report at all.
        """
        arguments = [
            *(
                "-n",
                "-M",
                "prepared",
                "-P",
                "1",
                "-c",
                str(self.clients),
                "-j",
                str(min(self.clients, 2)),
            ),
            *("-T", str(self.seconds), "-l", "--log-prefix", str(self.directory / "transactions")),
        ]
        process = await trio.lowlevel.open_process(
            [str(self.program), *arguments, self.conninfo],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=self.environment,
        )
        output: list[str] = []
        complaints: list[str] = []

        def on_error_line(line: str) -> None:
            if found := PROGRESS.search(line):
                on_progress(Progress(float(found["tps"]), int(found["failed"])))
            elif "error" in line or "aborted" in line:
                complaints.append(line)

        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(_lines, process.stdout, output.append)
                nursery.start_soon(_lines, process.stderr, on_error_line)
                await process.wait()
        finally:
            if process.poll() is None:
                process.kill()
                with trio.CancelScope(shield=True):
                    await process.wait()
        longest = await trio.to_thread.run_sync(self._longest_ms)
        return read_report("\n".join(output), longest, complaints)

    def _longest_ms(self) -> float:
        """Return the longest transaction; the third column of pgbench's log is microseconds."""
        longest = 0
        for path in self.directory.glob("transactions.*"):
            with path.open() as file:
                longest = max(
                    longest, max((int(line.split(" ", 3)[2]) for line in file), default=0)
                )
        return longest / 1000

    async def _run_to_end(self, *arguments: str) -> None:
        completed = await trio.run_process(
            [str(self.program), *arguments, self.conninfo],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            start_new_session=True,
            env=self.environment,
        )
        if completed.returncode != 0:
            raise DemoError(
                f"pgbench {' '.join(arguments)} failed:\n{completed.stderr.decode(errors='replace')}"
            )


def read_report(text: str, longest_ms: float, complaints: list[str]) -> Report:
    """Read pgbench's closing report.

    Raises:
        DemoError: There is none, so pgbench did not get to its end.
    """
    processed, failed = PROCESSED.search(text), FAILED.search(text)
    if processed is None or failed is None:
        raise DemoError("pgbench gave no report:\n" + "\n".join([*complaints, text])[-2000:])
    latency, tps = LATENCY.search(text), TPS.search(text)
    return Report(
        processed=int(processed[1]),
        failed=int(failed[1]),
        tps=float(tps[1]) if tps else 0.0,
        latency_ms=float(latency[1]) if latency else 0.0,
        longest_ms=longest_ms,
        complaints=complaints,
    )


async def _lines(stream: trio.abc.ReceiveStream | None, on_line: Callable[[str], None]) -> None:
    assert stream is not None
    rest = b""
    async for chunk in stream:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            on_line(line.decode(errors="replace"))
    if rest:
        on_line(rest.decode(errors="replace"))
