"""Startup parameters are read as PostgreSQL reads them, and kept verbatim."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywire.session.startup import PROTOCOL_3_0, Startup
from pywire.wire.messages import startup_body

NAME = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)
VALUE = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def startup(**parameters):
    return Startup(PROTOCOL_3_0, startup_body(parameters))


def test_the_database_is_the_users_unless_given():
    assert startup(user="ann").database == "ann"
    assert startup(user="ann", database="").database == "ann"
    assert startup(user="ann", database="shop").database == "shop"


@given(st.dictionaries(NAME, VALUE))
def test_parameters_make_the_round_trip(parameters):
    body = startup_body(parameters)
    read = Startup(PROTOCOL_3_0, body)
    assert read.parameters == parameters
    assert read.body == body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"user\0",
        b"user\0x",
        b"user\0x\0",
        b"\0x\0\0",
        b"user\0x\0\0junk",
        b"user\0x\0\0y\0\0\0",
    ],
)
def test_what_is_not_a_list_of_pairs_is_refused(body):
    with pytest.raises(ValueError, match="startup packet"):
        Startup(PROTOCOL_3_0, body)


@given(st.binary(max_size=60))
def test_anything_is_read_or_refused(body):
    try:
        Startup(PROTOCOL_3_0, body)
    except ValueError:
        pass


@pytest.mark.parametrize(
    ("value", "is_it"),
    [
        ("database", True),
        ("true", True),
        ("on", True),
        ("1", True),
        ("false", False),
        ("off", False),
        ("0", False),
        ("", False),
    ],
)
def test_walsenders_are_recognised(value, is_it):
    assert startup(user="ann", replication=value).replication is is_it
    assert not startup(user="ann").replication


def test_protocol_options_are_not_for_the_host():
    asked = Startup(
        PROTOCOL_3_0, startup_body({"user": "ann", "_pq_.test": "1", "options": "-c x=y"})
    )
    assert asked.protocol_options == [b"_pq_.test"]
    assert asked.host_body() == startup_body({"user": "ann", "options": "-c x=y"})


def test_names_that_are_not_utf_8_survive():
    body = b"user\0\xe9\0\0"
    assert Startup(PROTOCOL_3_0, body).user.encode("utf-8", "surrogateescape") == b"\xe9"


def test_only_names_show_in_the_representation():
    assert "hidden" not in repr(startup(user="ann", options="hidden"))
