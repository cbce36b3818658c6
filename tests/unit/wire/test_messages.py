"""The messages Python builds are those it reads back, and what is malformed is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pywire.wire import messages

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))
NAME = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=20
)


@given(st.lists(st.tuples(st.binary(min_size=1, max_size=1), st.binary(max_size=50))))
def test_messages_are_taken_apart_as_they_were_put_together(parts):
    data = b"".join(messages.message(tag, body) for tag, body in parts)
    assert messages.split(data) == [(tag[0], body) for tag, body in parts]


@given(st.binary(min_size=1, max_size=50), st.integers(1, 100))
def test_what_is_cut_off_is_refused(body, cut):
    data = messages.message(b"D", body)
    with pytest.raises(ValueError, match="whole"):
        messages.split(data[: max(1, len(data) - cut)])


def test_a_length_that_cannot_be_is_refused():
    with pytest.raises(ValueError, match="whole"):
        messages.split(b"D\0\0\0\3")


@given(st.lists(st.one_of(st.none(), TEXT), max_size=8))
def test_rows_make_the_round_trip(values):
    ((tag, body),) = messages.split(messages.data_row(values))
    assert tag == ord("D")
    assert messages.read_row(body) == tuple(values)


@given(st.lists(TEXT, max_size=8))
def test_column_names_make_the_round_trip(names):
    ((_, body),) = messages.split(messages.row_description((name, 25) for name in names))
    assert messages.read_columns(body) == tuple(names)


@given(st.dictionaries(NAME, TEXT))
def test_reported_parameters_make_the_round_trip(parameters):
    data = b"".join(
        messages.parameter_status(name.encode(), value.encode())
        for name, value in parameters.items()
    )
    assert messages.parameter_statuses(data + messages.READY_FOR_QUERY_IDLE) == parameters


@given(st.dictionaries(st.sampled_from("SVCMDHP"), NAME))
def test_error_fields_make_the_round_trip(fields):
    ((_, body),) = messages.split(messages.error_response(fields.items()))
    assert messages.read_fields(body) == fields


@given(st.sampled_from(["SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"]), st.binary(max_size=50))
def test_sasl_initial_responses_make_the_round_trip(mechanism, data):
    ((_, body),) = messages.split(messages.sasl_initial_response(mechanism, data))
    assert messages.read_sasl_initial_response(body) == (mechanism, data)


@pytest.mark.parametrize("body", [b"", b"x", b"x\0", b"x\0\0\0\0\5abc", b"x\0\xff\xff\xff\xffabc"])
def test_malformed_sasl_initial_responses_are_refused(body):
    with pytest.raises(ValueError, match="SASLInitialResponse"):
        messages.read_sasl_initial_response(body)


def test_an_initial_response_may_be_left_out():
    assert messages.read_sasl_initial_response(b"x\0\xff\xff\xff\xff") == ("x", b"")


def test_messages_of_the_manual():
    assert messages.query("select 1") == b"Q\0\0\0\x0dselect 1\0"
    assert messages.message(b"S", b"") == messages.SYNC
    assert messages.message(b"X", b"") == messages.TERMINATE
    assert messages.ready_for_query("I") == messages.READY_FOR_QUERY_IDLE
    assert messages.authentication(messages.AUTH_OK) == messages.AUTHENTICATION_OK
    assert messages.cancel_request(1, b"abcd") == b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\1abcd"
    assert messages.startup_message(196608, b"user\0x\0\0") == b"\0\0\0\x10\0\3\0\0user\0x\0\0"
    assert messages.parse(b"", "x") == b"P\0\0\0\x09\0x\0\0\0"
    assert messages.bind(b"", ["a", None]) == (
        b"B\0\0\0\x15\0\0\0\0\0\2\0\0\0\1a\xff\xff\xff\xff\0\0"
    )
    assert messages.sasl_mechanisms(
        messages.split(messages.authentication_sasl(["A", "B"]))[0][1]
    ) == ["A", "B"]
    assert messages.authentication_code(b"\0") == -1
