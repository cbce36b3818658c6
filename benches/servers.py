"""Starts what is compared, all of it throw-away: PostgreSQL, HAProxy, PgBouncer, pywire.

A `Lab` owns a temporary directory and every process in it, and takes both away again. It signals
nothing that it has not started.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from benches.wire import Connection, ServerError
from benches.workloads import COPY_TABLE

ROOT = Path(__file__).resolve().parent.parent
# Below the kernel's ephemeral ports, so that no client's own port is in the way.
PORT_FIRST = 23200


@dataclass(frozen=True, slots=True)
class Target:
    """Something that clients can be pointed at.

    Attributes:
        name: as in results.
        port: on the loopback.
        pid: the root of its process tree.
        version: what it says it is.
    """

    name: str
    port: int
    pid: int
    version: str


class Unavailable(Exception):
    """A peer is not installed, or does not come up; the rest is compared without it."""


@dataclass
class Lab:
    """A temporary directory and the processes started in it."""

    directory: Path = field(default_factory=lambda: Path(tempfile.mkdtemp(prefix="pywire-bench-")))
    processes: list[tuple[subprocess.Popen[bytes], signal.Signals]] = field(default_factory=list)
    _port: int = PORT_FIRST

    def __post_init__(self) -> None:
        self.user = pwd.getpwnam("postgres") if os.geteuid() == 0 else None
        self.directory.chmod(0o755)
        self.own(self.directory)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process, how in reversed(self.processes):
            self.stop(process, how)
        shutil.rmtree(self.directory, ignore_errors=True)

    def own(self, path: Path) -> None:
        """PostgreSQL and PgBouncer refuse to be root: their files belong to another user."""
        if self.user is not None:
            os.chown(path, self.user.pw_uid, self.user.pw_gid)

    def stop(self, process: subprocess.Popen[bytes], how: signal.Signals) -> None:
        if process.poll() is None:
            process.send_signal(how)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def port(self) -> int:
        while True:
            self._port += 1
            with socket.socket() as probe, contextlib.suppress(OSError):
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", self._port))
                return self._port

    def write(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        self.own(path)
        return path

    def _identity(self, as_root: bool) -> dict[str, object]:
        if self.user is None or as_root:
            return {}
        return {"user": self.user.pw_uid, "group": self.user.pw_gid, "extra_groups": []}

    def run(self, *argv: str | Path) -> str:
        done = subprocess.run(
            argv, cwd=self.directory, stdin=subprocess.DEVNULL, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **self._identity(as_root=False),
        )  # fmt: skip
        if done.returncode:
            raise Unavailable(f"{Path(argv[0]).name}: {done.stdout.strip()[-400:]}")
        return done.stdout

    def start(
        self,
        name: str,
        port: int,
        *argv: str | Path,
        version: str,
        as_root: bool = False,
        how: signal.Signals = signal.SIGTERM,
        ready: bool = True,
    ) -> Target:
        """Start a server and wait until it takes connections."""
        with open(self.directory / f"{name}.log", "ab") as log:
            process = subprocess.Popen(
                argv, cwd=self.directory if not as_root else ROOT, stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True, **self._identity(as_root),
            )  # fmt: skip
        self.processes.append((process, how))
        end = time.monotonic() + 30
        why = "not tried"
        while ready and process.poll() is None:
            try:
                Connection(port, seconds_max=3).close()
                break
            except (OSError, ServerError) as error:
                why = str(error)
            if time.monotonic() > end:
                self.stop(process, signal.SIGKILL)
                raise Unavailable(f"{name} does not answer: {why}")
            time.sleep(0.1)
        if process.poll() is not None:
            tail = (self.directory / f"{name}.log").read_text(errors="replace")[-600:]
            raise Unavailable(f"{name} ended at once: {tail.strip()}")
        return Target(name, port, process.pid, version)


# ---- PostgreSQL


def postgresql_programs() -> Path:
    """Where initdb, postgres and pgbench are: the newest of the system, else the embedded one."""
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda p: int(p.parts[-3])
    )
    found = [path for path in found if (path.parent / "pgbench").exists()]
    if found:
        return found[-1].parent
    on_path = shutil.which("pgbench")
    if on_path is None:
        raise SystemExit("no PostgreSQL with pgbench here: apt-get install postgresql-15")
    return Path(on_path).resolve().parent


POSTGRESQL_SETTINGS = """
listen_addresses = '127.0.0.1'
max_connections = 400
shared_buffers = 256MB
fsync = off
synchronous_commit = off
full_page_writes = off
max_wal_size = 8GB
checkpoint_timeout = 60min
autovacuum = off
jit = off
log_min_messages = warning
"""


def start_postgresql(lab: Lab, scale: int) -> Target:
    """A fresh cluster with pgbench's tables; durability is off, as it is not what is measured."""
    programs = postgresql_programs()
    data = lab.directory / "data"
    lab.run(programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N",
            "--no-locale", "-E", "UTF8")  # fmt: skip
    port = lab.port()
    with (data / "postgresql.conf").open("a") as file:
        file.write(f"{POSTGRESQL_SETTINGS}port = {port}\n")
        file.write(f"unix_socket_directories = '{lab.directory}'\n")
    version = lab.run(programs / "postgres", "--version").strip()
    target = lab.start(
        "direct", port, programs / "postgres", "-D", data, version=version, how=signal.SIGINT
    )
    lab.run(programs / "pgbench", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-iq",
            "-s", str(scale), "postgres")  # fmt: skip
    connection = Connection(port)
    # Rows that arrive by COPY are dropped at once, so that no table grows.
    connection.query(f"CREATE UNLOGGED TABLE {COPY_TABLE} (t text)")
    connection.query(
        "CREATE FUNCTION bench_drop() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'"
    )
    connection.query(
        f"CREATE TRIGGER bench_drop BEFORE INSERT ON {COPY_TABLE} "
        "FOR EACH ROW EXECUTE FUNCTION bench_drop()"
    )
    connection.query("VACUUM ANALYZE")
    connection.query("CHECKPOINT")
    connection.close()
    return target


