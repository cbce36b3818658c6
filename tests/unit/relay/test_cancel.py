"""A cancel request reaches the statement it was meant for, or nothing."""

import pytest
import trio
import trio.testing

from pywire.events import CancelForwarded, CancelIgnored
from pywire.wire import messages

settled = trio.testing.wait_all_tasks_blocked


async def busy_session(it, **parameters):
    """A session whose statement runs until it is cancelled."""
    it.postgres["a"].sits_on.add("sleep")
    client, session = await it.login(**parameters)
    client.take()
    client.send(messages.query("sleep"))
    return client, session


def last_event(it):
    return it.events.last(1)[0].event


@pytest.mark.parametrize("protocol", [messages.PROTOCOL_3_0, messages.PROTOCOL_3_2])
async def test_a_running_statement_is_cancelled(world, protocol):
    async with world(auth="trust") as it:
        client, session = await busy_session(it, protocol=protocol)
        canceller = it.engine.cancel(session.process_id, session.cancel_key)
        await settled()
        assert canceller.closed
        assert it.postgres["a"].cancelled == [(session.backend_process_id, session.backend_key)]
        (tag, body), _ready = client.take()
        assert tag == ord("E")
        assert messages.read_fields(body)["C"] == "57014"
        assert isinstance(last_event(it), CancelForwarded)
        client.send(messages.query("select"))
        assert client.take()[-1] == (ord("Z"), b"I")


async def test_a_session_without_a_statement_is_left_alone(world):
    async with world(auth="trust") as it:
        _, session = await it.login()
        canceller = it.engine.cancel(session.process_id, session.cancel_key)
        await settled()
        assert canceller.closed
        assert it.postgres["a"].cancelled == []
        assert isinstance(last_event(it), CancelIgnored)


async def test_a_wrong_key_does_nothing(world):
    async with world(auth="trust") as it:
        _, session = await busy_session(it)
        for key in (b"nope", session.backend_key, b""):
            canceller = it.engine.cancel(session.process_id, key)
            await settled()
            assert canceller.closed
        assert it.postgres["a"].cancelled == []


async def test_the_session_takes_no_request_while_the_signal_is_on_its_way(world):
    async with world(auth="trust") as it:
        client, session = await busy_session(it)
        it.postgres["a"].silent = True  # the signal's connection is not answered for now
        it.engine.cancel(session.process_id, session.cancel_key)
        await settled()
        client.send(messages.query("next"))
        it.postgres["a"].silent = False
        (running,) = it.postgres["a"].connections.values()
        running.finish()
        await settled()
        assert "next" not in it.postgres["a"].statements
        for backend in list(it.engine._backends.values()):
            backend.connection.receive(b"")
        await settled()
        assert it.postgres["a"].statements[-1] == "next"
        assert client.take()[-1] == (ord("Z"), b"I")


async def test_a_cancel_goes_before_a_move_that_waits(world):
    async with world(auth="trust") as it:
        client, session = await busy_session(it)
        order = []

        async def move():
            async with it.relay.holding(session, timeout_seconds=5) as held:
                order.append(("held", held.note.quiescent))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(move)
            await settled()
            assert order == []
            it.engine.cancel(session.process_id, session.cancel_key)
            await settled()
        assert order == [("held", True)]
        assert [tag for tag, _ in client.take()] == [ord("E"), ord("Z")]
        client.send(messages.query("select"))
        assert client.take()


async def test_two_cancels_of_one_statement_harm_nobody(world):
    async with world(auth="trust") as it:
        client, session = await busy_session(it)
        for _ in range(2):
            it.engine.cancel(session.process_id, session.cancel_key)
        await settled()
        assert len(it.postgres["a"].cancelled) == 1
        client.send(messages.query("select"))
        assert client.take()[-1] == (ord("Z"), b"I")


async def test_a_cancel_follows_the_session_to_its_new_host(world):
    async with world(auth="trust") as it:
        client, session = await it.login()
        backend = await it.connector.reopen(session, it.hosts["b"], timeout_seconds=5)
        async with it.relay.holding(session, timeout_seconds=5) as held:
            await held.cut_over(backend)
            session.moved(
                host="b", backend=backend.link.id, process_id=backend.process_id, key=backend.key
            )
            it.registry.moved(session, "a")
        it.postgres["b"].sits_on.add("sleep")
        client.send(messages.query("sleep"))
        it.engine.cancel(session.process_id, session.cancel_key)
        await settled()
        assert it.postgres["a"].cancelled == []
        assert it.postgres["b"].cancelled == [(backend.process_id, backend.key)]


async def test_a_host_that_does_not_answer_does_not_keep_the_session(world, autojump_clock):
    async with world(auth="trust") as it:
        _, session = await busy_session(it)
        it.postgres["a"].silent = True
        canceller = it.engine.cancel(session.process_id, session.cancel_key)
        await trio.sleep(10)
        assert canceller.closed
        assert it.engine.commands[-1][0] == "release"
