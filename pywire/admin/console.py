"""The console's side of the protocol: a client that has logged in, simple and extended queries, errors.

It understands messages and nothing of what commands do; an `Operator` carries those out. One task per console, one
command at a time.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import TypeVar

from pywire.admin.commands import Command, Nothing, Polite
from pywire.admin.parser import NotACommand, parse, split
from pywire.admin.table import Answer, Column, Value, columns_of, data_row, row_description
from pywire.errors import FrontendViolation, InvariantViolated, PywireError
from pywire.relay.port import Link, LinkClosed
from pywire.session.startup import Startup
from pywire.wire import messages

__all__ = ["Console", "Operator"]

Operator = Callable[[Command, str], Awaitable[Answer]]
"""Carries a command out for a user; raises PywireError when it is refused."""

PREPARED_MAX = 100
T = TypeVar("T")
_WORD = Struct("!H")
_LONG = Struct("!i")
_NO_DATA = messages.message(b"n", b"")
_PARSE_COMPLETE = messages.message(b"1", b"")
_BIND_COMPLETE = messages.message(b"2", b"")
_CLOSE_COMPLETE = messages.message(b"3", b"")
_EMPTY_QUERY = messages.message(b"I", b"")
_SUSPENDED = messages.message(b"s", b"")
_NO_PARAMETERS = messages.message(b"t", b"\0\0")


@dataclass(slots=True)
class _Portal:
    command: Command
    formats: list[int]
    answer: Answer | None = None
    sent: int = 0


@dataclass(slots=True)
class _State:
    """One client's prepared statements and portals, and whether it waits for a Sync after an error."""

    user: str
    status: str = "I"
    skipping: bool = False
    statements: dict[bytes, Command] = field(default_factory=dict)
    portals: dict[bytes, _Portal] = field(default_factory=dict)


class Console:
    """The admin console: the `AdminHandler` of relay/port.py.

    Args:
        operate: carries commands out.
        version: what is reported as server_version.
    """

    def __init__(self, operate: Operator, version: str) -> None:
        self._operate = operate
        self._version = version
        self._handlers: dict[int, Callable[[_State, bytes], Awaitable[bytes]]] = {
            ord("P"): self._on_parse,
            ord("B"): self._on_bind,
            ord("D"): self._on_describe,
            ord("E"): self._on_execute,
            ord("C"): self._on_close,
        }

    async def serve(self, link: Link, startup: Startup) -> None:
        """Serve a client until it leaves; raises LinkClosed when it does so without a word."""
        state = _State(startup.user)
        link.send(self._greeting(startup))
        while True:
            for tag, body in messages.split(await link.receive()):
                if tag == ord("X"):
                    return
                reply = await self._on_message(state, tag, body, link)
                if reply:
                    link.send(reply)

    def _greeting(self, startup: Startup) -> bytes:
        told = {
            "server_version": f"15.0 (pywire {self._version})",
            "server_encoding": "UTF8",
            "client_encoding": "UTF8",
            "application_name": startup.parameters.get("application_name", ""),
            "DateStyle": "ISO, MDY",
            "IntervalStyle": "postgres",
            "TimeZone": "Etc/UTC",
            "integer_datetimes": "on",
            "standard_conforming_strings": "on",
            "is_superuser": "off",
            "session_authorization": startup.user,
        }
        parts = [messages.AUTHENTICATION_OK]
        parts += [
            messages.parameter_status(n.encode(), v.encode("utf-8", "replace"))
            for n, v in told.items()
        ]
        parts.append(messages.backend_key_data(0, b"\0\0\0\0"))
        parts.append(messages.READY_FOR_QUERY_IDLE)
        return b"".join(parts)

    async def _on_message(self, state: _State, tag: int, body: bytes, link: Link) -> bytes:
        if tag == ord("S"):
            state.skipping = False
            if state.status == "I":
                state.portals.clear()
            return messages.ready_for_query(state.status)
        if state.skipping or tag == ord("H"):
            return b""
        if tag == ord("Q"):
            await self._on_query(state, body, link)
            return messages.ready_for_query(state.status)
        handler = self._handlers.get(tag)
        try:
            if handler is None:
                raise FrontendViolation(f"the console does not take messages of type {chr(tag)!r}")
            return await handler(state, body)
        except PywireError as error:
            state.skipping = True
            return _error(error)
        except (ValueError, IndexError) as error:
            state.skipping = True
            return _error(FrontendViolation(str(error)))

    # ---- the simple protocol

    async def _on_query(self, state: _State, body: bytes, link: Link) -> None:
        text = body.rstrip(b"\0").decode("utf-8", "replace")
        try:
            for statement in split(text):
                command = parse(statement)
                if isinstance(command, Nothing):
                    link.send(_EMPTY_QUERY)
                    continue
                columns = columns_of(command)
                answer = await self._carry_out(state, command)
                formats = [0] * len(columns)
                head = row_description(columns, formats) if columns else b""
                rows = b"".join(data_row(columns, row, formats) for row in answer.rows)
                link.send(_notices(answer) + head + rows + messages.command_complete(_tag(answer)))
        except PywireError as error:
            link.send(_error(error))

    # ---- the extended protocol

    async def _on_parse(self, state: _State, body: bytes) -> bytes:
        name, text, _ = body.split(b"\0", 2)
        if len(state.statements) >= PREPARED_MAX and name not in state.statements:
            raise _TooMany
        state.statements[name] = parse(text.decode("utf-8", "replace"))
        return _PARSE_COMPLETE

    async def _on_bind(self, state: _State, body: bytes) -> bytes:
        portal, name, rest = body.split(b"\0", 2)
        command = _known(state.statements, name, "prepared statement")
        formats = _result_formats(rest, len(columns_of(command)))
        if len(state.portals) >= PREPARED_MAX and portal not in state.portals:
            raise _TooMany
        state.portals[portal] = _Portal(command, formats)
        return _BIND_COMPLETE

    async def _on_describe(self, state: _State, body: bytes) -> bytes:
        kind, name = body[:1], body[1:-1]
        if kind == b"S":
            columns = columns_of(_known(state.statements, name, "prepared statement"))
            return _NO_PARAMETERS + _description(columns, [0] * len(columns))
        found = _known(state.portals, name, "portal")
        return _description(columns_of(found.command), found.formats)

    async def _on_execute(self, state: _State, body: bytes) -> bytes:
        name, rest = body.split(b"\0", 1)
        (rows_max,) = _LONG.unpack(rest)
        portal = _known(state.portals, name, "portal")
        if isinstance(portal.command, Nothing):
            return _EMPTY_QUERY
        notices = b""
        if portal.answer is None:
            portal.answer = await self._carry_out(state, portal.command)
            notices = _notices(portal.answer)
        columns = columns_of(portal.command)
        left = portal.answer.rows[portal.sent :]
        now: Sequence[Sequence[Value]] = left[:rows_max] if rows_max > 0 else left
        portal.sent += len(now)
        rows = b"".join(data_row(columns, row, portal.formats) for row in now)
        if len(now) < len(left):
            return notices + rows + _SUSPENDED
        return notices + rows + messages.command_complete(_tag(portal.answer))

    async def _on_close(self, state: _State, body: bytes) -> bytes:
        kind, name = body[:1], body[1:-1]
        (state.statements if kind == b"S" else state.portals).pop(name, None)
        return _CLOSE_COMPLETE

    # ---- both

    async def _carry_out(self, state: _State, command: Command) -> Answer:
        if isinstance(command, Polite):
            return self._be_polite(state, command)
        try:
            return await self._operate(command, state.user)
        except (PywireError, LinkClosed):
            raise
        except (
            Exception
        ) as error:  # an operator's mistake of ours must not end everybody's sessions
            raise InvariantViolated(invariant=f"{type(error).__name__}: {error}") from error

    def _be_polite(self, state: _State, command: Polite) -> Answer:
        if command.tag in ("BEGIN", "START TRANSACTION"):
            state.status = "T"
        elif command.tag in ("COMMIT", "ROLLBACK"):
            state.status = "I"
        if command.column is None:
            return Answer(command.tag)
        value = command.value
        if command.column == "version" and value is None:
            value = f"pywire {self._version}"
        return Answer(command.tag, (Column(command.column),), ((value,),))


