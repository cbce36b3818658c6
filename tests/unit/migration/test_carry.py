"""Capture, restore and the news for a client, over scripted replies."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from pywire.migration.capture import CAPTURE, CaptureFailed, capture
from pywire.migration.carry import carry
from pywire.migration.restore import frames, news_for_client, restore
from pywire.session.inventory import Captured, Identity, Inventory
from pywire.session.pins import Flag, Reason
from pywire.wire import messages
from tests.unit.cluster.fakes import row

IDENTITY = Identity("ann", "ann", "none", "shop")


def answering(*replies):
    sent = []

    async def request(data):
        sent.append(data)
        return messages.split(replies[len(sent) - 1])

    return request, sent


async def test_capture_reads_what_the_server_says_without_a_simple_query():
    request, sent = answering(row(settings=[["work_mem", "7168"]], prepared=["p"], channels=2))
    captured = await capture(request)
    assert captured.identity == IDENTITY
    assert captured.settings == {"work_mem": "7168"}
    assert captured.prepared == {"p"}
    assert captured.channels == 2
    tags = [tag for tag, _ in messages.split(sent[0])]
    assert bytes(tags) == b"PBECS", (
        "a Query would destroy the unnamed statement, and so would an unnamed Parse"
    )
    assert all(body.split(b"\0")[0] for tag, body in messages.split(sent[0]) if tag == ord("P"))
    assert CAPTURE.isascii()


async def test_a_capture_that_fails_leaves_nothing_behind():
    error = messages.error_response([("S", "ERROR"), ("C", "57014"), ("M", "timeout")])
    request, sent = answering(error, b"")
    with pytest.raises(CaptureFailed) as failed:
        await capture(request)
    assert failed.value.sqlstate == "57014"
    assert messages.split(sent[1])[0][0] == ord("C")


async def test_restore_compares_with_the_source():
    source = Captured(identity=IDENTITY, settings={"work_mem": "7168"}, prepared=frozenset({"p"}))
    inventory = Inventory(
        settings=source.settings, statements=(messages.parse(b"p", "select 1"),), unnamed=None
    )
    same = row(settings=[["work_mem", "7168"]], prepared=["p"])
    request, _ = answering(same)
    assert (await restore(request, inventory, source)).reasons == frozenset()
    request, _ = answering(row(settings=[["work_mem", "1"]], prepared=["p"]))
    assert (await restore(request, inventory, source)).reasons == {Reason.SETTING_DIFFERS}
    request, _ = answering(messages.error_response([("S", "ERROR"), ("C", "42P01")]))
    assert (await restore(request, inventory, source)).reasons == {Reason.PREPARED_DIFFERS}


def test_the_pipeline_sets_what_texts_depend_on_first_and_the_unnamed_statement_last():
    unnamed = messages.parse(b"", "select 2")
    inventory = Inventory(
        settings={"work_mem": "1", "search_path": "a", "client_encoding": "LATIN1"},
        statements=(messages.parse(b"p", "select 1"),),
        unnamed=unnamed,
    )
    parsed = [
        body.split(b"\0")[:2] for tag, body in messages.split(frames(inventory)) if tag == ord("P")
    ]
    names = [name for name, _ in parsed]
    assert names.index(b"p") > names.index(b"_pywire_begin")
    texts = [text for name, text in parsed if name == b"_pywire_set"]
    assert b"client_encoding" in texts[0]
    assert b"search_path" in texts[1]
    assert names[-2:] == [b"", b"_pywire_commit"]
    assert frames(inventory).endswith(messages.SYNC)
    assert frames(inventory).count(messages.SYNC) == 1


def test_a_client_is_told_what_really_differs():
    told = {"TimeZone": "UTC", "in_hot_standby": "off", "server_version": "18.1"}
    login = {"TimeZone": "Etc/UTC", "in_hot_standby": "on", "server_version": "18.1"}
    news, now = news_for_client(told, login, (b"TimeZone\0UTC\0",))
    assert messages.parameter_statuses(news) == {"in_hot_standby": "on"}
    assert now == {"TimeZone": "UTC", "in_hot_standby": "on", "server_version": "18.1"}


class Held:
    """A held session whose backend says what it is told to."""

    def __init__(self, reply, *, statements=(), unnamed=None, flags=0, requests=1):
        self.request, self.sent = answering(reply, reply)
        self.note = SimpleNamespace(
            quiescent=True,
            status=ord("I"),
            flags=flags,
            statements=list(statements),
            unnamed=unnamed,
            requests=requests,
        )


class Target:
    """A backend with scripted replies."""

    def __init__(self, *replies):
        self._request, self.sent = answering(*replies)

    async def request(self, frames, *, ready=1):
        return await self._request(frames)


READY = b""
FAILED = messages.error_response([("S", "ERROR"), ("C", "42P01")])


async def test_what_was_carried_in_advance_and_has_not_changed_costs_the_target_nothing():
    target = Target(row())
    before = await carry(Held(row(), unnamed=b"P1"), target)
    assert before.reasons == frozenset()
    again = await carry(Held(row(), unnamed=b"P1"), target, before)
    assert again == before
    assert len(target.sent) == 1


async def test_a_session_that_has_asked_for_nothing_since_is_not_asked_again():
    before = replace(await carry(Held(row()), Target(row())), requests=7)
    idle = Held(row(), requests=7)
    assert await carry(idle, Target(), before) == before
    assert idle.sent == []
    busy = Held(row(), requests=8)
    await carry(busy, Target(), before)
    assert len(busy.sent) == 1


async def test_a_new_unnamed_statement_alone_is_parsed_alone():
    target = Target(row(), READY)
    before = await carry(Held(row(), unnamed=b"P1"), target)
    unnamed = messages.parse(b"", "select 2")
    again = await carry(Held(row(), unnamed=unnamed), target, before)
    assert again.reasons == frozenset()
    assert target.sent[1] == unnamed + messages.SYNC


async def test_a_session_that_has_changed_since_is_made_anew():
    changed = row(settings=[["work_mem", "1"]])
    target = Target(row(), READY, changed)
    before = await carry(Held(row()), target)
    again = await carry(Held(changed), target, before)
    assert again.reasons == frozenset()
    assert b"discard all" in target.sent[1]
    assert again.inventory.settings == {"work_mem": "1"}


async def test_a_standby_that_has_not_replayed_a_table_yet_is_waited_for(autojump_clock):
    statement = messages.parse(b"p", "select * from brand_new")
    target = Target(FAILED, READY, FAILED, READY, row(prepared=["p"]))
    carried = await carry(Held(row(prepared=["p"]), statements=[statement]), target)
    assert carried.reasons == frozenset()
    target = Target(*[FAILED, READY] * 4)
    carried = await carry(Held(row(prepared=["p"]), statements=[statement]), target)
    assert carried.reasons == {Reason.PREPARED_DIFFERS}


async def test_flags_alone_may_pin_and_then_nothing_is_asked():
    held = Held(row(), flags=Flag.LOAD)
    assert (await carry(held, Target())).reasons == {Reason.LOADED_LIBRARY}
    assert held.sent == []
