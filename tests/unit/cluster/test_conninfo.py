"""libpq's keyword/value strings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywire.cluster.conninfo import format_conninfo, parse_conninfo, pointed_at

WORDS = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="=\\' "), min_size=1
)


@given(
    st.dictionaries(
        WORDS, st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
    )
)
def test_what_is_written_is_read_back(values):
    assert parse_conninfo(format_conninfo(values)) == values


def test_as_pg_basebackup_writes_it():
    text = "user=postgres passfile='/var/lib/a b/.pgpass' channel_binding = prefer  host=127.0.0.1 password='it\\'s'"
    assert parse_conninfo(text) == {
        "user": "postgres",
        "passfile": "/var/lib/a b/.pgpass",
        "channel_binding": "prefer",
        "host": "127.0.0.1",
        "password": "it's",
    }


@pytest.mark.parametrize("text", ["postgresql://host/db", "host", "host='a", "=b"])
def test_other_forms_are_refused(text):
    with pytest.raises(ValueError, match="connection string"):
        parse_conninfo(text)


def test_pointing_elsewhere_keeps_user_and_tls():
    before = {
        "user": "repl",
        "host": "x",
        "hostaddr": "10.0.0.1",
        "port": "1",
        "sslmode": "require",
        "application_name": "b",
    }
    after = pointed_at(before, host="y", port=5433, application_name="a")
    assert after == {
        "user": "repl",
        "sslmode": "require",
        "host": "y",
        "port": "5433",
        "application_name": "a",
    }
