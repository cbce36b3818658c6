"""pgbench in all protocol modes, with a connection per transaction, and with libpq pipelines."""

import re
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "pgbench"
SCALE = 2
MEASUREMENT = re.compile(r"latency|tps|connection time|done in|tuples")
SUMS = """select ((select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history))
and ((select sum(tbalance) from pgbench_tellers) = (select sum(delta) from pgbench_history))
and ((select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history))"""


@pytest.fixture
def pgbench(host, same):
    """Run pgbench to its end; what it measured is taken out of what it printed."""

    def run(*arguments, name=""):
        return same(
            host.programs / "pgbench", *arguments, name=name, comparable=without_measurements
        )

    return run


def processed(printed: str) -> int:
    """How many transactions pgbench reports; none may have failed."""
    assert re.search(r"number of failed transactions: 0 ", printed), printed
    return int(re.search(r"actually processed: (\d+)/\d+", printed)[1])


def without_measurements(printed: str) -> str:
    """What must be the same in every run of pgbench."""
    return "\n".join(line for line in printed.splitlines() if not MEASUREMENT.search(line))


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_tpcb(host, target, pgbench, mode):
    pgbench("-i", "-q", "-s", str(SCALE), name="initialize")
    printed = pgbench("-n", "-M", mode, "-c", "8", "-j", "2", "-t", "100")
    assert processed(printed) == 800
    assert host.sql(SUMS) is True


def test_a_connection_for_each_transaction(host, pgbench):
    pgbench("-i", "-q", "-s", "1", name="initialize")
    printed = pgbench("-n", "-S", "-C", "-c", "4", "-j", "2", "-t", "25")
    assert processed(printed) == 100


@pytest.mark.parametrize("mode", ["extended", "prepared"])
def test_pipelines(host, pgbench, mode):
    host.sql("create table piped (id int primary key); grant all on piped to app")
    printed = pgbench(
        "-n", "-M", mode, "-c", "4", "-j", "2", "-t", "50", "-f", HERE / "pipeline.sql"
    )
    assert processed(printed) == 200
