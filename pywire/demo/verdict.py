"""The verdict, read from the data and not from anybody's word.

TPC-B writes every amount four times: into an account, a teller, a branch and the history. A transaction lost, done
twice or done by halves makes the sums differ, or the history longer or shorter than what pgbench counted. Pure: it
compares what it is given.
"""

from __future__ import annotations

from dataclasses import dataclass

from pywire.demo.load import Report

SUMS_STATEMENT = """\
select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from pgbench_tellers),
(select sum(bbalance) from pgbench_branches), (select coalesce(sum(delta), 0) from pgbench_history),
(select count(*) from pgbench_history)"""


@dataclass(frozen=True, slots=True)
class Sums:
    """The money in one host's tables."""

    accounts: int
    tellers: int
    branches: int
    history: int
    history_rows: int

    @classmethod
    def read(cls, printed: str) -> Sums:
        """Read what psql printed for `SUMS_STATEMENT`."""
        accounts, tellers, branches, history, rows = (int(value) for value in printed.split("|"))
        return cls(accounts, tellers, branches, history, rows)

    @property
    def agree(self) -> bool:
        """Every amount is in all four places."""
        return self.accounts == self.tellers == self.branches == self.history


@dataclass(frozen=True, slots=True)
class Check:
    """One question and its answer."""

    question: str
    answer: str
    passed: bool


def judge(
    report: Report, sums: dict[str, Sums], switchovers: int, switchovers_asked: int
) -> list[Check]:
    """Return every check; the demonstration succeeded if all have passed.

    Args:
        report: pgbench's own account of the run.
        sums: What each host holds in the end; the primary's comes first.
        switchovers: How often the primary changed.
        switchovers_asked: How often it should have.
    """
    primary = next(iter(sums.values()))
    checks = [
        Check(
            "transactions that failed, by pgbench's report",
            f"{report.failed} of {report.processed:,}",
            report.failed == 0 and report.processed > 0,
        ),
        Check(
            "clients that were cut off or saw an error",
            "0" if not report.complaints else f"{len(report.complaints)}: {report.complaints[0]}",
            not report.complaints,
        ),
        Check(
            "switchovers carried out",
            f"{switchovers} of {switchovers_asked}",
            switchovers == switchovers_asked,
        ),
        Check(
            "accounts = tellers = branches = history",
            " = ".join(
                f"{amount:,}"
                for amount in (primary.accounts, primary.tellers, primary.branches, primary.history)
            ),
            primary.agree,
        ),
        Check(
            "rows of history, one for each transaction",
            f"{primary.history_rows:,}",
            primary.history_rows == report.processed,
        ),
    ]
    if len(sums) > 1:
        same = len(set(sums.values())) == 1
        checks.append(Check("both hosts hold the same", "yes" if same else "no", same))
    return checks
