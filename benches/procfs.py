"""What Linux tells about processes: CPU time, memory, who is whose child.

Reads /proc and nothing else; processes that end meanwhile count as they were last seen by their
parents.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
KTHREADD = 2


@dataclass(frozen=True, slots=True)
class Process:
    """One line of the process table.

    Attributes:
        parent: the parent's process id.
        user: seconds in user mode: all its threads, and its reaped children.
        system: the same in the kernel.
    """

    parent: int
    user: float
    system: float


@dataclass(frozen=True, slots=True)
class Cpu:
    """CPU seconds of a whole process tree."""

    user: float = 0.0
    system: float = 0.0

    @property
    def total(self) -> float:
        return self.user + self.system

    def __sub__(self, other: Cpu) -> Cpu:
        return Cpu(self.user - other.user, self.system - other.system)


def process(pid: int) -> Process | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command may hold blanks and brackets: what follows its last bracket is regular.
    fields = text[text.rindex(")") + 2 :].split()
    user, system, children_user, children_system = (int(field) for field in fields[11:15])
    return Process(
        int(fields[1]), (user + children_user) / TICKS, (system + children_system) / TICKS
    )


def process_table() -> dict[int, Process]:
    pids = (int(name) for name in os.listdir("/proc") if name.isdigit())
    return {pid: found for pid in pids if (found := process(pid)) is not None}


def tree(root: int, table: dict[int, Process]) -> list[int]:
    """The process and everything below it."""
    found, todo = [], [root]
    while todo:
        pid = todo.pop()
        if pid in table:
            found.append(pid)
            todo += [child for child, entry in table.items() if entry.parent == pid]
    return found


def tree_cpu(root: int, table: dict[int, Process] | None = None) -> Cpu:
    table = process_table() if table is None else table
    members = [table[pid] for pid in tree(root, table)]
    return Cpu(sum(m.user for m in members), sum(m.system for m in members))


def kernel_cpu(table: dict[int, Process]) -> float:
    """CPU seconds of all kernel threads, where io_uring or softirqs may do work for others."""
    return sum(p.user + p.system for p in table.values() if p.parent == KTHREADD)


def busy_seconds() -> float:
    """Seconds in which any CPU was not idle, time stolen by the hypervisor included."""
    with open("/proc/stat") as file:
        fields = [int(field) for field in file.readline().split()[1:9]]
    user, nice, system, _idle, _wait, interrupts, soft, stolen = fields
    return (user + nice + system + interrupts + soft + stolen) / TICKS


def tree_memory_kib(root: int) -> int:
    """Anonymous memory that is resident in the tree: what the program itself has allocated."""
    total = 0
    for pid in tree(root, process_table()):
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except (FileNotFoundError, ProcessLookupError):
            continue
        for line in text.splitlines():
            if line.startswith("Anonymous:"):
                total += int(line.split()[1])
    return total
