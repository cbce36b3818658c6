"""Sessions are found by id and cancel key, and counted once."""

from hypothesis import given
from hypothesis import strategies as st

from pywire.auth.credentials import TRUST
from pywire.session.registry import SessionRegistry
from pywire.session.session import Session
from pywire.session.startup import PROTOCOL_3_0, Startup
from pywire.wire import messages


def make(number, *, user="ann", host="a", process_id=None, key=b"key1"):
    return Session(
        number,
        startup=Startup(PROTOCOL_3_0, messages.startup_body({"user": user})),
        credentials=TRUST,
        cluster="main",
        host=host,
        backend=number + 1000,
        process_id=process_id or number,
        backend_key=b"real",
        cancel_key=key,
        reported=messages.parameter_status(b"TimeZone", b"UTC"),
        peer="127.0.0.1:1",
        opened_at=0.0,
    )


def open_all(*sessions):
    registry = SessionRegistry()
    for session in sessions:
        registry.reserve(session.user)
        registry.open(session)
    return registry


def test_a_session_is_found_until_it_closes():
    session = make(1)
    registry = open_all(session)
    assert registry.get(1) is session
    assert registry.by_cancel_key(1, b"key1") is session
    assert list(registry) == [session]
    assert registry.close(1) is session
    assert registry.close(1) is None
    assert registry.by_cancel_key(1, b"key1") is None
    assert registry.places == 0
    assert registry.of_user_count("ann") == 0


def test_a_wrong_cancel_key_finds_nothing():
    registry = open_all(make(1))
    assert registry.by_cancel_key(1, b"key2") is None
    assert registry.by_cancel_key(1, b"key1" + bytes(28)) is None
    assert registry.by_cancel_key(2, b"key1") is None


def test_equal_process_ids_of_two_hosts_are_told_apart_by_the_key():
    one, two = make(1, process_id=7, key=b"key1"), make(2, process_id=7, key=b"key2", host="b")
    registry = open_all(one, two)
    assert registry.by_cancel_key(7, b"key1") is one
    assert registry.by_cancel_key(7, b"key2") is two
    registry.close(1)
    assert registry.by_cancel_key(7, b"key2") is two
    registry.close(2)
    assert registry.by_cancel_key(7, b"key2") is None


def test_sessions_are_counted_where_they_live():
    session = make(1)
    registry = open_all(session, make(2))
    assert registry.on_host_count("main", "a") == 2
    session.moved(host="b", backend=5, process_id=6, key=b"new")
    registry.moved(session, "a")
    assert registry.on_host_count("main", "a") == 1
    assert registry.of_host("main", "b") == [session]
    registry.close(1)
    assert registry.on_host_count("main", "b") == 0


def test_the_client_keeps_the_process_id_and_key_it_was_told():
    session = make(1)
    session.moved(host="b", backend=5, process_id=6, key=b"new")
    assert (session.process_id, session.cancel_key) == (1, b"key1")
    assert (session.backend, session.backend_process_id, session.backend_key) == (5, 6, b"new")
    assert session.moves == 1


def test_reported_parameters_are_those_the_client_was_last_told():
    session = make(1)
    session.parameter_changed(b"TimeZone", b"Europe/Berlin")
    session.parameter_changed(b"application_name", b"x")
    assert session.parameters == {"TimeZone": "Europe/Berlin", "application_name": "x"}


def test_equal_reports_are_kept_once():
    registry = SessionRegistry()
    one, two = (bytes(bytearray(b"same report")) for _ in range(2))
    assert one is not two
    assert registry.shared_report(one) is registry.shared_report(two)


def test_pins_come_and_go():
    session = make(1)
    session.pin("replication")
    session.pin("replication")
    assert session.pins == {"replication"}
    session.unpin("replication")
    session.unpin("replication")
    assert not session.pins


def test_secrets_do_not_show():
    assert "key1" not in repr(make(1))


@given(st.lists(st.tuples(st.sampled_from(["open", "close", "give_back"]), st.integers(1, 5))))
def test_the_books_balance(steps):
    registry = SessionRegistry()
    for what, number in steps:
        if what == "open" and registry.get(number) is None:
            registry.reserve("ann")
            registry.open(make(number))
        elif what == "close":
            registry.close(number)
        elif what == "give_back":
            registry.reserve("bob")
            registry.give_back("bob")
        assert registry.places == len(registry) == registry.of_user_count("ann")
        assert registry.on_host_count("main", "a") == len(registry)
        assert registry.of_user_count("bob") == 0
