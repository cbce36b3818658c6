"""Events are told once, in order, and only those a spectator cares for."""

import json

import pytest

from pywire.demo.story import Story, closing_line, line_of


def row(number, event, **details):
    return {"number": str(number), "event": event, "details": json.dumps(details)}


STARTED = row(4, "switchover_started", cluster="main", source="a", target="b", sessions=16)
PROMOTED = row(6, "promoted", cluster="main", host="b", timeline=2, lsn="0/1", seconds=0.14)
OTHER = row(5, "session_opened", session=1)


def test_new_events_are_told_once_and_in_order():
    story = Story()
    lines = story.new_lines([PROMOTED, OTHER, STARTED])
    assert [line.split()[0] for line in lines] == ["a", "b"]
    assert story.new_lines([PROMOTED, OTHER, STARTED]) == []


def test_the_old_primary_is_expected_to_stop():
    story = Story()
    lost = row(5, "host_lost", host="a", reason="the host has closed")
    assert story.new_lines([STARTED, lost])[1] == "a has stopped, as it should"
    finished = row(6, "switchover_finished", source="a", target="b")
    lost = row(7, "host_lost", host="a", reason="timed out")
    assert story.new_lines([finished, lost]) == ["a does not answer: timed out"]


@pytest.mark.parametrize(
    ("event", "details", "words"),
    [
        ("host_lost", {"host": "a", "reason": "timed out"}, "does not answer: timed out"),
        ("host_found", {"host": "a", "role": "standby"}, "a follows as a standby"),
        ("migration_refused", {"reason": "a temporary table"}, "refused: a temporary table"),
        ("failed", {"what": "probe", "reason": "why"}, "probe failed: why"),
    ],
)
def test_what_is_said(event, details, words):
    assert words in line_of(event, details)


def test_a_primary_that_is_found_says_nothing():
    assert line_of("host_found", {"host": "a", "role": "primary"}) is None


def test_the_closing_line_names_sessions_and_pause():
    answer = {"cluster": "main", "primary": "b", "migrated": 16, "ended": 0, "pause_ms": 401.58}
    assert (
        closing_line([answer], 3.89) == "16 sessions live on b; they paused 402 ms (3.9 s in all)"
    )
    assert "2 had to be ended" in closing_line([answer | {"ended": 2}], 1.0)
