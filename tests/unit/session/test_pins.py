"""Reasons, flags, inventories."""

import re
from pathlib import Path

from pywire.session.inventory import (
    Captured,
    Identity,
    Kept,
    differences,
    pins,
    plan,
    statement_name,
)
from pywire.session.pins import PINNING, Flag, Reason, reasons_of_flags, sentences
from pywire.wire.messages import parse

IDENTITY = Identity("ann", "ann", "none", "shop")
RUST = Path(__file__).parents[3] / "rust" / "wire" / "src" / "flags.rs"


def captured(**more):
    return Captured(identity=IDENTITY, **{"settings": {}, "prepared": frozenset(), **more})


def test_flags_are_those_of_the_relay():
    body = RUST.read_text().split("flags! {", 1)[1].split("\n}\n", 1)[0]
    known = {
        name: 1 << int(bit)
        for name, bit in re.findall(r"^    ([A-Z_]+) = (\d+);", body, re.MULTILINE)
    }
    assert {flag.name: flag.value for flag in Flag} == known


def test_flags_that_the_server_can_be_asked_about_do_not_pin():
    asked = (
        Flag.SET
        | Flag.PREPARE
        | Flag.LISTEN
        | Flag.TEMPORARY
        | Flag.DECLARE
        | Flag.ADVISORY
        | Flag.DEALLOCATE
    )
    assert reasons_of_flags(asked) == frozenset()
    for flag, reason in PINNING.items():
        assert reasons_of_flags(flag | Flag.SET) == {reason}


def test_every_reason_is_a_sentence():
    for reason in Reason:
        assert reason.value.endswith(".")
        assert reason.value[0].isupper()
    assert sentences([Reason.LISTEN, Reason.ADVISORY_LOCK]) == sentences(
        [Reason.ADVISORY_LOCK, Reason.LISTEN]
    )


def test_each_kind_of_state_is_a_reason():
    for name, reason in (
        ("sql_prepared", Reason.SQL_PREPARED),
        ("cursors", Reason.CURSOR_HELD),
        ("channels", Reason.LISTEN),
        ("advisory_locks", Reason.ADVISORY_LOCK),
        ("temporary", Reason.TEMPORARY_OBJECT),
    ):
        assert pins(captured(**{name: 1}), Kept()) == {reason}
    assert pins(captured(), Kept()) == frozenset()


def test_a_statement_the_server_has_and_nobody_kept_is_a_reason():
    assert pins(captured(prepared=frozenset({"p"})), Kept()) == {Reason.PREPARED_DIFFERS}
    assert (
        pins(captured(prepared=frozenset({"p"})), Kept(statements=[parse(b"p", "select 1")]))
        == frozenset()
    )
    assert pins(captured(), Kept(statements=[parse("ü".encode(), "select 1")])) == {
        Reason.PREPARED_DIFFERS
    }


def test_statements_the_server_no_longer_has_are_left_out():
    kept = Kept(
        statements=[parse(b"p", "select 1"), parse(b"q", "select 2")],
        unnamed=parse(b"", "select 3"),
    )
    inventory = plan(captured(prepared=frozenset({"q"})), kept)
    assert [statement_name(frame) for frame in inventory.statements] == [b"q"]
    assert inventory.unnamed == kept.unnamed


def test_differences():
    assert differences(captured(), captured()) == frozenset()
    assert differences(captured(), captured(settings={"a": "1"})) == {Reason.SETTING_DIFFERS}
    assert differences(captured(prepared=frozenset({"p"})), captured()) == {Reason.PREPARED_DIFFERS}
    other = Captured(
        identity=Identity("ann", "bob", "bob", "shop"), settings={}, prepared=frozenset()
    )
    assert differences(captured(), other) == {Reason.ROLE_CHANGED}
