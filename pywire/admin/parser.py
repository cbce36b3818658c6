"""The console's small language: text in, `Command` out.

Pure. Keywords are case-insensitive; names follow SQL: folded to lower case unless in double quotes, and text in
single quotes is taken as it is. Anything else is 42601 with the place where it stopped making sense.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from pywire.admin.commands import (
    HELP,
    SHOWN,
    Command,
    Migrate,
    Nothing,
    Pause,
    Polite,
    Reload,
    Resume,
    Show,
    Shutdown,
    Switchover,
)
from pywire.errors import CommandError

__all__ = ["NotACommand", "parse", "split"]

HINT = "Commands: " + "; ".join(usage for usage, _ in HELP) + "."
TEXT_LENGTH_MAX = 16 * 1024

_TOKEN = re.compile(
    r"""(?P<space>\s+|--[^\n]*|/\*.*?\*/)
      |(?P<quoted>"(?:[^"]|"")*")
      |(?P<literal>'(?:[^']|'')*')
      |(?P<number>\d+(?![\w.]))
      |(?P<word>[\w.$]+(?:-[\w.$]+)*)
      |(?P<end>;)
      |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)


class NotACommand(CommandError):
    """The text is no command; `position` counts characters from 1, as in an ErrorResponse."""

    template = "{complaint}"

    def __init__(self, complaint: str, *, position: int | None = None) -> None:
        super().__init__(hint=HINT, complaint=complaint)
        self.position = position


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    position: int

    @property
    def keyword(self) -> str:
        return self.text.lower() if self.kind == "word" else ""


def split(text: str) -> list[str]:
    """The statements of a simple query's string, each padded so that positions still count from its start."""
    if len(text) > TEXT_LENGTH_MAX:
        raise NotACommand("the command is too long")
    statements: list[str] = []
    start = 0
    for match in _TOKEN.finditer(text):
        if match.lastgroup == "end":
            statements.append(" " * start + text[start : match.start()])
            start = match.end()
    statements.append(" " * start + text[start:])
    filled = [statement for statement in statements if _tokens(statement)]
    return filled or [""]


def parse(text: str) -> Command:
    """The one command in `text`, or NotACommand."""
    if len(text) > TEXT_LENGTH_MAX:
        raise NotACommand("the command is too long")
    tokens = _tokens(text)
    if not tokens:
        return Nothing()
    if (polite := _polite(text, tokens)) is not None:
        return polite
    return _Reader(text, tokens).command()


def _tokens(text: str) -> list[_Token]:
    return [
        _Token(match.lastgroup or "", match.group(), match.start() + 1)
        for match in _TOKEN.finditer(text)
        if match.lastgroup not in {"space", "end"}
    ]


class _Reader:
    """A cursor over the tokens of one command."""

    def __init__(self, text: str, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._end = len(text.rstrip().rstrip(";")) + 1

    def command(self) -> Command:
        verbs: dict[str, Callable[[], Command]] = {
            "show": self._show,
            "migrate": self._migrate,
            "switchover": self._switchover,
            "pause": lambda: Pause(self._optional_name()),
            "resume": lambda: Resume(self._optional_name()),
            "reload": Reload,
            "shutdown": lambda: Shutdown(wait=self._optional("wait")),
        }
        verb = verbs.get(self._tokens[0].keyword)
        if verb is None:
            raise self._error()
        self._next = 1
        command = verb()
        if self._next < len(self._tokens):
            raise self._error()
        return command

    def _show(self) -> Command:
        token = self._peek()
        if token is None:
            raise self._error()
        if token.keyword in SHOWN:
            self._next += 1
            return Show(token.keyword)
        if token.keyword in _PARAMETERS and self._next + 1 == len(self._tokens):
            self._next += 1
            return Polite("SHOW", token.keyword, _PARAMETERS[token.keyword])
        raise self._error()

    def _migrate(self) -> Command:
        self._require("session")
        token = self._peek()
        number = (
            token.text.strip("'")
            if token is not None and token.kind in {"number", "literal"}
            else ""
        )
        if not number.isdecimal() or len(number) > 20:
            raise self._error()
        self._next += 1
        self._require("to")
        return Migrate(int(number), self._name())

    def _switchover(self) -> Command:
        cluster = self._name()
        self._require("to")
        return Switchover(cluster, self._name(), force=self._optional("force"))

    def _peek(self) -> _Token | None:
        return self._tokens[self._next] if self._next < len(self._tokens) else None

    def _require(self, keyword: str) -> None:
        if not self._optional(keyword):
            raise self._error()

    def _optional(self, keyword: str) -> bool:
        token = self._peek()
        if token is None or token.keyword != keyword:
            return False
        self._next += 1
        return True

    def _optional_name(self) -> str | None:
        return self._name() if self._peek() is not None else None

    def _name(self) -> str:
        token = self._peek()
        if token is None or token.kind not in {"word", "number", "quoted", "literal"}:
            raise self._error()
        self._next += 1
        if token.kind in {"quoted", "literal"}:
            quote = token.text[0]
            return token.text[1:-1].replace(quote * 2, quote)
        return token.text.lower()

    def _error(self) -> NotACommand:
        token = self._peek()
        if token is None:
            return NotACommand("syntax error at end of input", position=self._end)
        return NotACommand(f'syntax error at or near "{token.text}"', position=token.position)


_PARAMETERS = {
    "client_encoding": "UTF8",
    "datestyle": "ISO, MDY",
    "default_transaction_isolation": "read committed",
    "integer_datetimes": "on",
    "is_superuser": "off",
    "max_identifier_length": "63",
    "search_path": '"$user", public',
    "server_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "statement_timeout": "0",
    "timezone": "Etc/UTC",
    "transaction_isolation": "read committed",
}

_TAGS = {
    "abort": "ROLLBACK",
    "begin": "BEGIN",
    "close": "CLOSE CURSOR ALL",
    "commit": "COMMIT",
    "deallocate": "DEALLOCATE ALL",
    "discard": "DISCARD ALL",
    "end": "COMMIT",
    "reset": "RESET",
    "rollback": "ROLLBACK",
    "set": "SET",
    "unlisten": "UNLISTEN",
}


def _polite(text: str, tokens: list[_Token]) -> Polite | None:
    """Statements that drivers send unasked: settings, transaction marks, and a first SELECT of a constant."""
    first = tokens[0].keyword
    if first == "start" and len(tokens) > 1 and tokens[1].keyword == "transaction":
        return Polite("START TRANSACTION")
    if first in _TAGS:
        return Polite(_TAGS[first])
    if first != "select":
        return None
    rest = " ".join(token.text.lower() for token in tokens[1:])
    if rest.isdecimal():
        return Polite("SELECT 1", "?column?", rest)
    if rest in {"version ( )", "pg_catalog.version ( )"}:
        return Polite("SELECT 1", "version", None)
    if rest in {"current_database ( )", "current_catalog"}:
        return Polite("SELECT 1", "current_database", "pywire")
    return None
