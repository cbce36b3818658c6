"""Asking a backend what state its session has, without disturbing that state.

One extended-query round trip under a name of our own: a simple Query would destroy the session's unnamed prepared
statement. The answer travels as hexadecimal digits, so the session's client_encoding does not matter.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence

from pywire.session.inventory import Captured, Identity
from pywire.wire import messages

__all__ = [
    "CAPTURE",
    "CaptureFailed",
    "Request",
    "capture",
    "captured_in",
    "own_statement",
    "sqlstate_in",
]

Request = Callable[[bytes], Awaitable[list[tuple[int, bytes]]]]

CAPTURE = """\
select pg_catalog.encode(pg_catalog.convert_to(pg_catalog.json_build_object(
 'session_user', session_user, 'current_user', current_user, 'database', pg_catalog.current_database(),
 'role', pg_catalog.current_setting('role'),
 'settings', (select pg_catalog.json_agg(pg_catalog.json_build_array(name, setting))
   from pg_catalog.pg_settings where source = 'session' and context in ('user', 'superuser')
    and name not in ('transaction_isolation', 'transaction_read_only', 'transaction_deferrable',
                     'session_authorization', 'role', 'is_superuser', 'in_hot_standby', 'seed')),
 'prepared', (select pg_catalog.json_agg(name) from pg_catalog.pg_prepared_statements
   where not from_sql and pg_catalog.left(name, 8) <> '_pywire_'),
 'sql_prepared', (select pg_catalog.count(*) from pg_catalog.pg_prepared_statements where from_sql),
 'cursors', (select pg_catalog.count(*) from pg_catalog.pg_cursors where is_holdable),
 'channels', (select pg_catalog.count(*) from pg_catalog.pg_listening_channels()),
 'advisory_locks', (select pg_catalog.count(*) from pg_catalog.pg_locks
   where locktype = 'advisory' and pid = pg_catalog.pg_backend_pid() and granted),
 'temporary',
   (select pg_catalog.count(*) from pg_catalog.pg_class where relnamespace = pg_catalog.pg_my_temp_schema())
   + (select pg_catalog.count(*) from pg_catalog.pg_proc where pronamespace = pg_catalog.pg_my_temp_schema())
   + (select pg_catalog.count(*) from pg_catalog.pg_type where typnamespace = pg_catalog.pg_my_temp_schema())
)::pg_catalog.text, 'UTF8'), 'hex')"""

_NAME = b"_pywire_capture"
_DATA_ROW, _ERROR = 0x44, 0x45


class CaptureFailed(Exception):
    """The server answered the capture query with an error."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"the session's state could not be read: SQLSTATE {sqlstate}")
        self.sqlstate = sqlstate


def own_statement(name: bytes, sql: str) -> bytes:
    """The messages that run `sql` once under `name`, leaving nothing behind; no Sync."""
    return (
        messages.parse(name, sql)
        + messages.bind(name, ())
        + messages.execute()
        + messages.close_statement(name)
    )


async def capture(request: Request) -> Captured:
    """Ask for everything the server knows of this session; raises CaptureFailed."""
    replies = await request(own_statement(_NAME, CAPTURE) + messages.SYNC)
    if (sqlstate := sqlstate_in(replies)) is not None:
        await request(messages.close_statement(_NAME) + messages.SYNC)
        raise CaptureFailed(sqlstate)
    return captured_in(replies)


def captured_in(replies: Sequence[tuple[int, bytes]]) -> Captured:
    """Read the capture query's row, the last one among `replies`."""
    row = next(body for tag, body in reversed(replies) if tag == _DATA_ROW)
    (value,) = messages.read_row(row)
    told = json.loads(bytes.fromhex(value or ""))
    return Captured(
        identity=Identity(
            told["session_user"], told["current_user"], told["role"], told["database"]
        ),
        settings=dict(told["settings"] or ()),
        prepared=frozenset(told["prepared"] or ()),
        sql_prepared=told["sql_prepared"],
        cursors=told["cursors"],
        channels=told["channels"],
        advisory_locks=told["advisory_locks"],
        temporary=told["temporary"],
    )


def sqlstate_in(replies: Sequence[tuple[int, bytes]]) -> str | None:
    """The SQLSTATE of the first ErrorResponse among `replies`, if there is one."""
    for tag, body in replies:
        if tag == _ERROR:
            return messages.read_fields(body).get("C", "XX000")
    return None
