"""Writes the reference pages and the complete example from the code: `make docs`.

`tests/docs` compares the files with what this would write, so they cannot drift. Nothing here is
part of the product.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args, get_type_hints

from pywire import cli, errors
from pywire.admin.commands import HELP, Migrate, Switchover
from pywire.admin.table import COLUMNS, columns_of
from pywire.config.address import Address
from pywire.config.model import ClusterConfig, HostConfig
from pywire.config.parse import SECTIONS
from pywire.config.setting import Setting, required, settings
from pywire.events import every_event
from pywire.migration.phases import MIGRATION, SWITCHOVER
from pywire.session.pins import Reason

ROOT = Path(__file__).resolve().parent.parent
MADE = "<!-- Made by `make docs` from the code; change it there. -->"


def tables() -> Iterator[tuple[str, str, type[Any]]]:
    """Heading, TOML header and class of every section, in the file's order."""
    for name, kind in SECTIONS.items():
        yield f"[{name}]", f"[{name}]", kind
    yield "[cluster.NAME]", "[cluster.main]", ClusterConfig
    yield "[[cluster.NAME.host]]", "[[cluster.main.host]]", HostConfig


# ---- docs/reference/configuration.md


def configuration_page() -> str:
    lines = [
        "# Configuration",
        "",
        MADE,
        "",
        "One TOML file, given with `--config`. Paths are relative to the file's directory. Unknown",
        "settings are errors, and every error is reported with its place. After a change,",
        "`SIGHUP` or `RELOAD` puts it in force, but for the settings that need a restart; those",
        "keep their old value and are named in the log (`config_changed`).",
        "",
        "`pywire check --config FILE` says what is right and wrong with a file.",
        "[`examples/every_setting.toml`](../../examples/every_setting.toml) has every setting with",
        "its default.",
        "",
    ]
    for heading, _, kind in tables():
        lines += [f"## `{heading}`", "", str(kind.__doc__).splitlines()[0], ""]
        lines += ["| setting | type | default | meaning | advice |", "|---|---|---|---|---|"]
        hints = get_type_hints(kind)
        for item, about in settings(kind):
            lines.append(
                f"| `{item.name}` | {type_words(hints[item.name], about)} "
                f"| {default_words(item)} | {about.meaning}{restart_words(about)} | {about.advice} |"
            )
        lines.append("")
    return "\n".join(lines).replace("\n\n\n", "\n\n")


def type_words(hint: Any, about: Setting) -> str:
    if about.choices:
        return ", ".join(f"`{choice}`" for choice in about.choices)
    kind = next((arm for arm in get_args(hint) if arm is not type(None)), hint)
    if hint == tuple[str, ...]:
        return "list of texts"
    words = {Path: "path", Address: "address", str: "text", bool: "true or false"}
    text = words.get(kind, "whole number" if kind is int else "number")
    if about.minimum is not None and about.maximum is not None:
        text += f" from {about.minimum:g} to {about.maximum:.10g}"
    elif about.minimum is not None:
        text += f", at least {about.minimum:g}"
    return text


def default_words(item: Any) -> str:
    if required(item):
        return "must be given"
    return "none" if item.default is None else f"`{toml_value(item.default)}`"


def restart_words(about: Setting) -> str:
    return " *Needs a restart.*" if about.restart else ""


def toml_value(value: Any) -> str:
    if isinstance(value, tuple):
        value = list(value)
    return json.dumps(value)  # texts, numbers, booleans and lists are written alike in both


# ---- examples/every_setting.toml


def example() -> str:
    lines = [
        "# Every setting, with its default or (commented out) an example. Made by `make docs`.",
        "# Only the cluster and its hosts must be given; docs/reference/configuration.md has the advice.",
    ]
    for _, header, kind in tables():
        lines += ["", header]
        hints = get_type_hints(kind)
        for item, about in settings(kind):
            lines.append(f"# {about.meaning}")
            if about.choices:
                lines.append(f"#   {type_words(hints[item.name], about).replace('`', '')}")
            value = about.example
            if value is None and not required(item):
                value = item.default
            off = "# " if not required(item) and item.default is None else ""
            lines.append(f"{off}{item.name} = {toml_value(value)}")
    return "\n".join(lines) + "\n"


# ---- docs/reference/errors.md


def every_error(kind: type[errors.PywireError] = errors.PywireError) -> Iterator[type[Any]]:
    """The classes, each before its subclasses, in the order they are defined."""
    yield kind
    for below in kind.__subclasses__():
        if below.__module__ == errors.__name__:
            yield from every_error(below)


def errors_page() -> str:
    lines = [
        "# Errors",
        "",
        MADE,
        "",
        "What pywire itself reports to clients, by SQLSTATE. Everything a host reports is passed",
        "on as it is. *Retry* says whether the same thing may be tried again without a look at the",
        "data. `40001` asks a client to retry its transaction; after `08007` nobody may retry",
        "blindly.",
        "",
        "| error | SQLSTATE | whose fault | retry | when | message |",
        "|---|---|---|---|---|---|",
    ]
    for kind in every_error():
        depth = "&nbsp;&nbsp;" * (len(kind.__mro__) - len(errors.PywireError.__mro__))
        lines.append(
            f"| {depth}`{kind.__name__}` | `{kind.sqlstate}` | {kind.source.value} "
            f"| {'yes' if kind.safe_to_retry else 'no'} "
            f"| {str(kind.__doc__).splitlines()[0]} | {kind.template} |"
        )
    return "\n".join(lines) + "\n"


