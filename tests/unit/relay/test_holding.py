"""Holding a session, speaking to its backend, giving it another."""

import pytest
import trio
import trio.testing

from pywire.relay.port import CommandRefused, LinkClosed, StatementFailed
from pywire.testing.fake_postgres import error, rows
from pywire.wire import messages

settled = trio.testing.wait_all_tasks_blocked


async def test_a_held_clients_request_waits(world):
    async with world(auth="trust") as it:
        client, session = await it.login()
        client.take()
        async with it.relay.holding(session, timeout_seconds=1) as held:
            assert held.note.quiescent
            assert held.note.status == ord("I")
            client.send(messages.query("select"))
            await settled()
            assert client.received == b""
        await settled()
        assert client.take()[-1] == (ord("Z"), b"I")


async def test_our_own_request_is_not_seen_by_the_client(world):
    async with world(auth="trust") as it:
        client, session = await it.login()
        client.take()
        it.postgres["a"].answers["show x"] = lambda _sql, _values: rows(["x"], ["on"])
        async with it.relay.holding(session, timeout_seconds=1) as held:
            (result,) = await held.query("show x")
            assert result.scalar() == "on"
            assert result.columns == ("x",)
            replies = await held.request(messages.query("a") + messages.query("b"), ready=2)
            assert [chr(tag) for tag, _ in replies] == ["C", "Z", "C", "Z"]
        await settled()
        assert client.received == b""


async def test_an_error_to_our_own_request_is_raised(world):
    async with world(auth="trust") as it:
        _, session = await it.login()
        it.postgres["a"].answers["bad"] = lambda _sql, _values: error("42601", "syntax error")
        async with it.relay.holding(session, timeout_seconds=1) as held:
            with pytest.raises(StatementFailed) as caught:
                await held.query("bad")
            assert caught.value.code == "42601"
            await held.query("good")


async def test_a_session_that_does_not_come_to_rest_goes_on(world, autojump_clock):
    async with world(auth="trust") as it:
        it.postgres["a"].sits_on.add("sleep")
        client, session = await it.login()
        client.take()
        client.send(messages.query("sleep"))
        with pytest.raises(trio.TooSlowError):
            async with it.relay.holding(session, timeout_seconds=2):
                pytest.fail("it was held")
        (running,) = it.postgres["a"].connections.values()
        running.finish()
        client.send(messages.query("select"))
        assert [chr(tag) for tag, _ in client.take()] == ["C", "Z", "C", "Z"]


async def test_holders_take_turns(world):
    async with world(auth="trust") as it:
        _, session = await it.login()
        order = []

        async def hold(name):
            async with it.relay.holding(session, timeout_seconds=1):
                order.append((name, "in"))
                await settled()
                order.append((name, "out"))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(hold, 1)
            nursery.start_soon(hold, 2)
        assert [what for _, what in order] == ["in", "out", "in", "out"]
        generations = [g for name, _, g in it.engine.commands if name == "hold"]
        assert generations == sorted(set(generations))


async def test_a_session_that_ends_while_held_says_so(world):
    async with world(auth="trust") as it:
        client, session = await it.login()
        with pytest.raises(LinkClosed):  # noqa: PT012 - what the context does is what is tested
            async with it.relay.holding(session, timeout_seconds=1) as held:
                client.hang_up()
                await settled()
                await held.query("select")
        assert len(it.registry) == 0
        with pytest.raises(CommandRefused):
            async with it.relay.holding(session, timeout_seconds=1):
                pytest.fail("it was held")


async def test_a_session_lives_on_its_new_backend(world):
    async with world(auth="trust") as it:
        client, session = await it.login()
        client.take()
        backend = await it.connector.reopen(session, it.hosts["b"], timeout_seconds=1)
        async with it.relay.holding(session, timeout_seconds=1) as held:
            client.send(messages.query("waiting"))
            news = messages.parameter_status(b"in_hot_standby", b"on")
            await held.cut_over(backend, news)
        await settled()
        assert [chr(tag) for tag, _ in client.take()] == ["S", "C", "Z"]
        assert it.postgres["b"].statements == ["waiting"]
        assert it.postgres["a"].connections == {}
        assert it.postgres["b"].startups[-1] == it.postgres["a"].startups[-1]


async def test_a_new_backend_that_has_gone_is_refused_and_the_session_stays(world):
    async with world(auth="trust") as it:
        client, session = await it.login()
        backend = await it.connector.reopen(session, it.hosts["b"], timeout_seconds=1)
        (gone,) = it.postgres["b"].connections.values()
        with pytest.raises(CommandRefused):  # noqa: PT012
            async with it.relay.holding(session, timeout_seconds=1) as held:
                gone.die()
                await held.cut_over(backend)
        await settled()
        client.take()
        client.send(messages.query("select"))
        assert client.take()[-1] == (ord("Z"), b"I")
        assert len(it.registry) == 1


async def test_a_request_abandoned_half_way_spoils_the_hold_only(world, autojump_clock):
    async with world(auth="trust") as it:
        it.postgres["a"].sits_on.add("sleep")
        client, session = await it.login()
        client.take()
        with pytest.raises(CommandRefused):  # noqa: PT012
            async with it.relay.holding(session, timeout_seconds=1) as held:
                with trio.move_on_after(1):
                    await held.query("sleep")
                await held.query("select")


async def test_a_service_backend_answers_one_at_a_time(world):
    async with world() as it:
        backend = await it.service("main", "a")
        it.postgres["a"].answers["show x"] = lambda _sql, _values: rows(["x"], [None])
        (result,) = await backend.query("show x")
        assert result.scalar() is None
        assert result.tag == "SELECT 1"
        it.postgres["a"].sits_on.add("sleep")
        async with trio.open_nursery() as nursery:
            nursery.start_soon(backend.query, "sleep")
            await settled()
            with pytest.raises(trio.BusyResourceError):
                await backend.query("show x")
            it.postgres["a"].connections[backend.process_id].finish()
        backend.close()
        await settled()
        with pytest.raises(LinkClosed):
            await backend.query("show x")
