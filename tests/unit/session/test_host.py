"""Addresses of hosts."""

from pywire.session.host import HostAddress


def test_addresses_are_written_as_they_are_read():
    for text in ("db.example:5433", "[::1]:5432", "127.0.0.1:15432"):
        assert str(HostAddress.parse(text)) == text


def test_a_directory_means_the_unix_socket_in_it():
    assert HostAddress.parse("/run/postgresql:5433").unix_path == "/run/postgresql/.s.PGSQL.5433"
