"""A primary and its synchronous standby, made for the demonstration and removed after it.

Both are ordinary data directories set up as an administrator would: SCRAM passwords, replication over TCP, either may
become the primary. Whatever pywire does with them later, `Pair.destroy` finds the postmasters by their own pid files.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path

import trio

from pywire.demo.tools import Account, DemoError, find_programs, free_ports

CONFIGURATION = """\
listen_addresses = '127.0.0.1'
port = {port}
unix_socket_directories = ''
max_connections = {connections_max}
max_wal_senders = 10
wal_keep_size = '1GB'
wal_log_hints = on
hot_standby = on
synchronous_standby_names = '*'
primary_conninfo = 'host=127.0.0.1 port={other_port} user=postgres password={password} application_name={name}'
fsync = off
full_page_writes = off
shared_buffers = '128MB'
max_wal_size = '2GB'
log_checkpoints = off
password_encryption = 'scram-sha-256'
"""
"""The disk is not what is shown, so fsync is off: all is thrown away in the end."""

CAUGHT_UP_SECONDS_MAX = 20.0


@dataclass(frozen=True, slots=True)
class Server:
    """One PostgreSQL instance."""

    name: str
    port: int
    directory: Path


@dataclass(frozen=True, slots=True)
class Pair:
    """Host `a`, at first the primary, and host `b`, at first its standby."""

    programs: Path
    account: Account
    password: str = field(repr=False)
    a: Server
    b: Server

    @classmethod
    async def prepare(cls, scratch: Path) -> Pair:
        """Choose the account, programs, ports and password; start nothing yet."""
        account = Account.choose()
        home = scratch / "pg"
        home.mkdir()
        account.give(home)
        programs = await find_programs(account, scratch)
        ports = free_ports(2)
        servers = [Server(name, port, home / name) for name, port in zip("ab", ports, strict=True)]
        return cls(programs, account, secrets.token_urlsafe(18), servers[0], servers[1])

    @property
    def servers(self) -> tuple[Server, Server]:
        """Both, in the order of their names."""
        return (self.a, self.b)

    async def create(self, connections_max: int) -> None:
        """Make `a` with initdb and start it, copy it to `b`, start that, and wait until commits are synchronous."""
        password_file = self.a.directory.parent / "password"
        password_file.write_text(self.password)
        password_file.chmod(0o600)
        self.account.give(password_file)
        try:
            await self.account.run(
                self.programs / "initdb",
                *(
                    "-D",
                    self.a.directory,
                    "-U",
                    "postgres",
                    "--auth=scram-sha-256",
                    f"--pwfile={password_file}",
                ),
                *("--locale=C", "--encoding=UTF8", "--no-sync", "--no-instructions"),
            )
        finally:
            password_file.unlink()
        self._configure(self.a, self.b, connections_max)
        # A commit would wait for a standby that is not there yet: only `b`'s arrival makes it synchronous.
        await self.start(self.a)
        await self.account.run(
            self.programs / "pg_basebackup",
            *("-D", self.b.directory, "-d", self.conninfo(self.a, "postgres"), "--checkpoint=fast"),
            *("--wal-method=stream", "--no-sync"),
            environment=self.environment,
        )
        self._configure(self.b, self.a, connections_max)
        (self.b.directory / "standby.signal").touch()
        self.account.give(self.b.directory / "standby.signal")
        await self.start(self.b)
        await self._until_synchronous()

    def conninfo(self, server: Server, database: str = "postgres") -> str:
        """Return the connection string that reaches a server directly."""
        return f"host=127.0.0.1 port={server.port} user=postgres dbname={database} sslmode=disable"

    @property
    def environment(self) -> dict[str, str]:
        """The environment for programs that log in: the password never stands in a list of processes."""
        return {**os.environ, "PGPASSWORD": self.password}

    async def start(self, server: Server) -> None:
        """Start a server and wait until it takes connections."""
        log = server.directory.parent / f"{server.name}.log"
        await self.account.run(
            self.programs / "pg_ctl", "start", "-w", "-s", "-D", server.directory, "-l", log
        )

    async def query(self, conninfo: str, statement: str) -> str:
        """Return what psql prints for a statement, bare."""
        printed = await self.account.run(
            *(self.programs / "psql", "-XAtq", "-d", conninfo, "-c", statement),
            environment=self.environment,
        )
        return printed.strip()

    async def destroy(self) -> None:
        """Stop both servers, however they were started, whatever state they are in."""
        for server in self.servers:
            if (server.directory / "postmaster.pid").exists():
                try:
                    await self.account.run(
                        self.programs / "pg_ctl",
                        "stop",
                        "-w",
                        "-s",
                        "-m",
                        "immediate",
                        "-D",
                        server.directory,
                    )
                except DemoError:
                    continue  # it went by itself, or was just going

    def _configure(self, server: Server, other: Server, connections_max: int) -> None:
        # The last setting of a name wins, so `b` overrides what it copied from `a`.
        with (server.directory / "postgresql.conf").open("a") as file:
            file.write(
                CONFIGURATION.format(
                    port=server.port,
                    other_port=other.port,
                    name=server.name,
                    connections_max=connections_max,
                    password=self.password,
                )
            )

    async def _until_synchronous(self) -> None:
        with trio.move_on_after(CAUGHT_UP_SECONDS_MAX):
            while True:
                state = await self.query(
                    self.conninfo(self.a), "select sync_state from pg_stat_replication"
                )
                if state == "sync":
                    return
                await trio.sleep(0.1)
        raise DemoError(
            f"the standby did not become synchronous within {CAUGHT_UP_SECONDS_MAX:.0f} s"
        )
