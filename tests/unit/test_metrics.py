from pywire.events import EventLog, Migrated, SessionClosed, SessionOpened
from pywire.metrics import Metrics


def test_counters_follow_the_events():
    metrics = Metrics()
    log = EventLog(clock=lambda: 0.0)
    log.listen(metrics.count)
    for session in (1, 2):
        log.emit(SessionOpened(session=session, user="u", database="d", host="a"))
    log.emit(Migrated(session=1, source="a", target="b", pause_seconds=0.5))
    log.emit(Migrated(session=2, source="a", target="b", pause_seconds=0.25))
    log.emit(SessionClosed(session=1, host="b", reason="terminated"))
    rows = dict(metrics.rows())
    assert rows["migrations"] == 2
    assert rows["migrations_refused"] == 0
    assert rows["pause_seconds_sum"] == 0.75
    assert rows["pause_seconds_max"] == 0.5
    assert rows["event_session_closed"] == 1
