"""What a session has set its parameters to, with the undo that PostgreSQL's transactions give them.

Pure. Values are kept as they were written, ready to be written again; what they mean is the server's affair. A
parameter that is not listed is as the login left it. The server keeps a stack per parameter; here each has two
values, the one in force and the one that will be after COMMIT, which comes to the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TypeAlias

from pywire.session.undo import Undoable

__all__ = ["UNREAD", "Setting", "Settings", "Text", "Unread", "Value", "Words", "setting_sql"]


@dataclass(frozen=True, slots=True)
class Unread:
    """A value only the server knows."""


@dataclass(frozen=True, slots=True)
class Words:
    """A value as SET takes it: each word is quoted by the server where the parameter is a list of names."""

    words: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Text:
    """A value as `set_config()` takes it and `current_setting()` gives it: a list is one text, quotes and all."""

    text: str


UNREAD = Unread()
Value: TypeAlias = Words | Text | Unread

# RESET ALL passes these by.
_NOT_ALL = frozenset({"role", "session_authorization"})


@dataclass(frozen=True, slots=True)
class Setting:
    """A parameter's two values, each None while it is as the login left it.

    Attributes:
        now: in force.
        kept: after COMMIT.
        apart: neither is known, and they need not be the same.
    """

    now: Value | None
    kept: Value | None
    apart: bool = False


_RESET = Setting(None, None)


class Settings:
    """The parameters of one session. Names are in lower case."""

    __slots__ = ("_custom", "_settings")

    def __init__(self) -> None:
        self._settings: Undoable[Setting] = Undoable()
        self._custom: set[str] = set()

    # --- what it is ---

    @property
    def in_force(self) -> Mapping[str, Value]:
        """The parameters that are not as the login left them, with their present values."""
        return {name: s.now for name, s in self._settings.items() if s.now is not None}

    @property
    def unread(self) -> frozenset[str]:
        """The parameters whose present value has to be read back."""
        return frozenset(name for name, s in self._settings.items() if s.now is UNREAD)

    @property
    def custom(self) -> frozenset[str]:
        """Names with a dot that have been spoken of: the server knows them from then on, rolled back or not."""
        return frozenset(self._custom)

    # --- what happens ---

    def set(self, name: str, value: Value, *, local: bool) -> None:
        """SET, SET LOCAL and `set_config()`."""
        self._put(name, value, local=local)

    def set_perhaps_local(self, name: str, value: Value) -> None:
        """`set_config()` whose last argument is not known: what is kept is read back when the transaction ends."""
        self._put(name, value, local=False)
        self._store(name, Setting(value, UNREAD, apart=True))

    def reset(self, name: str, *, local: bool) -> None:
        """RESET, or SET TO DEFAULT."""
        self._put(name, None, local=local)

    def reset_all(self) -> None:
        """RESET ALL. What is as the login left it is not touched, though it may be so until COMMIT only."""
        for name, setting in self._settings.items():
            if setting.now is not None and name not in _NOT_ALL:
                self._settings.put(name, None)

    def read_back(self, name: str, value: str | None) -> None:
        """The server was asked: this is in force now; None if it is as the login left it.

        What will be in force after COMMIT is learnt too, unless it was set apart.
        """
        setting = self._settings.get(name) or _RESET
        known = None if value is None else Text(value)
        same = setting.now is UNREAD and setting.kept is UNREAD and not setting.apart
        self._store(name, replace(setting, now=known, kept=known if same else setting.kept))

    def _put(self, name: str, value: Value | None, *, local: bool) -> None:
        if "." in name:
            self._custom.add(name)
        setting = self._settings.get(name) or _RESET
        if local:
            self._store(name, Setting(value, setting.kept, apart=setting.kept is UNREAD))
        else:
            self._store(name, Setting(value, value))
        if name == "session_authorization":
            # It takes the role along, in the same manner.
            self._put("role", None if value is None else Words(("none",)), local=local)

    def _store(self, name: str, setting: Setting) -> None:
        self._settings.put(name, None if setting == _RESET else setting)

    # --- transactions ---

    def begin(self) -> None:
        """A transaction or a savepoint begins."""
        self._settings.begin()

    def release(self) -> None:
        """A savepoint is released. Raises IndexError if none is open."""
        self._settings.keep()

    def undo(self) -> None:
        """A transaction or a savepoint is rolled back. Raises IndexError if none is open."""
        self._settings.undo()

    def commit(self) -> None:
        """The transaction is committed: what was LOCAL ends. Raises IndexError if more or less than one level is open."""
        if self._settings.depth != 1:
            raise IndexError("savepoints are released before a commit")
        for name, setting in self._settings.items():
            self._store(name, Setting(setting.kept, setting.kept))
        self._settings.keep()

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._settings.items())


def setting_sql(name: str, value: Words | Text) -> str:
    """The statement that gives a parameter this value for the session."""
    if isinstance(value, Text):
        return f"select pg_catalog.set_config({_quoted(name)}, {_quoted(value.text)}, false)"
    spelled = ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))
    return f"set {spelled} to {', '.join(map(_quoted, value.words))}"


def _quoted(text: str) -> str:
    """A string constant that means the same whatever standard_conforming_strings is."""
    doubled = text.replace("'", "''")
    if "\\" not in doubled:
        return f"'{doubled}'"
    return "E'" + doubled.replace("\\", "\\\\") + "'"
