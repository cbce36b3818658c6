"""The command `pywire`: reads the command line, calls what it names, returns an exit code.

It decides nothing and imports a command's modules only when that command is given, so that
`--help`, `--version` and `check` need neither the extension nor trio.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from enum import IntEnum
from importlib import metadata
from pathlib import Path
from typing import TextIO

from pywire.errors import ConfigError, PywireError


class ExitCode(IntEnum):
    """What the command's end means; docs/reference/command-line.md says the same."""

    OK = 0
    FAILED = 1
    USAGE = 2
    CONFIGURATION = 3
    REFUSED = 4
    INTERRUPTED = 130


EXIT_CODES = {
    ExitCode.OK: "It did what was asked.",
    ExitCode.FAILED: "It could not: no connection, a port in use, a demo with a bad verdict.",
    ExitCode.USAGE: "The command line was wrong, or the demo found something missing; nothing was done.",
    ExitCode.CONFIGURATION: "The configuration cannot be used; every problem was listed.",
    ExitCode.REFUSED: "pywire refused the admin command, and nothing was changed.",
    ExitCode.INTERRUPTED: "Ctrl-C (and 128 + n: signal n), after cleaning up.",
}


def version() -> str:
    """The installed version; its one source is Cargo.toml."""
    try:
        return metadata.version("pywire")
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


def parser() -> argparse.ArgumentParser:
    """The whole command line, also what the reference page is made from."""
    top = argparse.ArgumentParser(
        prog="pywire",
        description="Keeps PostgreSQL sessions while the host under them changes.",
        epilog="exit codes: "
        + ", ".join(f"{code.value} {code.name.lower()}" for code in EXIT_CODES),
        allow_abbrev=False,
    )
    top.add_argument("--version", action="version", version=f"pywire {version()}")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    run = commands.add_parser(
        "run",
        allow_abbrev=False,
        help="serve clients, in the foreground, with the log on stderr",
        description="Serves clients until SIGTERM or SIGINT, which drain; SIGHUP reloads.",
    )
    check = commands.add_parser(
        "check",
        allow_abbrev=False,
        help="say what is right and wrong with a configuration",
        description="Reads the configuration and the files it names; connects to nothing.",
    )
    ctl = commands.add_parser(
        "ctl",
        allow_abbrev=False,
        help="give a running pywire an admin command",
        description="Connects to the admin console of the pywire that runs with this "
        "configuration and gives it one command, like SHOW SESSIONS. It logs in as PGUSER or else "
        "the first of admin.users, with PGPASSWORD or else the service user's own password.",
    )
    for command in (run, check, ctl):
        command.add_argument(
            "--config", type=Path, required=True, metavar="FILE", help="the configuration (TOML)"
        )
    ctl.add_argument("--json", action="store_true", help="print rows as one JSON array")
    ctl.add_argument("admin_command", metavar="COMMAND", help="in quotes: 'SHOW HOSTS'")

    demo = commands.add_parser(
        "demo",
        allow_abbrev=False,
        help="show it on this machine, with servers of its own",
        description="Sets up a primary and a standby, runs pgbench through pywire, switches the "
        "primary back and forth, and reads the verdict from the data.",
    )
    for name, default, text in (
        ("clients", 16, "pgbench clients"),
        ("seconds", 30, "how long pgbench runs"),
        ("switchovers", 4, "how often the primary changes meanwhile"),
    ):
        demo.add_argument(
            f"--{name}",
            type=_positive,
            default=default,
            metavar="N",
            help=f"{text} (default {default})",
        )
    return top


def _positive(text: str) -> int:
    """A number that is at least 1, for argparse."""
    if not text.isascii() or not text.isdecimal() or not 0 < int(text) <= 100_000:
        raise argparse.ArgumentTypeError(f"must be a number from 1 to 100000, not {text!r}")
    return int(text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; argparse itself exits with 2."""
    options = parser().parse_args(arguments)
    try:
        return _run(options)
    except ConfigError as error:
        print_problems(error, getattr(options, "config", None), sys.stderr)
        return ExitCode.CONFIGURATION
    except PywireError as error:
        print(f"pywire: {error}", file=sys.stderr)
        return ExitCode.FAILED
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        # The reader (a pager, head) has what it wanted; a second complaint at exit helps nobody.
        sys.stderr.close()
        return ExitCode.FAILED


def _run(options: argparse.Namespace) -> int:
    match options.command:
        case "run":
            from pywire import supervisor

            return supervisor.main(options.config)
        case "check":
            from pywire import check

            return check.main(options.config, sys.stdout)
        case "ctl":
            from pywire.admin import client

            return client.main(options.config, options.admin_command, options.json)
        case _:
            from pywire import demo

            return demo.main(options.clients, options.seconds, options.switchovers)


def print_problems(error: ConfigError, path: Path | None, stream: TextIO) -> None:
    """Every problem on a line of its own, the file in front, as compilers do."""
    for problem in error.problems:
        print(f"{path}: {problem}" if path else str(problem), file=stream)
