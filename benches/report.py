"""Turns results into tables: `python -m benches.report [FILE]` writes the reference page.

FILE is a JSON file of `benches/results`, by default the newest there. The page has nothing but
what that file says.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benches.goals import DIRECT, PGBOUNCER, Figure, Results, Row, cpu, latency, rate, rows
from benches.measure import Sample
from benches.servers import ROOT
from benches.workloads import WORKLOADS

RESULTS = ROOT / "benches" / "results"
PAGE = ROOT / "docs" / "reference" / "performance.md"
MADE = "<!-- Made by `python -m benches.report` from a file of benches/results. -->"


def load(path: Path) -> tuple[dict[str, Any], Results]:
    told = json.loads(path.read_text())
    samples = [Sample(**sample) for sample in told["samples"]]
    return told, Results(samples, told.get("idle") or {})


def newest() -> Path:
    found = sorted(RESULTS.glob("*.json"))
    if not found:
        raise SystemExit("no results yet: make bench")
    return found[-1]


def figure_words(figure: Figure) -> str:
    if figure.value is None:
        return f"{figure.label} not measured"
    mark = "" if figure.met else " ✗"
    return f"{figure.label} {figure.value:.{figure.digits}f}{mark}"


def verdict(row: Row) -> str:
    return {True: "met", False: "missed", None: "not measured"}[row.met]


def goals_table(results: Results) -> Iterator[str]:
    yield "| workload | target | measured | |"
    yield "|---|---|---|---|"
    for row in rows(results):
        figures = ", ".join(figure_words(figure) for figure in row.figures)
        yield f"| {row.title} | {row.target} | {figures} | {verdict(row)} |"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def detail_table(results: Results) -> Iterator[str]:
    """Every workload and target: rate, share of direct's, latency, CPU and its ratio."""
    yield "| workload | clients | target | rate /s | of direct's | added µs | CPU µs | of PgBouncer's | all CPU µs |"
    yield "|---|---:|---|---:|---:|---:|---:|---:|---:|"
    keys = dict.fromkeys((s.workload, s.clients, s.target) for s in _ordered(results.samples))
    for workload, clients, target in keys:
        speed = results.median(target, workload, clients, rate)
        share = results.compare(target, DIRECT, workload, clients, rate)
        added = results.compare(
            target, DIRECT, workload, clients, latency, lambda ours, theirs: ours - theirs
        )
        spent = None if target == DIRECT else results.median(target, workload, clients, cpu)
        ratio = results.compare(target, PGBOUNCER, workload, clients, cpu)
        everybody = results.median(target, workload, clients, lambda s: s.all_us)
        yield (
            f"| {WORKLOADS[workload].title} | {clients} | {target} | {_number(speed, 0)} "
            f"| {'' if target == DIRECT else _number(share, 2)} "
            f"| {'' if target == DIRECT or WORKLOADS[workload].bulk else _number(added, 0)} "
            f"| {_number(spent, 1)} | {'' if target == DIRECT else _number(ratio, 2)} "
            f"| {_number(everybody, 1)} |"
        )


def _ordered(samples: list[Sample]) -> list[Sample]:
    workloads = list(WORKLOADS)
    return sorted(samples, key=lambda s: (workloads.index(s.workload), s.clients))


def circumstances(told: dict[str, Any]) -> Iterator[str]:
    machine, settings = told["machine"], told["settings"]
    yield (
        f"Taken on {told['when'][:10]} at commit `{told['commit']}`, on {machine['cpus']} cores "
        f"({machine['cpu']}, Linux {machine['kernel']}), {settings['rounds']} interleaved rounds "
        f"of {settings['seconds']:g} s, everything on the loopback, fsync off."
    )
    yield ""
    yield "Versions: " + "; ".join(f"{name}: {text}" for name, text in told["versions"].items())
    noise = [sample["noise"] for sample in told["samples"]]
    if noise:
        worst = sorted(noise)[len(noise) // 2]
        yield ""
        yield f"Other programs' share of the machine's busy time, median: {worst:.0%}."
    for remark in told.get("remarks", []):
        yield ""
        yield f"Note: {remark}"


def page(told: dict[str, Any], results: Results) -> str:
    lines = [
        "# Performance", "", MADE, "",
        "`make bench` measures pywire beside a direct connection, HAProxy (TCP mode) and PgBouncer",
        "(session mode) on the same machine, in interleaved rounds, and writes the figures down.",
        "CPU is user and system time of a proxy's whole process tree, Python included, per",
        "transaction or MiB; ratios are medians over the rounds of ratios within a round.", "",
        *circumstances(told), "",
        "## Against the targets", "", *goals_table(results), "",
        "## All figures", "",
        "\"All CPU\" is what proxy, PostgreSQL, load generator and kernel threads spend together.",
        "", *detail_table(results),
    ]  # fmt: skip
    idle = told.get("idle") or {}
    if idle:
        lines += [
            "", "## Idle sessions", "",
            f"{idle['sessions']:.0f} idle sessions: {idle['rust_kib']:.1f} KiB in Rust and "
            f"{idle['python_kib']:.1f} KiB in Python each, beyond the kernel's own.",
        ]  # fmt: skip
    return "\n".join(lines) + "\n"


def main(argv: list[str]) -> int:
    path = Path(argv[0]) if argv else newest()
    told, results = load(path)
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    PAGE.write_text(page(told, results))
    print("\n".join(goals_table(results)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
