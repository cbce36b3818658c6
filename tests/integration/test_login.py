"""Logging in through pywire is like logging in to the host: the same words for the same mistakes, and cancel works."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time

import psycopg
import pytest

from .harness import Manager, Pair, wait_until

ROLES = """
create role plain login password 'pencil';
create role "ünï cödé" login password 'pässwörd \u2168';
create role nologin password 'pencil';
create role late login password 'pencil' valid until '2020-01-01';
create role no_password login;
create role limited login password 'pencil' connection limit 0;
set password_encryption = md5;
create role old login password 'pencil';
"""


@pytest.fixture(scope="module", autouse=True)
def roles(pair: Pair) -> None:
    """Roles of every kind, on both servers."""
    with pair.primary.connect() as connection:
        connection.execute(ROLES.encode())
    names = "select count(*) from pg_roles where rolname in ('plain', 'old')"
    wait_until(lambda: all(s.query(names) == 2 for s in (pair.a, pair.b)), "the roles to arrive")


def login(port: int, user: str, password: str | None, **options: str) -> str:
    """Log in; return who the server says we are, or its refusal in full."""
    try:
        with psycopg.connect(
            host="127.0.0.1",
            port=port,
            user=user,
            password=password,
            **{"dbname": "postgres", "connect_timeout": "10", "sslmode": "disable", **options},
        ) as connection:
            row = connection.execute("select current_user").fetchone()
            assert row is not None
            return str(row[0])
    except psycopg.OperationalError as error:
        return re.sub(r"port \d+", "port", str(error))


@pytest.mark.parametrize(
    ("user", "password"),
    [
        ("plain", "pencil"),
        ("plain", "wrong"),
        ("plain", "pencil "),
        ("nobody", "pencil"),
        ("ünï cödé", "pässwörd \u2168"),
        ("ünï cödé", "pässwörd IX"),
        ("ünï cödé", "passwörd IX"),
        ("nologin", "pencil"),
        ("late", "pencil"),
        ("no_password", "pencil"),
        ("limited", "pencil"),
        ("old", "pencil"),
    ],
)
def test_every_kind_of_role_gets_the_hosts_answer(
    pair: Pair, manager: Manager, user: str, password: str
) -> None:
    """To the letter."""
    assert login(manager.port, user, password) == login(pair.primary.port, user, password)


def test_a_database_that_is_not_there(pair: Pair, manager: Manager) -> None:
    """The host's refusal, verbatim."""
    direct = login(pair.primary.port, "plain", "pencil", dbname="nowhere")
    assert "does not exist" in direct
    assert login(manager.port, "plain", "pencil", dbname="nowhere") == direct


def test_startup_options_reach_the_host(pair: Pair, manager: Manager) -> None:
    """As do the mistakes in them."""
    options = "-c statement_timeout=33s -c nonsense=1"
    direct = login(pair.primary.port, "plain", "pencil", options=options)
    assert "nonsense" in direct
    assert login(manager.port, "plain", "pencil", options=options) == direct


def test_a_changed_password_is_noticed(pair: Pair, manager: Manager) -> None:
    """The new one at the latest with the second try; the old one no longer."""
    assert login(manager.port, "plain", "pencil") == "plain"
    pair.primary.query("alter role plain password 'crayon'")
    try:
        time.sleep(1.1)
        assert "password authentication failed" in login(manager.port, "plain", "pencil")
        tries = [login(manager.port, "plain", "crayon") for _ in range(2)]
        assert tries[-1] == "plain"
    finally:
        pair.primary.query("alter role plain password 'pencil'")
        time.sleep(1.1)
        login(manager.port, "plain", "pencil")


def test_refusals_look_the_same_on_the_wire(manager: Manager) -> None:
    """An unknown user is asked as many questions of the same length as a known one."""
    transcripts = [_shape(manager.port, user) for user in ("plain", "nobody")]
    assert transcripts[0] == transcripts[1]


def _shape(port: int, user: str) -> list[tuple[bytes, int]]:
    """Tags and lengths of what is said to a client with a wrong proof."""
    seen = []
    body = struct.pack("!I", 196608) + b"user\0" + user.encode() + b"\0database\0postgres\0\0"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(struct.pack("!I", len(body) + 4) + body)
        seen.append(_message(connection))
        first = b"n,,n=,r=rOprNGfwEbeRWgbNEkqO"
        _send(connection, b"SCRAM-SHA-256\0" + struct.pack("!I", len(first)) + first)
        answer = _message(connection)
        seen.append(answer)
        nonce = answer[1][4:].split(b",")[0]
        _send(connection, b"c=biws," + nonce + b",p=" + b"A" * 43 + b"=")
        seen.append(_message(connection))
        assert connection.recv(1) == b""
    tag, text = seen[-1]
    seen[-1] = (tag, text.replace(user.encode(), b"USER"))
    return [(tag, len(text)) for tag, text in seen]


def _send(connection: socket.socket, body: bytes) -> None:
    connection.sendall(b"p" + struct.pack("!I", len(body) + 4) + body)


def _message(connection: socket.socket) -> tuple[bytes, bytes]:
    head = _exactly(connection, 5)
    return head[:1], _exactly(connection, int.from_bytes(head[1:], "big") - 4)


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        assert chunk
        data += chunk
    return data


@pytest.mark.parametrize("protocol", ["3.0", "3.2"])
def test_a_cancel_request_hits_its_statement_and_nothing_else(
    manager: Manager, protocol: str
) -> None:
    """Whatever is asked when: a statement is cancelled while it runs, and the next one never is."""
    if protocol == "3.2" and psycopg.pq.version() < 180000:
        pytest.skip("this libpq does not speak protocol 3.2")
    options = {"max_protocol_version": protocol} if psycopg.pq.version() >= 180000 else {}
    with psycopg.connect(manager.dsn(), autocommit=True, **options) as connection:
        timer = threading.Timer(0.3, connection.cancel)
        timer.start()
        began = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select pg_sleep(20)")
        assert time.monotonic() - began < 5
        timer.join()
        for _ in range(50):
            connection.cancel()
            assert connection.execute("select 1").fetchone() == (1,)


def test_a_cancel_request_ends_a_copy(manager: Manager) -> None:
    """Though no request boundary comes while the client copies in."""
    with psycopg.connect(manager.dsn(), autocommit=True) as connection:
        connection.execute("create temp table t (x text)")
        with (  # noqa: PT012 - any of the writes may be the one that hears of it
            pytest.raises(psycopg.errors.QueryCanceled),
            connection.cursor() as cursor,
            cursor.copy("copy t from stdin") as copy,
        ):
            copy.write("x\n")
            threading.Timer(0.2, connection.cancel).start()
            for _ in range(200):
                copy.write("x\n" * 100)
                time.sleep(0.02)
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_storm_of_cancel_requests_leaves_the_session_sound(manager: Manager) -> None:
    """Each ends the statement it met or none; the session's answers stay in step."""
    stop = threading.Event()
    with psycopg.connect(manager.dsn(), autocommit=True) as connection:

        def storm() -> None:
            while not stop.is_set():
                connection.cancel()

        thread = threading.Thread(target=storm)
        thread.start()
        try:
            for number in range(200):
                try:
                    row = connection.execute(f"select {number}, pg_sleep(0.002)").fetchone()
                    assert row is not None
                    assert row[0] == number
                except psycopg.errors.QueryCanceled:
                    pass
        finally:
            stop.set()
            thread.join()
        assert connection.execute("select 1").fetchone() == (1,)
