import io
import json

import pytest

from pywire.events import Failed, HostLost, Recorded, SessionOpened
from pywire.log import Log, json_line, text_line

LOST = Recorded(1, 1_769_903_999.1234, HostLost(cluster="main", host="a", reason='no "answer"'))
OPENED = Recorded(2, 0.0, SessionOpened(session=1, user="", database="d b", host="a", tls=True))


def test_a_text_line_has_time_level_name_and_fields():
    assert text_line(LOST) == (
        '2026-01-31T23:59:59.123Z WARNING host_lost cluster=main host=a reason="no \\"answer\\""'
    )


def test_empty_values_and_flags_can_be_told_apart():
    line = text_line(OPENED)
    assert 'user="" database="d b" host=a' in line
    assert "tls=true" in line


def test_a_json_line_is_one_object():
    assert json.loads(json_line(LOST)) == {
        "at": "2026-01-31T23:59:59.123Z",
        "level": "warning",
        "event": "host_lost",
        "cluster": "main",
        "host": "a",
        "reason": 'no "answer"',
    }


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_value_cannot_forge_a_line(form):
    stream = io.StringIO()
    evil = "x\n2026 ERROR forged \x1b[31m"
    Log(stream, form).write(Recorded(1, 0.0, Failed(what="login", reason=evil)))
    assert stream.getvalue().count("\n") == 1
    assert "\x1b" not in stream.getvalue()


def test_only_what_is_important_enough_is_written():
    stream = io.StringIO()
    log = Log(stream, level="warning")
    log.write(OPENED)
    assert stream.getvalue() == ""
    log.write(LOST)
    assert "host_lost" in stream.getvalue()
    log.configure("json", "debug")
    log.write(OPENED)
    assert stream.getvalue().count("\n") == 2


def test_a_reader_that_went_away_stops_nobody():
    stream = io.StringIO()
    log = Log(stream)
    stream.close()
    log.write(LOST)
