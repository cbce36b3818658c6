"""One measurement: a load against a target, and the CPU that everybody spent on it meanwhile.

The proxy's CPU is that of its whole process tree, user and system. What connecting the clients
costs is measured apart and taken off, except where connecting is the workload.
"""

from __future__ import annotations

import json
import os
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from benches.procfs import busy_seconds, kernel_cpu, process_table, tree_cpu
from benches.servers import ROOT, Lab, Target, postgresql_programs
from benches.workloads import Workload

MIB = 1 << 20
MICROSECONDS = 1e6


@dataclass(frozen=True, slots=True)
class Sample:
    """What one run gave.

    Attributes:
        target: its name.
        workload: its name.
        clients: how many at once.
        round: runs of one round are compared with each other.
        rate: transactions or MiB a second.
        latency_us: mean latency of a transaction; 0 for bulk loads.
        cpu_us: CPU of the target's tree per transaction or MiB.
        user_share: how much of that was in user mode.
        all_us: the same of target, host, load generator and kernel threads together.
        noise: share of the machine's busy time that belongs to none of these.
    """

    target: str
    workload: str
    clients: int
    round: int
    rate: float
    latency_us: float
    cpu_us: float
    user_share: float
    all_us: float
    noise: float


@dataclass(frozen=True, slots=True)
class Load:
    """What a load generator reports."""

    count: float
    seconds: float
    rate: float
    latency_us: float


class LoadFailed(Exception):
    """The load generator ended with an error, or transactions failed."""


@dataclass
class Meter:
    """Runs loads against targets in front of one host."""

    lab: Lab
    host: Target
    noise_max: float = 0.15
    retries: int = 1
    _connecting: dict[tuple[str, str, int], float] = field(default_factory=dict)

    def measure(
        self, target: Target, workload: Workload, clients: int, round_: int, seconds: float
    ) -> Sample:
        """A run; repeated if other programs took too much of the machine meanwhile."""
        best = self._once(target, workload, clients, round_, seconds)
        for _ in range(self.retries):
            if best.noise <= self.noise_max:
                break
            again = self._once(target, workload, clients, round_, seconds)
            best = min(best, again, key=lambda sample: sample.noise)
        return best

    def _once(
        self, target: Target, workload: Workload, clients: int, round_: int, seconds: float
    ) -> Sample:
        connecting = self.connecting_cpu(target, workload, clients)
        before, busy = process_table(), busy_seconds()
        own = children_cpu()
        load = self.run(target, workload, clients, seconds)
        own = children_cpu() - own
        after, busy = process_table(), busy_seconds() - busy
        proxy = tree_cpu(target.pid, after) - tree_cpu(target.pid, before)
        host = tree_cpu(self.host.pid, after) - tree_cpu(self.host.pid, before)
        kernel = kernel_cpu(after) - kernel_cpu(before)
        everybody = own + host.total + kernel
        if target.pid != self.host.pid:
            everybody += proxy.total
        spent = max(0.0, proxy.total - connecting)
        return Sample(
            target=target.name, workload=workload.name, clients=clients, round=round_,
            rate=load.rate, latency_us=load.latency_us,
            cpu_us=spent / load.count * MICROSECONDS,
            user_share=proxy.user / proxy.total if proxy.total else 0.0,
            all_us=everybody / load.count * MICROSECONDS,
            noise=max(0.0, 1 - everybody / busy) if busy else 0.0,
        )  # fmt: skip

    def connecting_cpu(self, target: Target, workload: Workload, clients: int) -> float:
        """CPU seconds that connecting so many clients, one transaction each, costs the target."""
        if workload.bulk or workload.name == "churn":
            return 0.0
        key = (target.name, workload.name, clients)
        if key not in self._connecting:
            self.run(target, workload, clients, 0)
            costs = []
            for _ in range(3):
                before = tree_cpu(target.pid).total
                self.run(target, workload, clients, 0)
                time.sleep(0.02)
                costs.append(tree_cpu(target.pid).total - before)
            self._connecting[key] = sorted(costs)[1]
        return self._connecting[key]

    def run(self, target: Target, workload: Workload, clients: int, seconds: float) -> Load:
        """Generate load for so long; with 0 seconds one transaction per client."""
        if workload.bulk:
            return self._bulk(target, workload, clients, seconds)
        return self._pgbench(target, workload, clients, seconds)

    def _pgbench(self, target: Target, workload: Workload, clients: int, seconds: float) -> Load:
        options = list(workload.options)
        if workload.script:
            options += ["-f", str(self.lab.write(f"{workload.name}.sql", workload.script))]
        duration = ["-T", str(max(1, round(seconds)))] if seconds else ["-t", "1"]
        done = subprocess.run(
            [postgresql_programs() / "pgbench", "-h", "127.0.0.1", "-p", str(target.port),
             "-U", "postgres", "-n", "-c", str(clients), "-j", str(min(clients, 2)),
             *duration, *options, "postgres"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env={"PATH": "/usr/bin:/bin", "PGSSLMODE": "disable", "PGGSSENCMODE": "disable"},
        )  # fmt: skip
        text = done.stdout
        failed = re.search(r"number of failed transactions: (\d+)", text)
        if done.returncode or (failed and int(failed.group(1))):
            raise LoadFailed(done.stderr.strip()[-300:] or "transactions failed")
        count = _number(r"number of transactions actually processed: (\d+)", text)
        rate = _number(r"tps = ([\d.]+)", text)
        latency = _number(r"latency average = ([\d.]+) ms", text)
        return Load(count, count / rate if rate else 0.0, rate, latency * 1000)

    def _bulk(self, target: Target, workload: Workload, clients: int, seconds: float) -> Load:
        done = subprocess.run(
            [sys.executable, "-m", "benches.bulk", str(target.port), workload.name, str(clients),
             str(seconds)],
            cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            raise LoadFailed(done.stderr.strip()[-300:])
        told = json.loads(done.stdout)
        mib = told["bytes"] / MIB
        return Load(mib, told["seconds"], mib / told["seconds"], 0.0)


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    if found is None:
        raise LoadFailed(f"pgbench did not say: {pattern}")
    return float(found.group(1))


def children_cpu() -> float:
    """CPU seconds of the children that have ended: here, the load generators."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def machine() -> dict[str, object]:
    """What the figures were taken on; nothing that names the machine."""
    model = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.M)
    release = Path("/proc/sys/kernel/osrelease").read_text().strip()
    memory = re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text())
    kernel = re.match(r"\d+\.\d+", release)
    return {
        "cpus": len(os.sched_getaffinity(0)),
        "cpu": model.group(1).strip() if model else "unknown",
        "kernel": kernel.group() if kernel else release,
        "memory_gib": round(int(memory.group(1)) / MIB) if memory else 0,
    }
