"""`make bench`: pywire, PgBouncer, HAProxy and a direct connection, side by side.

Starts all of them on this machine, measures every workload of the targets' table in interleaved
rounds, prints the table with the figures beside the targets, and writes the samples to
`benches/results`. Exit code 0 whatever the verdict: a slow machine is no fault of the build.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from benches import report
from benches.goals import SELECTS, Results
from benches.measure import LoadFailed, Meter, Sample, machine
from benches.servers import (
    ROOT,
    STARTERS,
    Lab,
    Target,
    Unavailable,
    start_command,
    start_postgresql,
)
from benches.workloads import WORKLOADS

TARGETS = "haproxy,pgbouncer,pywire-epoll,pywire-io_uring"
# Which workloads are measured with how many clients.
PLAN: tuple[tuple[str, tuple[int, ...]], ...] = (
    *((name, (1, 8, 32)) for name in SELECTS),
    ("tpcb", (32,)),
    ("pipeline", (8,)),
    ("rows-1k", (1,)),
    ("copy-out", (1,)),
    ("values-1m", (1,)),
    ("copy-in", (1,)),
    ("churn", (8,)),
)


def options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench ARGS=…", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="short: 2 rounds of 1 s")
    parser.add_argument("--rounds", type=int, help="interleaved rounds (5)")
    parser.add_argument("--seconds", type=float, help="seconds of each run (3)")
    parser.add_argument(
        "--targets", default=TARGETS, help=f"({TARGETS}); also {', '.join(STARTERS)}"
    )
    parser.add_argument(
        "--launch",
        action="append",
        default=[],
        metavar="NAME=COMMAND",
        help="another proxy; {port}, {host_port}, {socket} are filled in (repeatable)",
    )
    parser.add_argument("--workloads", default="", help=f"only these of {', '.join(WORKLOADS)}")
    parser.add_argument("--clients", default="", help="only these numbers of clients")
    parser.add_argument(
        "--workers", type=int, default=0, help="pywire's threads (0: one for every two cores)"
    )
    parser.add_argument(
        "--retries", type=int, default=1, help="repeat a run that others disturbed (1)"
    )
    parser.add_argument("--scale", type=int, default=10, help="pgbench's scale (10)")
    parser.add_argument("--no-idle", action="store_true", help="leave the idle sessions out")
    parser.add_argument(
        "--out", type=Path, help="where to write (benches/results/DATE-COMMIT.json)"
    )
    parser.add_argument("--page", action="store_true", help="rewrite docs/reference/performance.md")
    chosen = parser.parse_args(argv)
    chosen.rounds = chosen.rounds or (2 if chosen.quick else 5)
    chosen.seconds = chosen.seconds or (1.0 if chosen.quick else 3.0)
    return chosen


def commit() -> str:
    """What was measured; with a + if the work tree differs from it."""

    def git(*argv: str) -> str:
        done = subprocess.run(["git", *argv], cwd=ROOT, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    changed = git("status", "--porcelain", "--", "rust", "pywire", "Cargo.toml", "Cargo.lock")
    return (git("rev-parse", "--short", "HEAD") or "unknown") + ("+" if changed else "")


def start_targets(
    lab: Lab, host: Target, chosen: argparse.Namespace
) -> tuple[list[Target], list[str]]:
    launches = dict(spec.split("=", 1) for spec in chosen.launch)
    names = [name for name in chosen.targets.split(",") if name] + list(launches)
    targets, remarks = [host], []
    for name in names:
        how = {"workers": chosen.workers} if name.startswith(("pywire", "relay")) else {}
        try:
            if name in launches:
                targets.append(start_command(lab, host, name, launches[name]))
            else:
                targets.append(STARTERS[name](lab, host, **how))
        except Unavailable as why:
            remarks.append(f"{name} was left out: {why}")
            print(f"# {remarks[-1]}", file=sys.stderr)
    for target in targets:
        print(f"# {target.name}: {target.version}", file=sys.stderr)
        if target.name == "pgbouncer" and " 1.25." not in target.version:
            remarks.append(f"PgBouncer 1.25 could not be had here; compared with {target.version}.")
    return targets, remarks


def plan(chosen: argparse.Namespace) -> list[tuple[str, int]]:
    only = chosen.workloads.split(",") if chosen.workloads else list(WORKLOADS)
    counts = [int(n) for n in chosen.clients.split(",")] if chosen.clients else None
    return [
        (name, clients)
        for name, several in PLAN
        for clients in several
        if name in only and (counts is None or clients in counts)
    ]


def interleaved(
    meter: Meter, targets: list[Target], steps: list[tuple[str, int]], rounds: int, seconds: float
) -> list[Sample]:
    """Every step against every target in each round; who goes first changes with the round."""
    samples: list[Sample] = []
    failures: dict[tuple[str, str, int], int] = {}
    total, done, started = rounds * len(steps) * len(targets), 0, time.monotonic()
    for round_ in range(rounds):
        for name, clients in steps:
            first = round_ % len(targets)
            for target in targets[first:] + targets[:first]:
                done += 1
                key = (target.name, name, clients)
                if failures.get(key, 0) >= 2:
                    continue
                try:
                    sample = meter.measure(target, WORKLOADS[name], clients, round_, seconds)
                except LoadFailed as why:
                    failures[key] = failures.get(key, 0) + 1
                    print(f"\n# {target.name}, {name}, {clients} clients: {why}", file=sys.stderr)
                    continue
                samples.append(sample)
                left = (time.monotonic() - started) / done * (total - done)
                print(
                    f"\r# round {round_ + 1}/{rounds} {name:16} {clients:2} {target.name:16} "
                    f"{sample.rate:9.0f}/s {sample.cpu_us:8.1f} µs noise {sample.noise:3.0%} "
                    f"{left / 60:3.0f} min left ",
                    end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True,
                )  # fmt: skip
    return samples


def measure_idle(
    chosen: argparse.Namespace, lab: Lab, host: Target
) -> tuple[dict[str, float], list[str]]:
    if chosen.no_idle or chosen.workloads:
        return {}, []
    from benches import idle

    try:
        return idle.measure(lab, host, 1000 if chosen.quick else 5000), []
    except (Unavailable, OSError) as why:
        return {}, [f"idle sessions were not measured: {why}"]


def raise_descriptor_limit() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main(argv: list[str]) -> int:
    chosen = options(argv)
    raise_descriptor_limit()
    os.environ.update(PGSSLMODE="disable", PGGSSENCMODE="disable")
    with Lab() as lab:
        host = start_postgresql(lab, chosen.scale)
        targets, remarks = start_targets(lab, host, chosen)
        meter = Meter(lab, host, retries=chosen.retries)
        # The first run warms caches and is not counted.
        meter.run(host, WORKLOADS["select-simple"], 8, 2)
        samples = interleaved(meter, targets, plan(chosen), chosen.rounds, chosen.seconds)
        idle, more = measure_idle(chosen, lab, host)
    told = {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "machine": machine(),
        "versions": {target.name: target.version for target in targets},
        "settings": {
            "rounds": chosen.rounds, "seconds": chosen.seconds, "scale": chosen.scale,
            "workers": chosen.workers,
        },
        "remarks": remarks + more,
        "idle": idle,
        "samples": [asdict(sample) for sample in samples],
    }  # fmt: skip
    name = f"{told['when'][:16].replace(':', '')}-{told['commit'].rstrip('+')}.json"
    out = chosen.out or report.RESULTS / name
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(told, indent=1) + "\n")
    results = Results(samples, idle)
    print("\n".join([*report.circumstances(told), "", *report.goals_table(results), ""]))
    print("\n".join(report.detail_table(results)))
    if chosen.page:
        report.PAGE.write_text(report.page(told, results))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
