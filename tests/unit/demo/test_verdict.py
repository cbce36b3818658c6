"""The verdict is passed only if every check is."""

import pytest

from pywire.demo.load import Report
from pywire.demo.verdict import Sums, judge

GOOD = Sums(accounts=7, tellers=7, branches=7, history=7, history_rows=100)


def report(**changes):
    values = {"processed": 100, "failed": 0, "tps": 10.0, "latency_ms": 1.0, "longest_ms": 9.0}
    return Report(**(values | changes))


def failing(checks):
    return [check.question for check in checks if not check.passed]


def test_all_checks_pass_for_a_good_run():
    checks = judge(report(), {"a": GOOD, "b": GOOD}, switchovers=2, switchovers_asked=2)
    assert failing(checks) == []
    assert len(checks) == 6


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"failed": 1}, "failed"),
        ({"processed": 0}, "failed"),
        ({"complaints": ["client 3 aborted"]}, "cut off"),
        ({"processed": 101}, "rows of history"),
    ],
)
def test_what_pgbench_reports_counts(changes, word):
    checks = judge(report(**changes), {"a": GOOD}, switchovers=0, switchovers_asked=0)
    assert any(word in question for question in failing(checks))


@pytest.mark.parametrize("place", ["accounts", "tellers", "branches", "history"])
def test_an_amount_missing_in_one_place_fails(place):
    amounts = {"accounts": 7, "tellers": 7, "branches": 7, "history": 7} | {place: 8}
    sums = Sums(**amounts, history_rows=100)
    checks = judge(report(), {"a": sums}, switchovers=0, switchovers_asked=0)
    assert failing(checks) == ["accounts = tellers = branches = history"]


def test_a_missing_switchover_fails():
    checks = judge(report(), {"a": GOOD}, switchovers=1, switchovers_asked=2)
    assert failing(checks) == ["switchovers carried out"]


def test_hosts_that_differ_fail():
    other = Sums(accounts=7, tellers=7, branches=7, history=7, history_rows=99)
    checks = judge(report(), {"a": GOOD, "b": other}, switchovers=0, switchovers_asked=0)
    assert failing(checks) == ["both hosts hold the same"]


def test_sums_are_read_from_psql():
    assert Sums.read("1|-2|3|-4|5") == Sums(1, -2, 3, -4, 5)
