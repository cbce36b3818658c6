"""The ledger against a slow server: whatever a session does, both believe the same."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given, settings

from pywire.session.ledger import Block, Ledger
from pywire.session.settings import UNREAD, Text, Words
from pywire.wire.classifier import Classifier
from pywire.wire.classify import classify
from tests.reference.session_programs import ModelServer, sql, strategy

CLASSIFIER = Classifier()


def tell(ledger: Ledger, text: str, replies: list[tuple[str | None, tuple | None]], status: str):
    """Tell the ledger of one simple Query and its answer."""
    classification = CLASSIFIER.classify(text)
    assert classification.parsed, text
    for index, (tag, row) in enumerate(replies):
        statement = classification.statement(index)
        if tag is None:
            ledger.failed(statement)
        else:
            ledger.completed(statement, tag, row=row)
    ledger.ready(status)


def words(value: str) -> tuple[str, ...]:
    """The values in a SET of the programs."""
    found = re.findall(r"'((?:[^']|'')*)'|\"([^\"]*)\"|(\w+)", value)
    return tuple((a or b or c.lower()).replace("''", "'") for a, b, c in found)


def in_force(model: ModelServer):
    values = {
        name: Text(value[1]) if isinstance(value, tuple) else Words(words(value))
        for name, value in model.state.now.items()
    }
    if "datestyle" in values:  # what it is depends on what it was
        values["datestyle"] = UNREAD
    return values


def compare(ledger: Ledger, model: ModelServer) -> None:
    assert ledger.prepared.keys() == model.prepared.keys()
    held = {(lock.key, lock.shared): count for lock, count in ledger.advisory.held.items()}
    assert held == {lock: count for lock, count in model.locks.items() if count}
    assert ledger.channels == model.channels
    if model.status == "E":
        assert ledger.block is Block.FAILED
        return
    assert (ledger.block is Block.EXPLICIT) == (model.status == "T")
    assert ledger.settings.in_force == in_force(model)
    assert ledger.temporary == model.state.temporary.keys()
    assert ledger.cursors.names == model.cursors.keys()


def run(program) -> Ledger:
    ledger, model = Ledger(), ModelServer()
    for request in program:
        replies = model.run(request)
        text = "; ".join(map(sql, request))
        tell(ledger, text, [(reply.tag, reply.row) for reply in replies], model.status)
        compare(ledger, model)
    return ledger


BEGIN, ERROR = ("begin",), ("error",)


@given(strategy())
@settings(max_examples=400)
@example([[BEGIN, ("set", "work_mem", "64", False)], [("set", "work_mem", "'1MB'", True)], [ERROR], [("commit", False)]])  # fmt: skip
@example([[("set", "work_mem", "64", False), BEGIN, ("savepoint", "a")], [ERROR], [("rollback_to", "a")], [("rollback", True)], [("commit", False)]])  # fmt: skip
def test_the_ledger_believes_what_the_server_has(program):
    ledger = run(program)
    assert not {doubt.name for doubt in ledger.doubts} - {"ADVISORY_LOCKS"}


BUGS = {
    "SET LOCAL is kept": ("settings.Settings.commit", lambda self: self._settings.keep()),
    "a savepoint's changes are lost when it is released": (
        "settings.Settings.release",
        lambda self: self._settings.undo(),
    ),
    "RESET ALL resets the role": (
        "settings.Settings.reset_all",
        lambda self: [self._settings.put(name, None) for name in self],
    ),
    "locks are not counted": (
        "advisory.AdvisoryLocks.lock",
        lambda self, lock: self._held.update({lock: 1 - self._held[lock]}),
    ),
    "a cursor's closing is undone": (
        "cursors.HeldCursors.close",
        lambda self, name: None,
    ),
    "a rollback keeps its cursors": (
        "cursors.HeldCursors.undo",
        lambda self: setattr(self, "_depth", self._depth - 1),
    ),
    "LISTEN counts at once": (
        "ledger.Ledger._begin_level",
        lambda self: (
            [self.channels.add(c) for listens, c in self._listening if listens],
            self.settings.begin(),
            self._temporary.begin(),
            self.cursors.begin(),
        ),
    ),
    "COMMIT commits what had failed": (
        "ledger.Ledger._end",
        lambda self, committed, chain: (self._commit(), chain and self._open(Block.EXPLICIT)),
    ),
}


SET, LOCAL = ("set", "work_mem", "64", False), ("set", "work_mem", "64", True)
PROGRAMS = {
    "SET LOCAL is kept": [[BEGIN, LOCAL], [("commit", False)]],
    "a savepoint's changes are lost when it is released": [
        [BEGIN, ("savepoint", "a"), SET],
        [("release", "a")],
    ],
    "RESET ALL resets the role": [[("role", "app", False)], [("reset_all",)]],
    "locks are not counted": [[("lock", (1,), False, False)]] * 2,
    "a cursor's closing is undone": [[("declare", "a")], [BEGIN, ("close", "a")]],
    "a rollback keeps its cursors": [[BEGIN, ("declare", "a")], [("rollback", False)]],
    "LISTEN counts at once": [[BEGIN, ("listen", "a"), ("savepoint", "a")]],
    "COMMIT commits what had failed": [[BEGIN, SET], [ERROR], [("commit", False)]],
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_planted_bug_is_found(bug, monkeypatch):
    run(PROGRAMS[bug])
    place, wrong = BUGS[bug]
    monkeypatch.setattr(f"pywire.session.{place}", wrong)
    with pytest.raises(AssertionError):
        run(PROGRAMS[bug])


def test_every_operation_is_understood():
    assert classify(sql(("set", "DateStyle", "German, DMY", True))).parsed
