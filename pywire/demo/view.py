"""What is seen of the demonstration: a live board on a terminal, plain lines anywhere else.

The views only show; what they show is put on the `Board` by `demo`.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from pywire.demo.verdict import Check

EVENTS_SHOWN = 12
SPARKS = "▁▂▃▄▅▆▇█"
SPARKS_WIDTH = 60
BAR_WIDTH = 32
ROLE_STYLES = {"primary": "bold green", "standby": "dim"}


@dataclass(slots=True)
class HostLine:
    """A host as the board shows it."""

    name: str
    role: str
    sessions: int


@dataclass(slots=True)
class Board:
    """All there is to see while pgbench runs."""

    clients: int
    seconds: int
    switchovers_asked: int
    second: float = 0.0
    tps: deque[float] = field(default_factory=lambda: deque(maxlen=SPARKS_WIDTH))
    failed: int = 0
    switchovers: int = 0
    moving_to: str | None = None
    pauses_ms: list[float] = field(default_factory=list)
    hosts: list[HostLine] = field(default_factory=list)
    events: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=EVENTS_SHOWN))


class View(Protocol):
    """A way to show the demonstration."""

    def headline(self, text: str) -> None:
        """Show the title."""

    def step(self, text: str) -> AbstractContextManager[None]:
        """Show a step of the preparation while it is done, and how long it took."""
        ...

    def running(self, board: Board) -> AbstractContextManager[None]:
        """Show the board until the context is left."""
        ...

    def refresh(self, board: Board) -> None:
        """Draw the board anew; called a few times a second."""

    def progress(self, board: Board) -> None:
        """Pgbench has reported another second."""

    def event(self, board: Board, text: str) -> None:
        """Something happened."""

    def verdict(self, checks: list[Check], remarks: list[str]) -> None:
        """Show the end."""

    def problem(self, text: str) -> None:
        """Say why it could not be shown to the end."""


def choose_view(console: Console | None = None) -> View:
    """Return the live board for a terminal, and plain lines for a pipe or a log."""
    console = console or Console(highlight=False)
    return (
        LiveView(console) if console.is_terminal and not console.is_dumb_terminal else PlainView()
    )


class PlainView:
    """A line for each thing that happens."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def headline(self, text: str) -> None:
        """See `View`."""
        self._say(text)

    def step(self, text: str) -> AbstractContextManager[None]:
        """See `View`."""
        self._say(text)
        return nullcontext()

    def running(self, board: Board) -> AbstractContextManager[None]:
        """See `View`."""
        return nullcontext()

    def refresh(self, board: Board) -> None:
        """See `View`."""

    def progress(self, board: Board) -> None:
        """See `View`."""
        sessions = ", ".join(f"{host.name} {host.sessions} ({host.role})" for host in board.hosts)
        tps = board.tps[-1] if board.tps else 0.0
        self._say(f"{tps:8,.0f} tps   failed {board.failed}   sessions: {sessions}")

    def event(self, board: Board, text: str) -> None:
        """See `View`."""
        board.events.append((board.second, text))
        self._say(f"* {text}")

    def verdict(self, checks: list[Check], remarks: list[str]) -> None:
        """See `View`."""
        for remark in remarks:
            self._say(remark)
        for check in checks:
            self._say(f"{'ok  ' if check.passed else 'FAIL'} {check.question}: {check.answer}")
        self._say("PASSED" if all(check.passed for check in checks) else "FAILED")

    def problem(self, text: str) -> None:
        """See `View`."""
        print(text, file=sys.stderr, flush=True)

    def _say(self, text: str) -> None:
        print(f"{time.monotonic() - self._started:6.1f} s  {text}", flush=True)


class LiveView:
    """The board, redrawn a few times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live: Live | None = None

    def headline(self, text: str) -> None:
        """See `View`."""
        self._console.print(Text(text, style="bold"), "")

    @contextmanager
    def step(self, text: str) -> Iterator[None]:
        """See `View`."""
        started = time.monotonic()
        with self._console.status(text, spinner="dots"):
            yield
        self._console.print(f"[green]✓[/] {text} [dim]{time.monotonic() - started:.1f} s[/]")

    @contextmanager
    def running(self, board: Board) -> Iterator[None]:
        """See `View`."""
        with Live(draw(board), console=self._console, auto_refresh=False) as live:
            self._live = live
            try:
                yield
            finally:
                self._live = None

    def refresh(self, board: Board) -> None:
        """See `View`."""
        if self._live is not None:
            self._live.update(draw(board), refresh=True)

    def progress(self, board: Board) -> None:
        """See `View`."""

    def event(self, board: Board, text: str) -> None:
        """See `View`."""
        board.events.append((board.second, text))

    def verdict(self, checks: list[Check], remarks: list[str]) -> None:
        """See `View`."""
        passed = all(check.passed for check in checks)
        table = Table.grid(padding=(0, 2))
        for check in checks:
            mark = Text("✓", "bold green") if check.passed else Text("✗", "bold red")
            table.add_row(mark, check.question, Text(check.answer, "bold"))
        title = "[bold green]passed[/]" if passed else "[bold red]failed[/]"
        self._console.print(
            Panel(
                Group(table, "", *(Text(remark, "dim") for remark in remarks)),
                title=title,
                title_align="left",
                border_style="green" if passed else "red",
                expand=False,
            )
        )

    def problem(self, text: str) -> None:
        """See `View`."""
        self._console.print(Text(text, "red"))


def draw(board: Board) -> RenderableType:
    """Return the board as rich draws it."""
    hosts = Table.grid(padding=(0, 2))
    for host in board.hosts:
        filled = round(BAR_WIDTH * min(host.sessions, board.clients) / max(board.clients, 1))
        bar = Text("█" * filled, "cyan") + Text("░" * (BAR_WIDTH - filled), "dim")
        style = ROLE_STYLES.get(host.role, "yellow")
        hosts.add_row(
            Text(host.name, "bold"),
            Text(f"{host.role:<8}", style),
            bar,
            f"{host.sessions:>3} sessions",
        )

    peak = max(board.tps, default=0.0) or 1.0
    sparks = "".join(SPARKS[round((len(SPARKS) - 1) * value / peak)] for value in board.tps)
    now = board.tps[-1] if board.tps else 0.0
    load = Table.grid(padding=(0, 2))
    load.add_row(Text(f"{now:>7,.0f} tps", "bold"), Text(sparks, "cyan"))
    failed = Text(f"{board.failed} failed", "green" if board.failed == 0 else "bold red")
    load.add_row(failed, Text(f"peak {peak:,.0f} tps" if board.tps else "", "dim"))

    events = Table.grid(padding=(0, 2))
    for second, text in board.events:
        events.add_row(Text(f"{second:5.1f} s", "dim"), text)

    title = Text.assemble(
        ("pywire", "bold"),
        f"  {board.clients} clients, TPC-B   {board.second:.0f} of {board.seconds} s   ",
        f"switchover {board.switchovers} of {board.switchovers_asked}",
        (f"   moving to {board.moving_to} …" if board.moving_to else "", "bold yellow"),
    )
    return Panel(
        Group(hosts, "", load, "", events),
        title=title,
        title_align="left",
        border_style="blue",
        width=100,
    )
