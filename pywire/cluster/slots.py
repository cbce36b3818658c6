"""Replication slots and other standbys around a change of primary.

A physical slot belongs to one server. Left on the old primary it would keep WAL there for ever; missing on the new one,
the standby that names it cannot stream. Talks to servers by SQL; never to a session, and never before the line.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pywire.cluster.conninfo import format_conninfo, parse_conninfo, pointed_at
from pywire.cluster.sql import literal
from pywire.relay.port import Backend

__all__ = ["Slots", "create_slots", "drop_slots", "follow", "slots_before"]

NAME_BYTES_MAX = 63


@dataclass(frozen=True, slots=True)
class Slots:
    """The slots to make on the new primary and to drop on the old one.

    Attributes:
        source: the slot of the old primary as standby; None if the standbys here use none.
        create: all to make, `source` included.
        drop: physical slots the old primary had.
    """

    source: str | None = None
    create: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()


async def slots_before(old: Backend, new: Backend, source: str) -> Slots:
    """What there is before the change, and what there has to be after it."""
    (named,) = await new.query("select pg_catalog.current_setting('primary_slot_name')")
    (there,) = await old.query(
        "select slot_name from pg_catalog.pg_replication_slots"
        " where slot_type = 'physical' and not temporary order by 1"
    )
    existing = tuple(row[0] for row in there.rows if row[0] is not None)
    target = named.scalar() or ""
    if not target:
        return Slots(None, existing, existing)
    mine = slot_name(source)
    others = tuple(name for name in existing if name not in (target, mine))
    return Slots(mine, (mine, *others), existing)


def slot_name(host: str) -> str:
    """A name for a host's slot, of the characters that slots may have."""
    return "pywire_" + re.sub(r"[^a-z0-9_]", "_", host.lower())[: NAME_BYTES_MAX - 7]


async def create_slots(new: Backend, slots: Slots) -> None:
    """Make on the new primary what is not there yet."""
    for name in slots.create:
        await new.query(
            f"select pg_catalog.pg_create_physical_replication_slot({literal(name)}, true)"
            f" where not exists (select from pg_catalog.pg_replication_slots where slot_name = {literal(name)})"
        )


async def drop_slots(old: Backend, slots: Slots) -> None:
    """Drop on the old primary, now a standby, what nobody streams from any more."""
    for name in slots.drop:
        await old.query(
            "select pg_catalog.pg_drop_replication_slot(slot_name) from pg_catalog.pg_replication_slots"
            f" where slot_name = {literal(name)} and not active"
        )


async def follow(standby: Backend, *, host: str, port: int) -> None:
    """Point another running standby at the new primary; it goes on streaming without a restart."""
    (named,) = await standby.query("select pg_catalog.current_setting('primary_conninfo')")
    before = parse_conninfo(named.scalar() or "")
    name = before.get("application_name", standby.host.name)
    after = pointed_at(before, host=host, port=port, application_name=name)
    # The string may hold a password, and ALTER SYSTEM is a statement that servers like to log.
    for parameter, value in (("log_statement", "none"), ("log_min_duration_statement", "-1")):
        await standby.query(f"set {parameter} = {literal(value)}")
    conninfo = literal(format_conninfo(after))
    await standby.query(f"alter system set primary_conninfo = {conninfo}")
    await standby.query("select pg_catalog.pg_reload_conf()")
