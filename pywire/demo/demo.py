"""The demonstration, from an empty temporary directory to the verdict.

`main` blocks, reports on the terminal, and returns an exit code. Whatever happens, Ctrl-C included, the servers are
stopped and the directory is gone when it returns.
"""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import trio

from pywire.demo.load import Load, Progress, Report
from pywire.demo.manager import Manager, running_manager
from pywire.demo.servers import Pair
from pywire.demo.story import Story, closing_line
from pywire.demo.tools import DemoError
from pywire.demo.verdict import SUMS_STATEMENT, Sums, judge
from pywire.demo.view import Board, HostLine, View, choose_view

SPARE_CONNECTIONS = 30
POLL_SECONDS = 0.5
DRAW_SECONDS = 0.2
SAME_SECONDS_MAX = 10.0


def main(clients: int = 16, seconds: int = 30, switchovers: int = 4) -> int:
    """Run the demonstration.

    Args:
        clients: Sessions pgbench keeps busy.
        seconds: How long it does.
        switchovers: How often the primary changes sides meanwhile.

    Returns:
        0 if no transaction failed and the sums agree, 1 if not, 2 if it could not be shown, 128 + n after signal n.
    """
    view = choose_view()
    return trio.run(_main, view, Board(clients, seconds, switchovers))


async def _main(view: View, board: Board) -> int:
    received = 0

    async def watch_signals(scope: trio.CancelScope) -> None:
        nonlocal received
        with trio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, signal.SIGHUP) as signals:
            async for number in signals:
                received = number
                scope.cancel()

    code = 2
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch_signals, nursery.cancel_scope)
        try:
            code = await _show(view, board)
        except* DemoError as errors:
            view.problem("\n".join(_texts(errors)))
        nursery.cancel_scope.cancel()
    if received:
        view.problem(f"stopped by {signal.Signals(received).name}; everything is cleaned up")
        return 128 + received
    return code


async def _show(view: View, board: Board) -> int:
    view.headline(
        "pywire demo: the primary changes sides while pgbench runs, and no client notices"
    )
    async with AsyncExitStack() as stack:
        scratch = stack.enter_context(_scratch())
        pair = await Pair.prepare(scratch)
        stack.push_async_callback(_destroy, pair)
        with view.step(
            f"PostgreSQL 18: primary a (port {pair.a.port}) and synchronous standby b (port {pair.b.port})"
        ):
            await pair.create(board.clients * 2 + SPARE_CONNECTIONS)
        with view.step("pywire run"):
            manager = await stack.enter_async_context(running_manager(pair, scratch))
        load = Load(
            pair.programs / "pgbench",
            manager.conninfo(),
            pair.environment,
            board.clients,
            board.seconds,
            scratch,
        )
        with view.step(f"pgbench -i through pywire (port {manager.port})"):
            await load.initialize()

        with view.running(board):
            report = await _run_and_switch(view, board, manager, load)
            view.refresh(board)

        with view.step("reading the verdict from the data of both hosts"):
            sums = await _sums_of_both(manager, board)
        checks = judge(report, sums, board.switchovers, board.switchovers_asked)
        view.verdict(checks, _remarks(board, report))
        return 0 if all(check.passed for check in checks) else 1


def _remarks(board: Board, report: Report) -> list[str]:
    """Return what is worth knowing beside the verdict."""
    remarks = [
        f"{report.tps:,.0f} transactions a second, {report.latency_ms:.1f} ms on average; "
        f"the slowest one took {report.longest_ms:,.0f} ms"
    ]
    if board.pauses_ms:
        shortest, longest = min(board.pauses_ms), max(board.pauses_ms)
        remarks.append(
            f"sessions paused {shortest:,.0f} to {longest:,.0f} ms each time the primary changed"
        )
    return remarks


