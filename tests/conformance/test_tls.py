"""TLS as libpq asks for it: channel binding over pywire's own certificate, verification, direct TLS, cancel."""

import threading
import time

import psycopg
import pytest

from .hosts import PASSWORD, make_certificates


@pytest.fixture
def connect(host, target):
    """Connect with psycopg; only a server with TLS takes part."""
    if host.ca is None:
        pytest.skip("this PostgreSQL is built without TLS")

    def make(**options):
        return psycopg.connect(
            host="127.0.0.1",
            port=target.port,
            user="app",
            password=PASSWORD,
            dbname="conformance",
            autocommit=True,
            **{"sslmode": "verify-full", "sslrootcert": str(host.ca), **options},
        )

    return make


def test_the_certificate_is_verified(connect):
    with connect() as connection:
        assert connection.pgconn.ssl_in_use
        assert connection.execute(
            "select ssl from pg_stat_ssl where pid = pg_backend_pid()"
        ).fetchone()[0]


def test_channel_binding_can_be_required(connect):
    """SCRAM-SHA-256-PLUS: the proof covers the certificate of whoever the client speaks to."""
    with connect(channel_binding="require") as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_scram_alone_is_enough_if_the_client_says_so(connect):
    with connect(channel_binding="disable") as connection:
        assert connection.execute("select 1").fetchone() == (1,)


def test_a_foreign_authority_is_refused_by_the_client(connect, tmp_path):
    make_certificates(tmp_path)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        connect(sslrootcert=str(tmp_path / "ca.crt")).close()


def test_without_tls_nobody_is_let_in(connect):
    with pytest.raises(psycopg.OperationalError):
        connect(sslmode="disable").close()


def test_direct_tls(connect, target, host):
    if target.route == "direct" and host.version < 170000:
        pytest.skip("PostgreSQL takes direct TLS since version 17; pywire always")
    if psycopg.pq.version() < 170000:
        pytest.skip("this libpq is older than direct TLS")
    with connect(sslnegotiation="direct", sslmode="require") as connection:
        assert connection.execute("select 1").fetchone() == (1,)


@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_protocol_versions(connect, version):
    with connect(ssl_min_protocol_version=version, ssl_max_protocol_version=version) as connection:
        assert connection.execute("select repeat('x', 1000000)").fetchone()[0] == "x" * 1_000_000


def test_a_cancel_request_over_tls(connect):
    with connect() as connection:
        timer = threading.Timer(0.3, connection.cancel_safe)
        timer.start()
        started = time.monotonic()
        with pytest.raises(psycopg.errors.QueryCanceled):
            connection.execute("select pg_sleep(30)")
        timer.join()
        assert time.monotonic() - started < 10
        assert connection.execute("select 1").fetchone() == (1,)