class _TooMany(PywireError):
    """A console keeps only so many statements and portals."""

    sqlstate = "54000"
    template = "too many prepared statements or portals"


class _Unknown(PywireError):
    """A name the client has not prepared."""

    sqlstate = "26000"
    template = '{kind} "{name}" does not exist'


def _known(found: dict[bytes, T], name: bytes, kind: str) -> T:
    if name not in found:
        raise _Unknown(kind=kind, name=name.decode("utf-8", "replace"))
    return found[name]


def _result_formats(rest: bytes, count: int) -> list[int]:
    """Skip a Bind's parameters and read its result formats."""
    (codes,) = _WORD.unpack_from(rest)
    at = 2 + 2 * codes
    (values,) = _WORD.unpack_from(rest, at)
    if values:
        raise FrontendViolation("the console's commands take no parameters")
    at += 2
    (formats,) = _WORD.unpack_from(rest, at)
    given = [_WORD.unpack_from(rest, at + 2 + 2 * index)[0] for index in range(formats)]
    if not given:
        return [0] * count
    return given * count if len(given) == 1 else given


def _description(columns: Sequence[Column], formats: Sequence[int]) -> bytes:
    return row_description(columns, formats) if columns else _NO_DATA


def _tag(answer: Answer) -> str:
    if answer.columns and not answer.tag.startswith(("SELECT", "SHOW")):
        return answer.tag
    return f"SELECT {len(answer.rows)}" if answer.columns else answer.tag


def _notices(answer: Answer) -> bytes:
    fields = [("S", "NOTICE"), ("V", "NOTICE"), ("C", "00000")]
    return b"".join(messages.notice_response([*fields, ("M", text)]) for text in answer.notices)


def _error(error: PywireError) -> bytes:
    fields = error.response_fields("ERROR")
    if isinstance(error, NotACommand) and error.position is not None:
        fields.append(("P", str(error.position)))
    return messages.error_response(fields)
