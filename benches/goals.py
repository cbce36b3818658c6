"""The table that pywire has to reach, and how a run's samples are judged by it.

Ratios are taken within a round, where both sides saw the same machine, and the median over the
rounds counts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benches.measure import Sample

EPOLL = "pywire-epoll"
IO_URING = "pywire-io_uring"
PGBOUNCER = "pgbouncer"
HAPROXY = "haproxy"
DIRECT = "direct"
SELECTS = ("select-simple", "select-extended", "select-prepared", "select-1")


@dataclass(frozen=True, slots=True)
class Results:
    """The samples of one run, and what was measured beside them."""

    samples: list[Sample]
    idle: dict[str, float]

    def by_round(
        self, target: str, workload: str, clients: int, pick: Callable[[Sample], float]
    ) -> dict[int, float]:
        return {
            s.round: pick(s)
            for s in self.samples
            if (s.target, s.workload, s.clients) == (target, workload, clients)
        }

    def median(
        self, target: str, workload: str, clients: int, pick: Callable[[Sample], float]
    ) -> float | None:
        values = self.by_round(target, workload, clients, pick).values()
        return statistics.median(values) if values else None

    def compare(
        self,
        mine: str,
        theirs: str,
        workload: str,
        clients: int,
        pick: Callable[[Sample], float],
        of: Callable[[float, float], float] = lambda a, b: a / b,
    ) -> float | None:
        """Median over the rounds of mine against theirs in the same round."""
        ours = self.by_round(mine, workload, clients, pick)
        other = self.by_round(theirs, workload, clients, pick)
        both = [of(ours[r], other[r]) for r in ours.keys() & other.keys() if other[r]]
        return statistics.median(both) if both else None


def cpu(sample: Sample) -> float:
    return sample.cpu_us


def rate(sample: Sample) -> float:
    return sample.rate


def latency(sample: Sample) -> float:
    return sample.latency_us


@dataclass(frozen=True, slots=True)
class Figure:
    """One number of a row: what it is about, its value, and whether that is good enough."""

    label: str
    value: float | None
    limit: float
    at_most: bool = True
    digits: int = 2

    @property
    def met(self) -> bool | None:
        """None if it was not measured. Compared as it is printed."""
        if self.value is None:
            return None
        shown = round(self.value, self.digits)
        return shown <= self.limit if self.at_most else shown >= self.limit


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    title: str
    target: str
    figures: tuple[Figure, ...]

    @property
    def met(self) -> bool | None:
        verdicts = [figure.met for figure in self.figures]
        if False in verdicts:
            return False
        return None if None in verdicts else True


def rows(results: Results) -> Iterator[Row]:
    """The table of the comparison, filled in."""
    for clients, limit in ((1, 0.95), (8, 1.00), (32, 1.00)):
        yield _selects(results, EPOLL, clients, limit)
    for clients, limit in ((8, 0.85), (32, 0.75)):
        yield _selects(results, IO_URING, clients, limit)
    for workload, title, clients in (
        ("tpcb", "TPC-B, 32 clients", 32),
        ("pipeline", "20-statement pipelines, 8 clients", 8),
    ):
        figure = _best(results, workload, clients, title)
        yield Row(f"{title} (best driver)", "CPU at most 0.90 of PgBouncer's", (figure,))
    for workload, title, limit in (
        ("rows-1k", "rows of 1 kB", 0.35),
        ("copy-out", "COPY OUT", 0.35),
        ("values-1m", "1 MiB values", 0.35),
        ("copy-in", "COPY IN", 0.45),
    ):
        yield _bulk(results, workload, title, limit)
    yield _latency(results)
    yield _churn(results)
    yield _idle(results)


def _selects(results: Results, target: str, clients: int, limit: float) -> Row:
    figures = tuple(
        Figure(name, results.compare(target, PGBOUNCER, name, clients, cpu), limit)
        for name in SELECTS
    )
    driver = target.removeprefix("pywire-")
    plural = "" if clients == 1 else "s"
    return Row(
        f"pgbench -S and SELECT 1, {driver}, {clients} client{plural}",
        f"CPU at most {limit:.2f} of PgBouncer's", figures,
    )  # fmt: skip


def _best(results: Results, workload: str, clients: int, label: str) -> Figure:
    found = [
        (ratio, target)
        for target in (EPOLL, IO_URING)
        if (ratio := results.compare(target, PGBOUNCER, workload, clients, cpu)) is not None
    ]
    if not found:
        return Figure(label, None, 0.90)
    ratio, target = min(found)
    return Figure(target.removeprefix("pywire-"), ratio, 0.90)


def _bulk(results: Results, workload: str, title: str, limit: float) -> Row:
    figures = []
    for target in (EPOLL, IO_URING):
        driver = target.removeprefix("pywire-")
        ratio = results.compare(target, PGBOUNCER, workload, 1, cpu)
        figures.append(Figure(f"{driver}: CPU", ratio, limit))
        speed = results.compare(target, HAPROXY, workload, 1, rate)
        figures.append(Figure(f"{driver}: speed", speed, 1.0, at_most=False))
    # The better driver counts: it is what `auto` should take.
    chosen = figures if any(f.value is None for f in figures) else _better(figures)
    return Row(
        f"{title} (best driver)",
        f"CPU at most {limit:.2f} of PgBouncer's, speed at least HAProxy's", tuple(chosen),
    )  # fmt: skip


def _better(figures: list[Figure]) -> list[Figure]:
    """Of two drivers' pairs of figures the one that meets more, or else costs less."""
    pairs = [figures[:2], figures[2:]]
    return min(pairs, key=lambda pair: (-sum(bool(f.met) for f in pair), pair[0].value or 0.0))


def _latency(results: Results) -> Row:
    """Added latency as a share of the lower of the peers'."""
    figures = []
    for workload in ("select-simple", "select-1"):
        added = {
            target: results.compare(target, DIRECT, workload, 1, latency, lambda a, b: a - b)
            for target in (EPOLL, IO_URING, HAPROXY, PGBOUNCER)
        }
        peers = [value for t in (HAPROXY, PGBOUNCER) if (value := added[t]) is not None]
        ours = [value for t in (EPOLL, IO_URING) if (value := added[t]) is not None]
        share = min(ours) / min(peers) if peers and ours and min(peers) > 0 else None
        figures.append(Figure(workload, share, 1.0))
    return Row("added latency, mean, 1 client", "at most HAProxy's and PgBouncer's", tuple(figures))


def _churn(results: Results) -> Row:
    shares = [results.compare(t, DIRECT, "churn", 8, rate) for t in (EPOLL, IO_URING)]
    costs = [results.median(t, "churn", 8, cpu) for t in (EPOLL, IO_URING)]
    known = [share for share in shares if share is not None]
    spent = [cost / 1000 for cost in costs if cost is not None]
    return Row(
        "a connection per transaction (-C), 8 clients",
        "at least 0.90 of direct's rate; a login under 1 ms of CPU",
        (
            Figure("rate", max(known, default=None), 0.90, at_most=False),
            Figure("ms per login", min(spent, default=None), 0.99),
        ),
    )


def _idle(results: Results) -> Row:
    return Row(
        "idle session", "at most 4 KiB in Rust and 6 KiB in Python",
        (
            Figure("KiB in Rust", results.idle.get("rust_kib"), 4.0, digits=1),
            Figure("KiB in Python", results.idle.get("python_kib"), 6.0, digits=1),
        ),
    )  # fmt: skip
