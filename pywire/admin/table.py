"""What a command answers: typed columns and rows, and how they stand in protocol messages.

Pure. Text and binary format both, since some drivers ask for binary without asking first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from struct import Struct

from pywire.admin.commands import Command, Migrate, Polite, Show, Switchover
from pywire.wire.messages import message

__all__ = [
    "COLUMNS",
    "Answer",
    "Column",
    "Type",
    "Value",
    "columns_of",
    "data_row",
    "row_description",
]

Value = str | int | float | bool | None

_WORD = Struct("!H")
_LENGTH = Struct("!i")
_ABOUT = Struct("!IHIhih")
_INT8 = Struct("!q")
_FLOAT8 = Struct("!d")


class Type(IntEnum):
    """PostgreSQL's object identifiers of the types used here."""

    BOOL = 16
    INT8 = 20
    TEXT = 25
    FLOAT8 = 701


_SIZES = {Type.BOOL: 1, Type.INT8: 8, Type.TEXT: -1, Type.FLOAT8: 8}


@dataclass(frozen=True, slots=True)
class Column:
    """A column's name and type."""

    name: str
    type: Type = Type.TEXT


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command came to; without columns it is its tag alone."""

    tag: str
    columns: tuple[Column, ...] = ()
    rows: Sequence[Sequence[Value]] = field(default_factory=tuple)
    notices: tuple[str, ...] = ()


def _columns(text: str) -> tuple[Column, ...]:
    """`name:type` words; text where no type is given."""
    split = (word.partition(":") for word in text.split())
    return tuple(Column(name, Type[(kind or "text").upper()]) for name, _, kind in split)


COLUMNS = {
    "clusters": _columns(
        "cluster primary standbys lost sessions:int8 logins_waiting:int8 paused_for problems"
    ),
    "config": _columns("name value is_default:bool restart_needed:bool"),
    "events": _columns("number:int8 at level event details"),
    "help": _columns("command does"),
    "hosts": _columns(
        "cluster host address role timeline:int8 lag_bytes:int8 sessions:int8 backends:int8"
        " connections_max:int8 sync_state server_version:int8 controlled:bool reason"
    ),
    "sessions": _columns(
        "session:int8 user database cluster host state pins application_name peer process_id:int8"
        " age_seconds:float8 moves:int8 requests:int8 bytes_in:int8 bytes_out:int8"
    ),
    "stats": _columns("name value:float8"),
    "version": _columns("version driver workers:int8 python"),
}

_MIGRATED = _columns("session:int8 host pause_ms:float8 read_only:bool")
_SWITCHED = _columns("cluster primary migrated:int8 ended:int8 pause_ms:float8 attached:bool")


def columns_of(command: Command) -> tuple[Column, ...]:
    """What the answer to `command` will look like, known before it is carried out."""
    match command:
        case Show(subject):
            return COLUMNS[subject]
        case Migrate():
            return _MIGRATED
        case Switchover():
            return _SWITCHED
        case Polite(column=str() as name):
            return (Column(name),)
        case _:
            return ()


def row_description(columns: Sequence[Column], formats: Sequence[int]) -> bytes:
    """A RowDescription."""
    parts = [_WORD.pack(len(columns))]
    for column, code in zip(columns, formats, strict=True):
        about = _ABOUT.pack(0, 0, column.type, _SIZES[column.type], -1, code)
        parts.append(column.name.encode() + b"\0" + about)
    return message(b"T", b"".join(parts))


def data_row(columns: Sequence[Column], row: Sequence[Value], formats: Sequence[int]) -> bytes:
    """A DataRow."""
    parts = [_WORD.pack(len(row))]
    for column, value, code in zip(columns, row, formats, strict=True):
        if value is None:
            parts.append(_LENGTH.pack(-1))
            continue
        data = _binary(column.type, value) if code else _text(value)
        parts += (_LENGTH.pack(len(data)), data)
    return message(b"D", b"".join(parts))


def _text(value: Value) -> bytes:
    if isinstance(value, bool):
        return b"t" if value else b"f"
    if isinstance(value, float):
        return f"{value:.6g}".encode() if value == value else b"NaN"
    return str(value).encode("utf-8", "replace")


def _binary(kind: Type, value: Value) -> bytes:
    if kind is Type.BOOL:
        return b"\1" if value else b"\0"
    if kind is Type.INT8:
        return _INT8.pack(int(value or 0))
    if kind is Type.FLOAT8:
        return _FLOAT8.pack(float(value or 0.0))
    return _text(value)
