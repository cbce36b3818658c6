"""Quick logins: no task when all is well, and the ordinary way for whatever is not."""

import pytest
import trio
import trio.testing

from pywire.relay.hello import Hello
from pywire.testing.fake_postgres import error
from pywire.wire import messages

settled = trio.testing.wait_all_tasks_blocked


def fields_of(client):
    tag, body = client.take()[-1]
    assert tag == ord("E")
    return messages.read_fields(body)


async def test_a_trusted_login_needs_no_task_of_its_own(world):
    async with world(auth="trust") as it:
        await it.login()
        it.acceptor._nursery = None  # whoever needed it would fail
        _, session = await it.login()
        assert session is not None
        assert it.registry.arriving == 0


async def test_a_host_that_answers_in_pieces_is_waited_for(world):
    async with world(auth="trust") as it:
        postgres = it.postgres["a"]
        connect = postgres.connect

        def connect_slowly(write, close):
            def write_by_message(data):
                for _, start, end in messages.spans(data):
                    write(data[start:end])

            return connect(write_by_message, close)

        postgres.connect = connect_slowly
        client, session = await it.login()
        assert session.parameters == postgres.parameters
        assert client.take()[-1] == (ord("Z"), b"I")
        assert it.registry.arriving == 0
        assert it.registry.places == 1


async def test_a_request_sent_early_is_answered(world):
    async with world(auth="trust") as it:
        client = it.engine.client(user="ann")
        client.send(messages.query("early"))
        await settled()
        assert it.postgres["a"].statements == ["early"]
        assert [chr(tag) for tag, _ in client.take()][-3:] == ["Z", "C", "Z"]


async def test_an_early_request_does_not_count_as_a_password(world):
    async with world() as it:
        client = it.engine.client(user="ann")
        client.send(messages.query("early"))
        await settled()
        assert fields_of(client)["C"] == "08P01"
        assert it.postgres["a"].statements.count("early") == 0


async def test_refusals_leave_nothing_behind(world):
    async with world(auth="trust") as it:
        it.postgres["a"].refuses = error("57P03", "the database system is starting up", "FATAL")
        client, session = await it.login()
        assert session is None
        assert fields_of(client)["C"] == "57P03"
        it.postgres["a"].down = True
        client, session = await it.login()
        assert fields_of(client)["C"] == "08001"
        assert (it.registry.places, it.registry.arriving) == (0, 0)
        assert not it.engine._backends


async def test_a_client_that_leaves_gives_its_place_back(world):
    async with world(auth="trust") as it:
        it.postgres["a"].silent = True
        client = it.engine.client(user="ann")
        await settled()
        assert (it.registry.places, it.registry.arriving) == (1, 1)
        client.hang_up()
        await settled()
        assert (it.registry.places, it.registry.arriving) == (0, 0)
        assert not it.engine._backends


async def test_many_silent_answers_are_given_up_each_in_its_time(world, autojump_clock):
    async with world(auth="trust") as it:
        it.postgres["a"].silent = True
        clients = []
        for _ in range(3):
            clients.append(it.engine.client(user="ann"))
            await trio.sleep(1)
        await trio.sleep(2.5)
        assert [client.closed for client in clients] == [True, False, False]
        await trio.sleep(2)
        assert all(client.closed for client in clients)
        assert (it.registry.places, it.registry.arriving) == (0, 0)
        it.postgres["a"].silent = False
        _, session = await it.login()
        assert session is not None


def test_a_hello_is_read_in_one_walk():
    one = messages.parameter_status(b"a", b"1")
    two = messages.parameter_status(b"b", b"2")
    notice = messages.notice_response([("S", "NOTICE")])
    key = messages.backend_key_data(7, b"1234")
    data = messages.AUTHENTICATION_OK + one + notice + two + key
    hello = Hello(data)
    assert not hello.ready
    assert hello.reported == one + two
    assert (hello.process_id, hello.key) == (7, b"1234")
    other = messages.backend_key_data(7, b"x" * 32)
    assert hello.with_key(b"x" * 32) == messages.AUTHENTICATION_OK + one + notice + two + other
    assert Hello(data + messages.READY_FOR_QUERY_IDLE).ready
    assert Hello(one + two).reported == one + two
    assert Hello(b"").with_key(b"x") == b""
    with pytest.raises(ValueError, match="whole"):
        Hello(data[:-1])
