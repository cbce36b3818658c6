"""The console's language."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywire.admin.commands import (
    SHOWN,
    Migrate,
    Nothing,
    Pause,
    Polite,
    Reload,
    Resume,
    Show,
    Shutdown,
    Switchover,
)
from pywire.admin.parser import NotACommand, parse, split


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("SHOW HOSTS", Show("hosts")),
        ("  show\tsessions ; ", Show("sessions")),
        ("show /* all */ events -- please", Show("events")),
        ("Migrate Session 12 To B", Migrate(12, "b")),
        ('migrate session \'12\' to "Host ""B"""', Migrate(12, 'Host "B"')),
        ("switchover main to b", Switchover("main", "b")),
        (
            "SWITCHOVER main TO db-2.example.org FORCE",
            Switchover("main", "db-2.example.org", force=True),
        ),
        ("switchover force to force force", Switchover("force", "force", force=True)),
        ("pause", Pause(None)),
        ("PAUSE main", Pause("main")),
        ("resume", Resume(None)),
        ("reload", Reload()),
        ("shutdown", Shutdown()),
        ("shutdown wait", Shutdown(wait=True)),
        ("", Nothing()),
        (" ; ", Nothing()),
        ("set extra_float_digits = 3", Polite("SET")),
        ("BEGIN", Polite("BEGIN")),
        ("select 1", Polite("SELECT 1", "?column?", "1")),
        ("show transaction_isolation", Polite("SHOW", "transaction_isolation", "read committed")),
    ],
)
def test_commands(text, command):
    assert parse(text) == command


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("MAKE COFFEE", 1),
        ("show hotses", 6),
        ("show", 5),
        ("show hosts now", 12),
        ("migrate session x to b", 17),
        ("migrate session 1", 18),
        ("switchover main b", 17),
        ("select * from pg_class", 1),
        ("reload now", 8),
        ("'show' hosts", 1),
    ],
)
def test_what_is_no_command_is_42601_with_its_place(text, position):
    with pytest.raises(NotACommand) as refused:
        parse(text)
    assert refused.value.sqlstate == "42601"
    assert refused.value.position == position
    assert "SHOW HOSTS" in refused.value.hint


def test_several_statements_keep_their_places():
    first, second = split("show hosts; show hotses")
    assert parse(first) == Show("hosts")
    with pytest.raises(NotACommand) as refused:
        parse(second)
    assert refused.value.position == len("show hosts; show ") + 1
    assert split("select ';'") == ["select ';'"]


def test_every_table_can_be_shown():
    for subject in SHOWN:
        assert parse(f"SHOW {subject}") == Show(subject)


@given(st.text())
def test_any_text_is_a_command_or_refused(text):
    with suppress(NotACommand):
        for statement in split(text):
            parse(statement)


def test_a_very_long_text_is_refused():
    with pytest.raises(NotACommand, match="too long"):
        parse("x" * 100_000)