async def _run_and_switch(view: View, board: Board, manager: Manager, load: Load) -> Report:
    """Run pgbench to its end; meanwhile switch, poll and draw."""

    def on_progress(progress: Progress) -> None:
        board.failed += progress.failed
        board.tps.append(progress.tps)
        view.progress(board)

    story = Story()
    story.new_lines((await manager.show("EVENTS"))["EVENTS"])  # how it all started is known
    async with trio.open_nursery() as nursery:
        await _poll(view, board, manager, story)
        nursery.start_soon(_poll_forever, view, board, manager, story)
        nursery.start_soon(_draw_forever, view, board)
        nursery.start_soon(_switch, view, board, manager, story)
        report = await load.run(on_progress)
        nursery.cancel_scope.cancel()
    return report


async def _switch(view: View, board: Board, manager: Manager, story: Story) -> None:
    """Switch the primary to the other host, `switchovers_asked` times, evenly spread over the run."""
    started = trio.current_time()
    for number in range(1, board.switchovers_asked + 1):
        await trio.sleep_until(started + board.seconds * number / (board.switchovers_asked + 1))
        target = next(host.name for host in board.hosts if host.role != "primary")
        board.moving_to = target
        before = trio.current_time()
        view.event(board, f"pywire ctl 'SWITCHOVER main TO {target}'")
        try:
            rows = await manager.control(f"SWITCHOVER main TO {target}")
        except DemoError as error:
            view.event(board, str(error))
            continue
        finally:
            board.moving_to = None
        board.switchovers += 1
        board.pauses_ms.append(float(rows[0]["pause_ms"] or 0))
        await _poll(view, board, manager, story)
        view.event(board, closing_line(rows, trio.current_time() - before))


async def _poll_forever(view: View, board: Board, manager: Manager, story: Story) -> None:
    while True:
        await trio.sleep(POLL_SECONDS)
        try:
            await _poll(view, board, manager, story)
        except DemoError as error:
            view.event(board, str(error).splitlines()[-1])


async def _poll(view: View, board: Board, manager: Manager, story: Story) -> None:
    """Put the hosts, their sessions and what has happened on the board."""
    tables = await manager.show("HOSTS", "EVENTS")
    board.hosts = [
        HostLine(row["host"], row["role"], int(row["sessions"] or 0)) for row in tables["HOSTS"]
    ]
    for line in story.new_lines(tables["EVENTS"]):
        view.event(board, line)


async def _draw_forever(view: View, board: Board) -> None:
    started = trio.current_time()
    while True:
        board.second = min(trio.current_time() - started, board.seconds)
        view.refresh(board)
        await trio.sleep(DRAW_SECONDS)


async def _sums_of_both(manager: Manager, board: Board) -> dict[str, Sums]:
    """Read the sums through pywire, and directly from the other host once it has replayed everything."""
    pair = manager.pair
    sums = {"primary": Sums.read(await pair.query(manager.conninfo(), SUMS_STATEMENT))}
    other = next((host.name for host in board.hosts if host.role != "primary"), None)
    for server in pair.servers:
        if server.name != other:
            continue
        with trio.move_on_after(SAME_SECONDS_MAX):
            while sums.get(other) != sums["primary"]:
                try:
                    sums[other] = Sums.read(await pair.query(pair.conninfo(server), SUMS_STATEMENT))
                except DemoError:
                    sums[other] = Sums(0, 0, 0, 0, 0)
                await trio.sleep(0.2)
    return sums


async def _destroy(pair: Pair) -> None:
    with trio.CancelScope(shield=True):
        await pair.destroy()


@contextmanager
def _scratch() -> Iterator[Path]:
    """A temporary directory other accounts may pass through, removed in the end."""
    directory = Path(tempfile.mkdtemp(prefix="pywire-demo-"))
    directory.chmod(0o711)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _texts(group: BaseExceptionGroup[DemoError]) -> list[str]:
    return [
        text
        for error in group.exceptions
        for text in (_texts(error) if isinstance(error, BaseExceptionGroup) else [str(error)])
    ]
