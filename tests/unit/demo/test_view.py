"""Both views show the board and the verdict."""

import io

import pytest
from rich.console import Console

from pywire.demo.verdict import Check
from pywire.demo.view import Board, HostLine, LiveView, PlainView, choose_view, draw


@pytest.fixture
def board():
    made = Board(clients=16, seconds=30, switchovers_asked=4)
    made.hosts = [HostLine("a", "primary", 12), HostLine("b", "standby", 4)]
    made.tps.extend([100.0, 0.0, 200.0])
    made.second, made.switchovers = 3.0, 1
    return made


CHECKS = [Check("transactions that failed", "0 of 9", True), Check("sums", "1 = 2", False)]


def rendered(thing) -> str:
    console = Console(file=io.StringIO(), width=110, force_terminal=True, color_system=None)
    console.print(thing)
    return console.file.getvalue()


def test_the_board_shows_hosts_load_and_events(board):
    board.events.append((2.5, "SWITCHOVER main TO b"))
    board.moving_to = "b"
    text = rendered(draw(board))
    for words in ("a  primary", "12 sessions", "200 tps", "0 failed", "switchover 1 of 4"):
        assert words in text
    assert "2.5 s  SWITCHOVER main TO b" in text
    assert "moving to b" in text


def test_an_empty_board_can_be_drawn():
    assert "0 tps" in rendered(draw(Board(clients=1, seconds=1, switchovers_asked=0)))


def test_more_sessions_than_clients_fit_the_bar(board):
    board.hosts = [HostLine("a", "primary", 100)]
    assert "100 sessions" in rendered(draw(board))


def test_a_pipe_gets_plain_lines(board, capsys):
    view = choose_view(Console(file=io.StringIO()))
    assert isinstance(view, PlainView)
    with view.step("a step"), view.running(board):
        view.refresh(board)
        view.progress(board)
        view.event(board, "something")
    view.verdict(CHECKS, ["a remark"])
    printed = capsys.readouterr().out
    for words in ("a step", "200 tps", "a 12 (primary)", "* something", "a remark"):
        assert words in printed
    assert "FAIL sums: 1 = 2" in printed
    assert printed.endswith("FAILED\n")


def test_a_terminal_gets_the_board(board):
    console = Console(file=io.StringIO(), width=110, force_terminal=True, color_system=None)
    view = LiveView(console)
    view.headline("the title")
    with view.step("a step"):
        pass
    with view.running(board):
        view.event(board, "something")
        view.refresh(board)
    view.verdict(CHECKS, ["a remark"])
    printed = console.file.getvalue()
    for words in ("the title", "✓ a step", "something", "a remark", "✗", "failed"):
        assert words in printed
