"""synchronous_standby_names after two hosts have changed places."""

import pytest

from pywire.cluster.synchronous import swapped


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", ""),
        ("*", "*"),
        ("b", "a"),
        ("B", "a"),
        ('"b"', "a"),
        ("FIRST 1 (b, c)", "FIRST 1 (a, c)"),
        ("any 2 (a, b, c)", "any 2 (b, a, c)"),
        ("2 (b,c)", "2 (a,c)"),
        ("bb, ab", "bb, ab"),
    ],
)
def test_the_two_are_exchanged_and_nothing_else(before, after):
    assert swapped(before, "a", "b") == after


def test_names_that_need_quotes_get_them():
    assert swapped("b", "Host A", "b") == '"Host A"'
    assert swapped('"Host A"', "Host A", "b") == "b"
    assert swapped("FIRST 1 (first)", "first", "b") == "FIRST 1 (b)"
