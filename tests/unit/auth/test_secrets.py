"""Secrets live in locked memory, are wiped, and never show."""

import gc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywire.auth import secrets
from pywire.auth.credentials import Md5Verifier, Password, ScramKeys


@given(st.lists(st.binary(max_size=200), max_size=50))
def test_every_secret_comes_back(values):
    store = secrets.SecretStore()
    slots = [store.keep(value) for value in values]
    assert [bytes(slot.reveal()) for slot in slots] == values


def test_a_wiped_secret_is_gone_from_memory():
    store = secrets.SecretStore()
    slot = store.keep(b"k" * 32)
    seen = slot.reveal()
    slot.wipe()
    slot.wipe()
    assert bytes(seen) == bytes(32)
    with pytest.raises(ValueError, match="wiped"):
        slot.reveal()


def test_a_forgotten_secret_is_wiped_too():
    store = secrets.SecretStore()
    slot = store.keep(b"k" * 32)
    seen = slot.reveal()
    del slot
    gc.collect()
    assert bytes(seen) == bytes(32)


def test_places_are_used_again():
    store = secrets.SecretStore()
    count = secrets.ARENA_BYTES // secrets.SLOT_BYTES
    for _ in range(3):
        slots = [store.keep(b"x") for _ in range(count)]
        for slot in slots:
            slot.wipe()
    assert len(store._arenas) == 1


def test_memory_that_cannot_be_locked_is_used_with_one_warning(monkeypatch):
    monkeypatch.setattr(secrets._Arena, "lock", lambda _: "mlock failed")
    warnings = []
    store = secrets.SecretStore(warnings.append)
    count = secrets.ARENA_BYTES // secrets.SLOT_BYTES
    slots = [store.keep(b"x") for _ in range(2 * count)]
    assert warnings == ["mlock failed"]
    assert not store.locked
    assert len(slots) == 2 * count


def test_nothing_shows_in_representations():
    slot = secrets.SecretStore().keep(b"hidden")
    things = [slot, Password(slot), Md5Verifier(slot), ScramKeys(slot, b"hidden", b"hidden", 1)]
    assert not any("hidden" in repr(thing) for thing in things)
