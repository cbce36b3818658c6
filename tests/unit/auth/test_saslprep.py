"""Passwords are prepared as PostgreSQL prepares them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywire.auth.saslprep import saslprep


@pytest.mark.parametrize(
    ("password", "prepared"),
    [
        ("", ""),
        ("user", "user"),
        ("I\u00adX", "IX"),  # RFC 4013's examples from here
        ("\u00aa", "a"),
        ("\u2168", "IX"),
        ("\u00a0x", " x"),
        ("\u0627\u0031", "\u0627\u0031"),  # prohibited by the bidirectional rule: taken as it is
        ("\u0007é", "\u0007é"),  # a control character: as it is
        ("\u00ad", "\u00ad"),  # nothing would be left: as it is
        ("e\u0301", "é"),
    ],
)
def test_passwords_are_prepared_or_taken_as_they_are(password, prepared):
    assert saslprep(password.encode()) == prepared.encode()


def test_what_is_not_utf_8_is_taken_as_it_is():
    assert saslprep(b"\xff\xfe") == b"\xff\xfe"


@given(st.text())
def test_preparing_twice_changes_nothing(password):
    once = saslprep(password.encode("utf-8", "surrogatepass"))
    assert saslprep(once) == once
