"""pgbench in all protocol modes, with a connection per transaction, and with libpq pipelines."""

import re
from pathlib import Path

import pytest

from .conftest import run_client

HERE = Path(__file__).parent / "pgbench"
SCALE = 2
SUMS = """select ((select sum(abalance) from pgbench_accounts) = (select sum(delta) from pgbench_history))
and ((select sum(tbalance) from pgbench_tellers) = (select sum(delta) from pgbench_history))
and ((select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history))"""


@pytest.fixture
def pgbench(host, target):
    """Run pgbench to its end; what it prints is mostly measurements, so its report and the data are the proof."""
    return lambda *arguments: run_client((host.programs / "pgbench", *arguments), target)


def processed(printed: str) -> int:
    """How many transactions pgbench reports; none may have failed."""
    assert re.search(r"number of failed transactions: 0 ", printed), printed
    return int(re.search(r"actually processed: (\d+)/\d+", printed)[1])


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_tpcb(host, target, pgbench, mode):
    pgbench("-i", "-q", "-s", str(SCALE))
    printed = pgbench("-n", "-M", mode, "-c", "8", "-j", "2", "-t", "100")
    assert processed(printed) == 800
    assert host.sql(SUMS) is True


def test_a_connection_for_each_transaction(host, pgbench):
    pgbench("-i", "-q", "-s", "1")
    printed = pgbench("-n", "-S", "-C", "-c", "4", "-j", "2", "-t", "25")
    assert processed(printed) == 100


@pytest.mark.parametrize("mode", ["extended", "prepared"])
def test_pipelines(host, pgbench, mode):
    host.sql("create table piped (id int primary key); grant all on piped to app")
    printed = pgbench(
        "-n", "-M", mode, "-c", "4", "-j", "2", "-t", "50", "-f", HERE / "pipeline.sql"
    )
    assert processed(printed) == 200
