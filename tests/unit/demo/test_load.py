"""pgbench's words are understood as it says them."""

import pytest

from pywire.demo.load import PROGRESS, read_report
from pywire.demo.tools import DemoError

CLOSING = """\
pgbench (18.6)
transaction type: <builtin: TPC-B (sort of)>
number of clients: 16
number of transactions actually processed: 39397
number of failed transactions: 2 (0.005%)
latency average = 2.424 ms
latency stddev = 1.730 ms
initial connection time = 25.581 ms
tps = 6601.012345 (without initial connection time)
"""


def test_the_report_is_read():
    report = read_report(CLOSING, 91.0, [])
    assert (report.processed, report.failed, report.longest_ms) == (39397, 2, 91.0)
    assert report.tps == pytest.approx(6601.01, abs=0.01)
    assert report.latency_ms == pytest.approx(2.424)


def test_no_report_is_an_error_that_shows_what_was_said():
    with pytest.raises(DemoError, match="client 3 aborted"):
        read_report("pgbench (18.6)", 0.0, ["pgbench: error: client 3 aborted"])


@pytest.mark.parametrize(
    ("line", "tps"),
    [
        ("progress: 3.0 s, 6833.1 tps, lat 2.340 ms stddev 1.501, 0 failed", "6833.1"),
        ("progress: 4.0 s, 0.0 tps, lat 0.000 ms stddev 0.000, 0 failed", "0.0"),
        ("progress: 5.0 s, 0.0 tps, lat NaN ms stddev NaN, 0 failed", "0.0"),
    ],
)
def test_progress_lines_are_read(line, tps):
    assert PROGRESS.search(line)["tps"] == tps
