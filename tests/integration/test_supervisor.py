"""The process as a whole: TLS on the listener, reloaded certificates, signals, what it leaves behind."""

from __future__ import annotations

import shutil
import signal
import socket
import ssl
import threading
import time
from pathlib import Path

import psycopg
import pytest

from .harness import Manager, Pair, make_certificate, running, wait_until


def shown_certificate(port: int) -> bytes:
    """The certificate a listener shows, asked for as PostgreSQL clients do."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as sock:
        sock.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
        assert sock.recv(1) == b"S"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with context.wrap_socket(sock) as tls:
            certificate = tls.getpeercert(binary_form=True)
            assert certificate is not None
            return certificate


@pytest.fixture
def certificate(scratch: Path) -> tuple[Path, Path]:
    """A certificate and its key."""
    made = make_certificate(scratch)
    if made is None:
        pytest.skip("no openssl")
    return made


def test_tls_is_required_and_certificates_are_reloaded(
    pair: Pair, scratch: Path, certificate: tuple[Path, Path]
) -> None:
    """Without TLS nobody gets in; ctl knows what to do; SIGHUP shows the new certificate."""
    listen = f'tls_mode = "require"\ntls_certificate_file = "{certificate[0]}"\ntls_key_file = "{certificate[1]}"'
    manager = Manager.configured(pair, scratch / "manager", listen=listen)
    with running(manager):
        with psycopg.connect(manager.dsn() + " sslmode=require", autocommit=True) as client:
            assert client.pgconn.ssl_in_use
            client.execute("select 1")
        with pytest.raises(psycopg.OperationalError, match="no encryption"):
            psycopg.connect(manager.dsn() + " sslmode=disable").close()
        assert "primary" in manager.ctl("SHOW HOSTS").stdout
        before = shown_certificate(manager.port)
        (scratch / "new").mkdir()
        made = make_certificate(scratch / "new")
        assert made is not None
        for old, new in zip(certificate, made, strict=True):
            shutil.copy(new, old)
        assert manager.process is not None
        manager.process.send_signal(signal.SIGHUP)
        wait_until(lambda: shown_certificate(manager.port) != before, "the new certificate")
        assert "primary" in manager.ctl("SHOW HOSTS").stdout


def test_a_second_sigterm_does_not_wait(pair: Pair, scratch: Path) -> None:
    """An open transaction holds the first one up."""
    manager = Manager.configured(pair, scratch)
    manager.start()
    assert manager.process is not None
    try:
        busy = psycopg.connect(manager.dsn())
        busy.execute("select 1")
        manager.process.send_signal(signal.SIGTERM)
        time.sleep(0.7)
        assert manager.process.poll() is None
        manager.process.send_signal(signal.SIGTERM)
        assert manager.process.wait(5) == 0
        busy.close()
    finally:
        manager.stop()


def test_a_port_in_use_is_said_and_exits_with_one(
    pair: Pair, manager: Manager, scratch: Path
) -> None:
    """And leaves nobody waiting."""
    second = Manager.configured(pair, scratch)
    text = second.configuration.read_text()
    second.configuration.write_text(text.replace(f"port = {second.port}", f"port = {manager.port}"))
    with pytest.raises(RuntimeError, match=r"ended with 1[\s\S]*[Aa]ddress already in use"):
        second.start()


def test_it_starts_without_any_host_and_serves_when_they_come(pair: Pair, scratch: Path) -> None:
    """A login waits for a primary; nobody has to restart pywire."""
    pair.until_streaming()
    primary = pair.primary
    other = pair.other(primary)
    other.stop()
    primary.stop()
    manager = Manager.configured(pair, scratch)
    answers: list[object] = []

    def log_in() -> None:
        with manager.connect() as client:
            answers.append(client.execute("select 1").fetchone())

    try:
        with running(manager):
            early = threading.Thread(target=log_in)
            early.start()
            time.sleep(0.5)
            assert answers == []
            primary.start()
            early.join(20)
            assert answers == [(1,)]
    finally:
        primary.start()
        other.start()
        pair.until_streaming()


def test_no_descriptor_and_no_child_is_left(pair: Pair, manager: Manager) -> None:
    """After sessions, consoles and a switchover."""
    assert manager.process is not None
    place = Path(f"/proc/{manager.process.pid}/fd")
    wait_until(
        lambda: {r["role"] for r in manager.show("HOSTS")} == {"primary", "standby"}, "both hosts"
    )
    for _ in range(3):
        manager.connect().close()
    wait_until(lambda: not manager.show("SESSIONS"), "sessions to be gone")
    before = len(list(place.iterdir()))
    for _ in range(20):
        manager.connect().close()
    target = next(row["host"] for row in manager.show("HOSTS") if row["role"] == "standby")
    manager.ctl(f"SWITCHOVER main TO {target}")
    wait_until(lambda: not manager.show("SESSIONS"), "sessions to be gone")
    wait_until(lambda: len(list(place.iterdir())) <= before + 1, "descriptors to be closed")
    assert pair.primary.name == target


@pytest.mark.parametrize("seconds", [0.05, 0.2, 0.4])
def test_told_to_stop_during_a_switchover_it_leaves_two_servers_running(
    pair: Pair, scratch: Path, seconds: float
) -> None:
    """Whenever the signal comes: one primary, one standby that streams from it."""
    pair.until_streaming()
    manager = Manager.configured(pair, scratch)
    target = pair.other(pair.primary).name
    manager.start()
    assert manager.process is not None
    try:
        with manager.connect() as client:
            client.execute("select 1")
            asking = threading.Thread(
                target=lambda: manager.ctl(f"SWITCHOVER main TO {target}", check=False)
            )
            asking.start()
            wait_until(
                lambda: "switchover_started" in manager.log.read_text(), "the switchover to begin"
            )
            time.sleep(seconds)
            manager.process.send_signal(signal.SIGTERM)
            assert manager.process.wait(60) == 0
            asking.join(20)
    finally:
        manager.stop()
    assert pair.a.running
    assert pair.b.running
    assert {
        pair.a.query("select pg_is_in_recovery()"),
        pair.b.query("select pg_is_in_recovery()"),
    } == {
        True,
        False,
    }
    pair.until_streaming()