# ---- docs/reference/events.md


def events_page() -> str:
    lines = [
        "# Events",
        "",
        MADE,
        "",
        "What happens, as it stands in the log (`[log]`), in `SHOW EVENTS` and behind the counters.",
        "A log line has the time, the level, the event's name and its fields.",
        "",
        "| event | level | when | fields |",
        "|---|---|---|---|",
    ]
    for kind in every_event():
        names = ", ".join(f"`{item.name}`" for item in fields(kind))
        lines.append(
            f"| `{kind.name()}` | {kind.level.name.lower()} "
            f"| {str(kind.__doc__).splitlines()[0]} | {names} |"
        )
    return "\n".join(lines) + "\n"


# ---- docs/reference/command-line.md


def command_line_page() -> str:
    top = cli.parser()
    commands = next(a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    lines = ["# Command line", "", MADE, "", f"`pywire COMMAND`: {top.description}", ""]
    for name, parser in commands.choices.items():
        lines += [f"## `pywire {name}`", "", str(parser.description), ""]
        lines += ["| argument | meaning |", "|---|---|"]
        for action in parser._actions:
            if isinstance(action, argparse._HelpAction):
                continue
            value = f" {action.metavar}" if action.option_strings and action.metavar else ""
            word = "".join(action.option_strings) or str(action.metavar)
            lines.append(f"| `{word}{value}` | {action.help} |")
        lines.append("")
    lines += [
        "`pywire --version` prints the version; `--help`, here and after a command, what there is.",
        "",
        "## Signals of `pywire run`",
        "",
        "| signal | effect |",
        "|---|---|",
        "| `SIGTERM`, `SIGINT` | No new sessions; waits for open transactions, at most "
        "`migration.drain_seconds_max`; ends with 0. |",
        "| `SIGHUP` | Reads the configuration again. |",
        "",
        "## Exit codes",
        "",
        "| code | meaning |",
        "|---|---|",
    ]
    lines += [f"| {code.value} | {text} |" for code, text in cli.EXIT_CODES.items()]
    return "\n".join(lines) + "\n"


# ---- docs/reference/admin-console.md


def admin_console_page() -> str:
    lines = [
        "# Admin console",
        "",
        MADE,
        "",
        "The database name `pywire` (`admin.database`) on pywire's own listener is the admin",
        "console, for the users in `admin.users`. Any PostgreSQL client will do, with the simple or",
        "the extended protocol, and so does `pywire ctl`. Keywords are case-insensitive; a name that",
        "is not all lower case goes in double quotes. A command that is refused answers with an",
        "error and has changed nothing.",
        "",
        "| command | what it does |",
        "|---|---|",
    ]
    lines += [f"| `{usage}` | {does[:1].upper()}{does[1:]}. |" for usage, does in HELP]
    answers = {f"SHOW {name.upper()}": columns for name, columns in COLUMNS.items()}
    answers["MIGRATE SESSION"] = columns_of(Migrate(0, ""))
    answers["SWITCHOVER"] = columns_of(Switchover("", ""))
    lines += ["", "| command | columns of its answer |", "|---|---|"]
    for command, columns in answers.items():
        names = ", ".join(f"`{column.name}`" for column in columns)
        lines.append(f"| `{command}` | {names} |")
    lines += [
        "",
        "`pins` in `SHOW SESSIONS` says of each session what keeps it where it is. The reasons:",
        "",
        "| reason | meaning |",
        "|---|---|",
    ]
    lines += [f"| `{reason.label}` | {reason.value} |" for reason in Reason]
    return "\n".join(lines) + "\n"


# ---- docs/reference/phases.md


def phases_page() -> str:
    lines = [
        "# Phases of a switchover and of a migration",
        "",
        MADE,
        "",
        "If a phase that can be undone fails, the hosts keep the roles they had. The last column says",
        "what a client is told if the command ends in that phase.",
    ]
    for title, table in (("SWITCHOVER", SWITCHOVER), ("MIGRATE SESSION", MIGRATION)):
        lines += ["", f"## {title}", "", "| phase | can be undone | what happens | if it fails |"]
        lines.append("|---|---|---|---|")
        for row in table:
            undone = "yes" if row.reversible else "no"
            lines.append(f"| `{row.phase.value}` | {undone} | {row.does} | {row.on_failure} |")
    return "\n".join(lines) + "\n"


PAGES = {
    "docs/reference/admin-console.md": admin_console_page,
    "docs/reference/phases.md": phases_page,
    "docs/reference/configuration.md": configuration_page,
    "docs/reference/errors.md": errors_page,
    "docs/reference/events.md": events_page,
    "docs/reference/command-line.md": command_line_page,
    "examples/every_setting.toml": example,
}


def main() -> None:
    for name, page in PAGES.items():
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
