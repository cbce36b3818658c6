"""Re-creating a session's state on a fresh backend, and proving that it is the same.

Everything goes in one pipeline with one Sync, inside a transaction whose isolation level is stated: on a standby a
session's own default of serializable would refuse even to parse. Nothing here reaches the client.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pywire.migration.capture import CAPTURE, Request, captured_in, own_statement, sqlstate_in
from pywire.session.inventory import Captured, Inventory, differences
from pywire.session.pins import Reason
from pywire.wire import messages

__all__ = ["Restored", "news_for_client", "restore"]

_PARAMETER_STATUS = 0x53
# Set first: the text of every statement, and what names in it mean, depend on these.
_FIRST = ("client_encoding", "search_path")


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of it: the reasons why not, and the ParameterStatus bodies the backend sent meanwhile."""

    reasons: frozenset[Reason]
    reported: tuple[bytes, ...]


async def restore(request: Request, inventory: Inventory, source: Captured) -> Restored:
    """Re-create `inventory` by way of `request` and compare the result with what was captured at the source."""
    replies = await request(frames(inventory))
    reported = tuple(body for tag, body in replies if tag == _PARAMETER_STATUS)
    if sqlstate_in(replies) is not None:
        reason = Reason.PREPARED_DIFFERS if inventory.statements else Reason.SETTING_DIFFERS
        return Restored(frozenset({reason}), reported)
    return Restored(differences(source, captured_in(replies)), reported)


def frames(inventory: Inventory) -> bytes:
    """The whole pipeline, Sync included."""
    settings = dict(inventory.settings)
    ordered = [name for name in _FIRST if name in settings]
    ordered += [name for name in settings if name not in _FIRST]
    parts = [own_statement(b"_pywire_begin", "begin isolation level read committed")]
    parts += [own_statement(b"_pywire_set", _set_config(name, settings[name])) for name in ordered]
    parts += inventory.statements
    parts.append(own_statement(b"_pywire_capture", CAPTURE))
    if inventory.unnamed is not None:
        parts.append(inventory.unnamed)
    parts.append(own_statement(b"_pywire_commit", "commit"))
    parts.append(messages.SYNC)
    return b"".join(parts)


def news_for_client(
    told: dict[str, str], login: dict[str, str], reported: Sequence[bytes]
) -> tuple[bytes, dict[str, str]]:
    """ParameterStatus messages for what really differs, and all that the new backend reports.

    Args:
        told: what the client was told so far.
        login: what the new backend reported at login.
        reported: the ParameterStatus bodies it has sent since.
    """
    now = dict(login)
    for body in reported:
        now.update(messages.parameter_statuses(messages.message(b"S", body)))
    news = b"".join(
        messages.parameter_status(name.encode(), value.encode())
        for name, value in now.items()
        if told.get(name) != value
    )
    return news, now


def _set_config(name: str, value: str) -> str:
    """The value as hexadecimal digits: its characters need not exist in the encoding in force on the way."""
    digits = value.encode().hex()
    return (
        f"select pg_catalog.set_config('{name}', "
        f"pg_catalog.convert_from(pg_catalog.decode('{digits}', 'hex'), 'UTF8'), false)"
    )
