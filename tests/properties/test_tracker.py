"""Any chunking gives the same notes, and the Rust tracker agrees with the reference."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

wire = pytest.importorskip("pywire._rust", reason="the extension is not built").wire

from tests.properties.conversations import (  # noqa: E402
    BACKEND,
    FRONTEND,
    TEXTS,
    Event,
    conversations,
    frame,
)
from tests.reference.tracker import ReferenceTracker  # noqa: E402

SIDES = {FRONTEND: wire.Side.FRONTEND, BACKEND: wire.Side.BACKEND}


def plain(note: object) -> tuple[object, ...]:
    """A note as the reference writes it."""
    match note:
        case wire.ParameterStatus():
            return ("parameter", note.name, note.value)
        case wire.Fatal():
            return ("fatal", note.sqlstate)
        case wire.Terminate():
            return ("terminate",)
        case wire.Statement():
            return ("flags", *wire.flag_names(note.flags))
    return ("untracked", note.reason, note.offset)


def picture(tracker: wire.Tracker) -> tuple[object, ...]:
    """All that must not depend on chunking."""
    return (
        tracker.quiescent,
        tracker.request_boundary,
        chr(tracker.status),
        wire.flag_names(tracker.flags),
        tracker.untracked,
        tracker.requests,
        tracker.answered,
        tracker.outstanding,
        tracker.statements(),
        tracker.unnamed(),
        tracker.journal(),
        tracker.digests(),
        tracker.digest(),
    )


def run(tracker: wire.Tracker, events: list[Event]) -> list[tuple[object, ...]]:
    notes = []
    for side, message in events:
        notes += [plain(note) for note in tracker.feed(SIDES[side], frame(message))]
    return notes


def merged(events: list[Event]) -> list[tuple[int, bytes]]:
    """Turns: what one side sends until the other does."""
    turns: list[tuple[int, bytes]] = []
    for side, message in events:
        if turns and turns[-1][0] == side:
            turns[-1] = (side, turns[-1][1] + frame(message))
        else:
            turns.append((side, frame(message)))
    return turns


def expected_flags(events: list[Event]) -> set[str]:
    flags: set[str] = set()
    for side, (tag, body) in events:
        if (side, tag) == (BACKEND, b"C"):
            flags |= {tag for tag in ("DISCARD", "DEALLOCATE") if body.startswith(tag.encode())}
        elif (side, tag) == (BACKEND, b"W"):
            flags.add("REPLICATION")
        elif (side, tag) == (FRONTEND, b"F"):
            flags.add("FUNCTION_CALL")
        elif (side, tag) in ((FRONTEND, b"Q"), (FRONTEND, b"P")):
            flags.update(*(names for text, names in TEXTS.items() if text in body))
    return flags


@given(conversations())
def test_rust_agrees_with_the_reference_after_every_message(events: list[Event]) -> None:
    rust, reference = wire.Tracker(), ReferenceTracker()
    notes = []
    for side, message in events:
        notes += run(rust, [(side, message)])
        (reference.frontend if side == FRONTEND else reference.backend)(*message)
        assert not reference.untracked, "the conversation is not legal"
        assert not rust.untracked
        assert rust.status == reference.status
        assert (rust.requests, rust.answered) == (reference.requests, reference.answered)
        assert rust.quiescent == reference.quiescent
        if rust.quiescent:
            assert rust.request_boundary
            assert rust.outstanding == 0
            named = {name: frame((b"P", body)) for name, body in reference.statements().items()}
            assert rust.statements() == named
            unnamed = reference.unnamed()
            assert rust.unnamed() == (None if unnamed is None else frame((b"P", unnamed)))
    assert [note for note in notes if note[0] != "flags"] == reference.notes
    assert set(wire.flag_names(rust.flags)) == expected_flags(events)
    noted = [name for note in notes if note[0] == "flags" for name in note[1:]]
    assert len(noted) == len(set(noted)), "a flag is noted once"
    assert set(noted) == expected_flags(events)


@given(conversations(), st.data())
def test_any_chunking_gives_the_same(events: list[Event], data: st.DataObject) -> None:
    whole = wire.Tracker(protection=True)
    pieces = wire.Tracker(protection=True)
    sizes = st.sampled_from([1, 2, 3, 5, 7, 64])
    notes = []
    for side, sent in merged(events):
        expected = [plain(note) for note in whole.feed(SIDES[side], sent)]
        at, seen = 0, []
        while at < len(sent):
            size = data.draw(sizes)
            seen += [plain(note) for note in pieces.feed(SIDES[side], sent[at : at + size])]
            at += size
        assert seen == expected
        assert picture(pieces) == picture(whole)
        notes += seen
    messages = wire.Tracker(protection=True)
    assert run(messages, events) == notes
    assert picture(messages) == picture(whole)


@given(conversations())
def test_the_journal_is_what_was_sent_in_the_open_block(events: list[Event]) -> None:
    tracker = wire.Tracker(protection=True)
    sent = b""
    for side, message in events:
        run(tracker, [(side, message)])
        if side == FRONTEND and message[0] != b"X":
            sent += frame(message)
        units = tracker.journal()
        assert b"".join(units) in sent
        if tracker.quiescent:
            assert sent.endswith(b"".join(units))
            assert len(tracker.digests()) == len(units)
            if tracker.status == ord("I"):
                assert units == []


@given(conversations(), st.integers(0, 3))
def test_injection_is_invisible(events: list[Event], turn: int) -> None:
    """Our own requests, between those of the client, change nothing for it."""
    plain_tracker, tracker = wire.Tracker(), wire.Tracker()
    own = frame((b"T", b"\0\0")) + frame((b"C", b"SELECT 0\0"))
    for event in events:
        run(plain_tracker, [event])
        run(tracker, [event])
        if tracker.quiescent and turn == 0:
            ready = frame((b"Z", bytes([tracker.status])))
            tracker.inject(frame((b"Q", b"listen x\0")))
            assert not tracker.quiescent
            tracker.feed(wire.Side.BACKEND, own + ready)
            assert tracker.own_replies() == own + ready
        turn = turn - 1 if turn else 3
        assert picture(tracker) == picture(plain_tracker)


@given(st.lists(st.tuples(st.sampled_from([FRONTEND, BACKEND]), st.binary(max_size=40))))
def test_garbage_is_refused_or_passed_on(pieces: list[tuple[int, bytes]]) -> None:
    tracker = wire.Tracker(protection=True, statements_bytes_max=64, journal_bytes_max=64)
    for side, data in pieces:
        try:
            tracker.feed(SIDES[side], data)
        except wire.WireError:
            return


TAGS = st.sampled_from([bytes([tag]) for tag in b"BCdcfDEHFPQSXACGHINTVWZ123nst?"])


@given(
    st.lists(
        st.tuples(st.sampled_from([FRONTEND, BACKEND]), st.tuples(TAGS, st.binary(max_size=9)))
    )
)
def test_messages_out_of_place_are_passed_on(events: list[Event]) -> None:
    """Whatever comes in whatever order: nothing is raised, and what is lost stays lost."""
    tracker = wire.Tracker(protection=True, statements_bytes_max=64, journal_bytes_max=64)
    lost = False
    for event in events:
        notes = run(tracker, [event])
        assert sum(note[0] == "untracked" for note in notes) == (tracker.untracked and not lost)
        lost = tracker.untracked
        assert not (lost and tracker.quiescent)


@given(conversations(), st.data())
def test_a_stopped_client_is_between_two_requests(events: list[Event], data: st.DataObject) -> None:
    """With a stop wanted, bytes are taken exactly up to the first request boundary."""
    turns = merged(events)
    stop = data.draw(st.integers(0, max(0, len(turns) - 1)))
    tracker = wire.Tracker()
    for side, sent in turns[:stop]:
        tracker.feed(SIDES[side], sent)
    assume(turns[stop][0] == FRONTEND)
    boundary = tracker.request_boundary
    taken = tracker.feed_until_boundary(turns[stop][1])
    assert (taken == 0) if boundary else (taken > 0)
    if taken < len(turns[stop][1]):
        assert tracker.request_boundary