# ---- the proxies


def first_line(*argv: str | Path) -> str:
    done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    return (done.stdout or done.stderr).splitlines()[0].strip()


def start_haproxy(lab: Lab, host: Target) -> Target:
    path = os.environ.get("PATH", "") + ":/usr/sbin"
    if shutil.which("haproxy", path=path) is None:
        subprocess.run([ROOT / "scripts" / "install-debian", "haproxy"], stdin=subprocess.DEVNULL)
    program = shutil.which("haproxy", path=path)
    if program is None:
        raise Unavailable("haproxy is not installed")
    port = lab.port()
    settings = lab.write(
        "haproxy.cfg",
        f"""global
    maxconn 8000
    nbthread 1
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen postgresql
    bind 127.0.0.1:{port} backlog 4096
    server host 127.0.0.1:{host.port}
""",
    )
    found = re.search(r"\d+\.\d+\.\d+", first_line(program, "-v"))
    version = f"HAProxy {found.group() if found else ''}"
    return lab.start("haproxy", port, program, "-db", "-f", settings, version=version)


def pgbouncer_program(lab: Lab) -> Path:
    """The one that `pgbouncer.sh` has built, else the system's; copied to where it may be run."""
    script = ROOT / "benches" / "pgbouncer.sh"
    done = subprocess.run(
        ["bash", script], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    built = done.stdout.strip().splitlines()[-1:] if done.returncode == 0 else []
    if not built:
        sys.stderr.write(done.stderr[-300:])
    found = built[0] if built else shutil.which("pgbouncer", path="/usr/bin:/usr/sbin")
    if found is None:
        raise Unavailable("pgbouncer is not installed, and could not be built")
    program = lab.directory / "pgbouncer"
    shutil.copy(found, program)
    program.chmod(0o755)
    return program


def start_pgbouncer(lab: Lab, host: Target) -> Target:
    program = pgbouncer_program(lab)
    port = lab.port()
    users = lab.write("users.txt", '"postgres" ""\n')
    settings = lab.write(
        "pgbouncer.ini",
        f"""[databases]
* = host=127.0.0.1 port={host.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
listen_backlog = 4096
unix_socket_dir =
auth_type = trust
auth_file = {users}
pool_mode = session
max_client_conn = 10000
default_pool_size = 300
log_connections = 0
log_disconnections = 0
log_stats = 0
server_tls_sslmode = disable
""",
    )
    version = first_line(program, "--version")
    return lab.start("pgbouncer", port, program, settings, version=version)


def pywire_settings(
    port: int, host_port: int, driver: str, *, workers: int = 0, unix: str = ""
) -> str:
    """pywire as a user would run it, but with trust, as the others have it."""
    unix_line = f'unix_socket = "{unix}"' if unix else ""
    return f"""[listen]
port = {port}
backlog = 4096
[relay]
driver = "{driver}"
workers = {workers}
[login]
auth = "trust"
[admin]
users = ["postgres"]
[log]
level = "warning"
[cluster.main]
source = "pywire"
service_user = "postgres"
sslmode = "disable"
[[cluster.main.host]]
name = "a"
address = "127.0.0.1:{host_port}"
{unix_line}
"""


def start_pywire(
    lab: Lab, host: Target, driver: str, *, unix: bool = False, workers: int = 0
) -> Target:
    name = f"pywire-{driver}" + ("-unix" if unix else "")
    port = lab.port()
    there = str(lab.directory) if unix else ""
    settings = lab.write(
        f"{name}.toml", pywire_settings(port, host.port, driver, workers=workers, unix=there)
    )
    program = Path(sys.executable).parent / "pywire"
    version = first_line(program, "--version")
    return lab.start(
        name, port, program, "run", "--config", settings, version=version, as_root=True
    )


def start_relay(
    lab: Lab, host: Target, driver: str, *, unix: bool = False, workers: int = 0
) -> Target:
    """The data plane alone, to tell its cost from the control plane's."""
    name = f"relay-{driver}" + ("-unix" if unix else "")
    port = lab.port()
    there = f"{lab.directory}/.s.PGSQL.{host.port}" if unix else str(host.port)
    return lab.start(
        name, port, sys.executable, "-m", "benches.relay_only", str(port), there, driver,
        str(workers), version="the engine alone", as_root=True,
    )  # fmt: skip


def start_command(lab: Lab, host: Target, name: str, command: str) -> Target:
    """Any other proxy, for experiments."""
    port = lab.port()
    there = f"{lab.directory}/.s.PGSQL.{host.port}"
    argv = shlex.split(command.format(port=port, host_port=host.port, socket=there))
    return lab.start(name, port, *argv, version=Path(argv[0]).name, as_root=True)


STARTERS = {
    "haproxy": start_haproxy,
    "pgbouncer": start_pgbouncer,
    "pywire-epoll": lambda lab, host, **how: start_pywire(lab, host, "epoll", **how),
    "pywire-io_uring": lambda lab, host, **how: start_pywire(lab, host, "io_uring", **how),
    "pywire-io_uring-unix": lambda lab, host, **how: start_pywire(
        lab, host, "io_uring", unix=True, **how
    ),
    "relay-epoll": lambda lab, host, **how: start_relay(lab, host, "epoll", **how),
    "relay-io_uring": lambda lab, host, **how: start_relay(lab, host, "io_uring", **how),
    "relay-io_uring-unix": lambda lab, host, **how: start_relay(
        lab, host, "io_uring", unix=True, **how
    ),
    "relay-epoll-unix": lambda lab, host, **how: start_relay(lab, host, "epoll", unix=True, **how),
}
