"""The PostgreSQL servers the drivers are tried on, and pywire in front of them.

Two kinds: Debian's, which takes TLS only, and the embedded one from PyPI, which knows none. A `Target` is what a driver
is told: where to connect, as whom. It is the same for both routes but for the port.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.integration.harness import PASSWORD as SUPERUSER_PASSWORD
from tests.integration.harness import Flavour, Manager, Ports, Postgres, own

PASSWORD = "correct horse, battery \u00fc 'staple"
"""Everything a connection string may trip over; the letter that is not ASCII goes through SASLprep."""

SUPERUSER = "postgres"
APPLICATION_USER = "app"
DATABASE = "conformance"

SETTINGS = """
max_connections = 100
max_prepared_transactions = 5
"""

TLS_SETTINGS = """
ssl = on
ssl_cert_file = '{directory}/signed.crt'
ssl_key_file = '{directory}/signed.key'
"""

TLS_HBA = """
hostssl all all 127.0.0.1/32 scram-sha-256
hostssl replication all 127.0.0.1/32 scram-sha-256
"""


@dataclass(frozen=True)
class Target:
    """Where a driver connects."""

    route: str
    port: int
    ca: Path | None

    def environment(self, database: str = DATABASE, user: str = APPLICATION_USER) -> dict[str, str]:
        """The environment of a driver's program: libpq's variables, which every one of ours reads."""
        variables = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        variables |= {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self.port),
            "PGUSER": user,
            "PGPASSWORD": SUPERUSER_PASSWORD if user == SUPERUSER else PASSWORD,
            "PGDATABASE": database,
            "PGSSLMODE": "disable",
            "PGAPPNAME": "conformance",
            "PGCLIENTENCODING": "UTF8",
            "LC_ALL": "C.UTF-8",
        }
        if self.ca is not None:
            variables |= {"PGSSLMODE": "verify-full", "PGSSLROOTCERT": str(self.ca)}
        return variables


class Host:
    """One running PostgreSQL server with an application's user."""

    def __init__(self, flavour: Flavour, directory: Path) -> None:
        self.flavour = flavour
        self.directory = directory
        self.programs = flavour.bin_directory
        self.ca = directory / "ca.crt" if flavour.tls else None
        settings = SETTINGS
        if self.ca:
            make_certificates(directory)
            settings += TLS_SETTINGS.format(directory=directory)
        self.server = Postgres.initdb("a", flavour, directory, settings=settings)
        if self.ca:
            (self.server.directory / "pg_hba.conf").write_text(TLS_HBA)
        self.server.start()
        quoted = PASSWORD.replace("'", "''")
        self.sql(
            f"create role {APPLICATION_USER} login replication password '{quoted}'", "postgres"
        )
        self.sql(f"grant pg_signal_backend, pg_read_all_stats to {APPLICATION_USER}", "postgres")
        self.version = int(str(self.sql("show server_version_num", "postgres")))

    def target(self) -> Target:
        """The way to it without pywire."""
        return Target("direct", self.server.port, self.ca)

    def fresh_database(self) -> None:
        """Give the next driver an empty database of the same name."""
        self.sql(f"drop database if exists {DATABASE} with (force)", "postgres")
        create = f"create database {DATABASE} owner {APPLICATION_USER} template template0"
        self.sql(create, "postgres")

    def sql(self, statement: str, database: str = DATABASE) -> object:
        """Run one statement as the superuser and return its first value."""
        return self.server.query(statement, database)


def configure_manager(host: Host, directory: Path, *, workers: int = 0) -> Manager:
    """Write a configuration for pywire in front of one host it does not control."""
    port = Ports.take()
    text = f'[listen]\naddress = "127.0.0.1"\nport = {port}\n'
    cluster = 'sslmode = "disable"\n'
    if host.ca:
        text += f'tls_mode = "require"\ntls_certificate_file = "{host.directory}/signed.crt"\n'
        text += f'tls_key_file = "{host.directory}/signed.key"\n'
        cluster = f'sslmode = "verify-full"\ntls_ca_file = "{host.ca}"\n'
    text += f'[relay]\nworkers = {workers}\n[admin]\nusers = ["{SUPERUSER}"]\n'
    text += f'[cluster.main]\nsource = "pywire"\nservice_user = "{SUPERUSER}"\n{cluster}'
    text += 'service_password_file = "service_password"\n'
    text += f'[[cluster.main.host]]\nname = "a"\naddress = "127.0.0.1:{host.server.port}"\n'
    password_file = directory / "service_password"
    password_file.write_text(SUPERUSER_PASSWORD + "\n")
    password_file.chmod(0o600)
    configuration = directory / "pywire.toml"
    configuration.write_text(text)
    return Manager(directory, port, configuration)


def make_certificates(directory: Path) -> None:
    """Make an authority and a certificate it signed for 127.0.0.1, all in `directory`."""

    def openssl(*arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments], check=True, cwd=directory, capture_output=True, timeout=60
        )

    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    days = ("-days", "30")
    ca = ("-keyout", "ca.key", "-out", "ca.crt", "-subj", "/CN=pywire tests")
    openssl("req", "-x509", *key, *days, *ca)
    openssl("req", *key, "-keyout", "signed.key", "-out", "signed.csr", "-subj", "/CN=localhost")
    (directory / "extensions").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
    signed = ("-in", "signed.csr", "-out", "signed.crt", "-extfile", "extensions")
    openssl("x509", "-req", "-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", *days, *signed)
    own(directory / "signed.key")
    for name in ("ca.crt", "signed.crt"):
        own(directory / name, 0o644)
