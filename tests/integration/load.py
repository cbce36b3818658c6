"""pgbench as the load of a test: started, ended, and its sums compared.

Every transaction of TPC-B changes four tables by the same amount; if their sums agree, no transaction was done half, and
if they equal the history, none was done twice.
"""

from __future__ import annotations

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from .harness import PASSWORD, Manager, Postgres, dsn

SCALE = 4


@dataclass
class Load:
    """A running pgbench."""

    process: subprocess.Popen[str]

    @classmethod
    def start(
        cls,
        programs: Path,
        port: int,
        *,
        protocol: str,
        clients: int,
        seconds: int,
        extra: tuple[str, ...] = (),
    ) -> Load:
        """Begin; every error ends a client and shows in the result."""
        command = [
            str(programs / "pgbench"),
            "-n",
            "-M",
            protocol,
            "-c",
            str(clients),
            "-j",
            "2",
            "-T",
            str(seconds),
        ]
        command += [*extra, dsn(port, "bench", user="postgres")]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "PGPASSWORD": PASSWORD, "LC_ALL": "C"},
        )
        return cls(process)

    @property
    def running(self) -> bool:
        """Whether it still runs."""
        return self.process.poll() is None

    def finish(self, timeout: float = 120) -> int:
        """Wait for its end; the number of transactions done. AssertionError if anything failed."""
        said, _ = self.process.communicate(timeout=timeout)
        assert self.process.returncode == 0, said
        assert "aborted" not in said, said
        failed = re.search(r"number of failed transactions: (\d+)", said)
        assert failed is None or failed[1] == "0", said
        done = re.search(r"number of transactions actually processed: (\d+)", said)
        assert done is not None, said
        return int(done[1])


def prepare(primary: Postgres) -> None:
    """Make the bench database, and its tables."""
    if primary.query("select count(*) from pg_database where datname = 'bench'") == 0:
        primary.query("create database bench")
    done = subprocess.run(
        [
            str(primary.flavour.bin_directory / "pgbench"),
            "-i",
            "-q",
            "-s",
            str(SCALE),
            primary.dsn("bench"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PGPASSWORD": PASSWORD},
        check=False,
    )
    assert done.returncode == 0, done.stderr


def history(server: Postgres) -> int:
    """How many transactions the data says were done, after checking that all sums agree."""
    with server.connect("bench") as connection:
        row = connection.execute(
            "select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),"
            " (select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history),"
            " (select count(*) from pgbench_history)"
        ).fetchone()
    assert row is not None
    assert row[0] == row[1] == row[2] == row[3], row
    count = row[4]
    assert isinstance(count, int)
    return count


def switch_back_and_forth(
    manager: Manager, times: int, load: Load | None = None
) -> list[dict[str, object]]:
    """Change the primary `times` times; what the console said of each."""
    told = []
    for _ in range(times):
        hosts = {row["role"]: row["host"] for row in manager.show("HOSTS")}
        answer = manager.ctl_json(f"SWITCHOVER main TO {hosts['standby']}")
        told += answer
        if load is not None:
            assert load.running, load.process.communicate()[0]
    return told
