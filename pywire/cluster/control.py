"""Starting, stopping and re-pointing a PostgreSQL server on this machine, with PostgreSQL's own programs.

Everything is done by child processes with the rights of the account that owns the data directory: pywire itself opens
no file in there for writing, even as root, so no link planted there can lead it astray. Every wait has a limit. This
module decides nothing; `switchover` does.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from pywire.cluster.autoconf import with_settings
from pywire.cluster.conninfo import format_conninfo
from pywire.cluster.controldata import ControlData, parse_controldata
from pywire.errors import HostError

__all__ = ["LocalServer", "ServerControlFailed"]

COMMAND_SECONDS_MAX = 60.0
POLL_SECONDS = 0.004
SAID_CHARACTERS_MAX = 600
LOG_NAME = "pywire_server.log"
OWN_FILES = (
    "postgresql.conf",
    "postgresql.auto.conf",
    "pg_hba.conf",
    "pg_ident.conf",
    "postmaster.opts",
)
_SIGNAL_FILE = "standby.signal"
_WRITE = 'umask 077; cat > "$1.pywire" && sync "$1.pywire" && mv -f "$1.pywire" "$1"'


class ServerControlFailed(HostError):
    """A server did not start, stop or change as it was told."""

    sqlstate = "58000"
    template = 'host "{host}": {what} failed'


@dataclass(frozen=True, slots=True)
class LocalServer:
    """One server whose data directory and programs are on this machine."""

    name: str
    data_directory: Path
    bin_directory: Path
    run_as: str | None = None

    def postmaster(self) -> int | None:
        """The postmaster's process id, or None if no server runs on the data directory."""
        try:
            descriptor = os.open(
                self.data_directory / "postmaster.pid", os.O_RDONLY | os.O_NOFOLLOW
            )
        except OSError:
            return None
        with os.fdopen(descriptor) as file:
            line = file.readline().strip()
        pid = int(line) if line.isdecimal() else None
        return pid if pid is not None and _exists(pid) else None

    async def start(self, *, seconds_max: float) -> None:
        """Start the server with the options it last had, and wait until it takes connections."""
        if self.postmaster() is not None:
            return
        # `restart` of a stopped server reads postmaster.opts: a configuration file elsewhere, as Debian has it, or a
        # port given on the command line, would be lost with `start`.
        verb = "restart" if (self.data_directory / "postmaster.opts").exists() else "start"
        limit = str(max(1, round(seconds_max)))
        log = str(self.data_directory / LOG_NAME)
        await self._pg_ctl(verb, "-w", "-t", limit, "-l", log, seconds_max=seconds_max + 2)

    async def stop(self, mode: str, *, seconds_max: float) -> None:
        """Stop the server (`fast` or `immediate`) and wait until its last process is gone."""
        postmaster = self.postmaster()
        if postmaster is None:
            return
        await self._pg_ctl("stop", "-m", mode, "-W", seconds_max=seconds_max)
        with trio.move_on_after(seconds_max):
            # pg_ctl itself looks ten times a second; every client waits meanwhile, so look oftener.
            while _exists(postmaster):  # noqa: ASYNC110 - another process, which no event of ours reports
                await trio.sleep(POLL_SECONDS)
            return
        raise ServerControlFailed(
            f"it still ran after {seconds_max} s", host=self.name, what=f"stop -m {mode}"
        )

    async def promote(self, *, seconds_max: float) -> None:
        """Tell a standby to become primary; whether it has is for the caller to ask."""
        await self._pg_ctl("promote", "-W", seconds_max=seconds_max)

    async def control_data(self) -> ControlData:
        """Read the control file; meant for a stopped server, whose last checkpoint is its last record."""
        said = await self._run(
            [self._program("pg_controldata"), "-D", str(self.data_directory)], "pg_controldata"
        )
        try:
            return parse_controldata(said)
        except ValueError as problem:
            raise ServerControlFailed(str(problem), host=self.name, what="pg_controldata") from None

    async def fence(self) -> None:
        """Let the stopped server never come up as a primary by itself, whoever starts it."""
        signal_file = str(self.data_directory / _SIGNAL_FILE)
        await self._run(["sh", "-c", _WRITE, "sh", signal_file], "writing standby.signal")

    async def make_standby(self, conninfo: Mapping[str, str], *, slot: str | None) -> None:
        """Make the server a standby of `conninfo` from its next start on."""
        path = str(self.data_directory / "postgresql.auto.conf")
        text = await self._run(["cat", path], "reading postgresql.auto.conf")
        changed = with_settings(
            text, {"primary_conninfo": format_conninfo(conninfo), "primary_slot_name": slot}
        )
        await self._run(
            ["sh", "-c", _WRITE, "sh", path], "writing postgresql.auto.conf", given=changed.encode()
        )
        await self.fence()
        if self.postmaster() is not None:
            # Something else has started it meanwhile, fenced: it takes the new primary from a reload.
            await self._pg_ctl("reload", seconds_max=COMMAND_SECONDS_MAX)

    async def make_primary(self) -> None:
        """Undo `fence` on a server that has not been started since; its conninfo does no harm."""
        await self._run(
            ["rm", "-f", str(self.data_directory / _SIGNAL_FILE)], "removing standby.signal"
        )

    async def rewind(self, source: Mapping[str, str], *, seconds_max: float) -> None:
        """Give a stopped server the history of `source`, and keep its own configuration.

        The password travels in the environment, not in `ps`. pg_rewind copies the source's configuration files too;
        with another server's port and paths this one would not even start.
        """
        own = {}
        for name in OWN_FILES:
            if (self.data_directory / name).exists():
                path = str(self.data_directory / name)
                own[path] = await self._run(["cat", path], f"reading {name}")
        shown = {
            name: value
            for name, value in source.items()
            if name not in {"password", "application_name"}
        }
        command = [self._program("pg_rewind"), "-D", str(self.data_directory)]
        command += ["--source-server", format_conninfo({"dbname": "postgres", **shown})]
        environment = {"PGPASSWORD": source["password"]} if "password" in source else {}
        await self._run(command, "pg_rewind", seconds_max=seconds_max, environment=environment)
        for path, text in own.items():
            given = text.encode(errors="surrogateescape")
            await self._run(["sh", "-c", _WRITE, "sh", path], f"writing {path}", given=given)

    async def _pg_ctl(self, verb: str, *options: str, seconds_max: float) -> None:
        command = [self._program("pg_ctl"), verb, "-D", str(self.data_directory), "-s", *options]
        await self._run(command, f"pg_ctl {verb}", seconds_max=seconds_max)

    def _program(self, name: str) -> str:
        return str(self.bin_directory / name)

    async def _run(
        self,
        command: list[str],
        what: str,
        *,
        given: bytes = b"",
        seconds_max: float = COMMAND_SECONDS_MAX,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        """Run a program as the data directory's owner and return what it printed."""
        completed: subprocess.CompletedProcess[bytes] | None = None
        with trio.move_on_after(seconds_max):
            try:
                completed = await trio.run_process(
                    command,
                    stdin=given,
                    capture_stdout=True,
                    capture_stderr=True,
                    check=False,
                    cwd="/",
                    env=_environment(environment or {}),
                    start_new_session=True,
                    **_identity(self.run_as),
                )
            except OSError as problem:
                raise ServerControlFailed(str(problem), host=self.name, what=what) from None
        if completed is None:
            raise ServerControlFailed(
                f"it took longer than {seconds_max} s", host=self.name, what=what
            )
        if completed.returncode != 0:
            said = (completed.stderr or completed.stdout).decode(errors="replace").strip()
            detail = said[-SAID_CHARACTERS_MAX:] or f"exit code {completed.returncode}"
            raise ServerControlFailed(detail, host=self.name, what=what)
        return completed.stdout.decode(errors="surrogateescape")


def _identity(run_as: str | None) -> dict[str, Any]:
    """How to become the account; with its supplementary groups, which the server may need to read its TLS key."""
    if run_as is None or os.geteuid() != 0:
        return {}
    entry = pwd.getpwnam(run_as)
    groups = os.getgrouplist(run_as, entry.pw_gid)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": groups}


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    """Only what programs need: libpq's variables in our own environment must not lead them elsewhere."""
    kept = {
        name: os.environ[name]
        for name in ("PATH", "HOME", "TMPDIR", "LD_LIBRARY_PATH")
        if name in os.environ
    }
    return {"PATH": "/usr/bin:/bin", **kept, "LC_ALL": "C", **more}


def _exists(pid: int) -> bool:
    """Whether a process runs; one that has ended and only waits to be reaped does not."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0] != b"Z"
    except OSError:
        return False
