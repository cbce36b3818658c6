import pickle

import pytest

from pywire import errors
from pywire.errors import (
    CommitOutcomeUnknown,
    ConfigError,
    HostUnreachable,
    NoPrimary,
    Problem,
    PywireError,
    ReplayDiverged,
)


def every_error(kind=PywireError):
    yield kind
    for below in kind.__subclasses__():
        yield from every_error(below)


@pytest.mark.parametrize("kind", list(every_error()), ids=lambda kind: kind.__name__)
def test_an_error_has_a_sqlstate_a_sentence_and_a_message(kind):
    assert len(kind.sqlstate) == 5
    assert kind.sqlstate.isalnum()
    first_line = kind.__doc__.splitlines()[0]
    assert first_line.endswith(".")
    assert kind.template


def test_the_message_is_the_template_filled():
    error = HostUnreachable("connection refused", host="a")
    assert error.message == 'host "a" cannot be reached'
    assert str(error) == 'host "a" cannot be reached: connection refused'


def test_a_value_that_was_not_given_hides_no_other_error():
    assert NoPrimary().message == 'cluster "unknown" has no primary now'


def test_the_response_has_only_the_fields_that_say_something():
    fields = NoPrimary(cluster="main").response_fields()
    assert fields == [
        ("S", "FATAL"),
        ("V", "FATAL"),
        ("C", "57P03"),
        ("M", 'cluster "main" has no primary now'),
    ]
    fields = NoPrimary("b answers as standby", hint="try later", cluster="main").response_fields(
        "ERROR"
    )
    assert fields[0] == ("S", "ERROR")
    assert fields[-2:] == [("D", "b answers as standby"), ("H", "try later")]


def test_clients_are_told_what_they_may_do():
    assert ReplayDiverged.sqlstate == "40001"
    assert ReplayDiverged.safe_to_retry
    assert CommitOutcomeUnknown.sqlstate == "08007"
    assert not CommitOutcomeUnknown.safe_to_retry


def test_a_config_error_lists_every_problem():
    error = ConfigError([Problem("listen.port", "must be at least 1, not 0"), Problem("", "x")])
    assert [str(p) for p in error.problems] == ["listen.port: must be at least 1, not 0", "x"]
    assert "2 problem(s)" in error.message
    assert "listen.port: must be" in str(error)


def test_sqlstates_are_known_to_drivers():
    psycopg = pytest.importorskip("psycopg")
    for kind in every_error():
        assert psycopg.errors.lookup(kind.sqlstate), kind


def test_there_is_one_source_of_each_kind():
    assert {source.value for source in errors.Source} == {"client", "host", "peer", "self"}


def test_errors_survive_being_pickled_by_a_test_runner():
    error = pickle.loads(pickle.dumps(PywireError("because")))
    assert str(error) == str(PywireError("because"))
