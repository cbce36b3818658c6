import dataclasses

import pytest

from pywire.events import (
    ConfigChanged,
    EventLog,
    Level,
    Migrated,
    SessionClosed,
    SessionOpened,
    every_event,
)


def a_session_opened(session=1):
    return SessionOpened(session=session, user="app", database="shop", host="a")


@pytest.mark.parametrize("kind", every_event(), ids=lambda kind: kind.__name__)
def test_an_event_is_frozen_and_documented(kind):
    assert kind.__doc__.splitlines()[0].endswith(".")
    assert kind.__dataclass_params__.frozen
    assert isinstance(kind.level, Level)


def test_no_event_is_listed_twice():
    names = [kind.name() for kind in every_event()]
    assert len(names) == len(set(names))
    assert "session_opened" in names
    assert "host_lost" in names


def test_an_event_becomes_plain_fields():
    event = Migrated(session=7, source="a", target="b", pause_seconds=0.004)
    assert event.to_fields() == {
        "session": 7,
        "source": "a",
        "target": "b",
        "pause_seconds": 0.004,
    }
    assert ConfigChanged(changed=("a.b", "c.d")).to_fields()["changed"] == "a.b,c.d"


def test_events_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        a_session_opened().session = 2


def test_the_log_keeps_the_last_events_and_numbers_them_all():
    times = iter(range(100))
    log = EventLog(clock=lambda: next(times), events_max=3)
    for session in range(5):
        log.emit(a_session_opened(session))
    assert [r.event.session for r in log.last()] == [2, 3, 4]
    assert [r.number for r in log.last(2)] == [4, 5]
    assert [r.at for r in log.last(1)] == [4]
    assert log.last(0) == []
    assert log.number == 5


def test_listeners_hear_every_event_in_order():
    log = EventLog(clock=lambda: 0.0, events_max=1)
    heard = []
    log.listen(lambda recorded: heard.append(recorded.event.name()))
    log.emit(a_session_opened())
    log.emit(SessionClosed(session=1, host="a", reason="terminated"))
    assert heard == ["session_opened", "session_closed"]
