"""Logins through the fake engine: what the client is told, what the host is asked, what is counted."""

import pytest
import trio
import trio.testing

from pywire.auth import md5, scram
from pywire.auth.scram import Verifier
from pywire.testing.fake_postgres import error
from pywire.testing.fake_relay import TlsInfo
from pywire.wire import messages
from tests.unit.relay.conftest import PASSWORD, VERIFIER_SQL

settled = trio.testing.wait_all_tasks_blocked


def tags(received):
    return [chr(tag) for tag, _ in received]


def refusal(received):
    """The fields of the last message, which must be an ErrorResponse."""
    tag, body = received[-1]
    assert tag == ord("E")
    return messages.read_fields(body)


async def prove(client, password, *, mechanism=scram.SCRAM):
    """Answer SCRAM as libpq does; return everything received after it."""
    await settled()
    ((tag, body),) = client.take()
    assert tag == ord("R")
    assert messages.authentication_code(body) == messages.AUTH_SASL
    exchange = scram.ClientExchange(b"n" * 18)
    client.send(messages.sasl_initial_response(mechanism, exchange.first()))
    await settled()
    ((_, body),) = client.take()
    salt, iterations = scram.salt_and_iterations(body[4:])
    keys = scram.password_keys(password, salt, iterations)
    final = exchange.final(body[4:], keys=(*keys, salt, iterations))
    client.send(messages.password_message(final))
    await settled()
    return client.take()


async def test_a_trusted_client_gets_the_hosts_words_but_for_the_key(world):
    async with world(auth="trust") as it:
        client, session = await it.login(application_name="x")
        postgres = it.postgres["a"]
        (backend,) = postgres.connections.values()
        assert postgres.startups[-1] == {"user": "ann", "database": "shop", "application_name": "x"}
        received = client.take()
        assert tags(received) == ["R", "S", "S", "S", "S", "S", "K", "Z"]
        key_data = received[-2][1]
        assert key_data == backend.process_id.to_bytes(4, "big") + session.cancel_key
        assert len(session.cancel_key) == 4
        assert session.backend_key == backend.key
        assert session.parameters == postgres.parameters
        client.send(messages.query("select 1"))
        assert tags(client.take()) == ["C", "Z"]


async def test_a_trusted_login_wakes_the_pump_twice(world):
    async with world(auth="trust") as it:
        drains = []
        drain = it.engine.drain

        def counting(limit):
            drains.append(1)
            return drain(limit)

        it.engine.drain = counting
        await it.login()
        assert len(drains) == 2


async def test_only_this_machine_is_trusted(world):
    async with world(auth="trust") as it:
        client = it.engine.client(user="ann", peer="10.0.0.9:5")
        await settled()
        fields = refusal(client.take())
        assert (fields["C"], fields["M"]) == ("28000", 'trust authentication failed for user "ann"')
    async with world(auth="trust", trust_anywhere=True) as it:
        client, session = await it.login(peer="10.0.0.9:5")
        assert session is not None


async def test_scram_proves_the_client_and_logs_in_to_the_host(world):
    async with world() as it:
        it.postgres["a"].auth = "scram-sha-256"
        client = it.engine.client(user="ann", database="shop")
        received = await prove(client, PASSWORD)
        assert tags(received)[:2] == ["R", "R"]
        assert messages.authentication_code(received[0][1]) == messages.AUTH_SASL_FINAL
        assert received[1][1] == b"\0\0\0\0"
        assert tags(received)[-2:] == ["K", "Z"]
        session = it.registry.get(client.link)
        assert len(session.credentials.client_key.reveal()) == 32
        # The keys serve for another host with the same verifier.
        it.postgres["b"].auth = "scram-sha-256"
        backend = await it.connector.reopen(session, it.hosts["b"], timeout_seconds=5)
        assert backend.parameters["server_version"] == "15.16"


async def test_the_key_is_wiped_when_the_session_ends(world):
    async with world() as it:
        client = it.engine.client(user="ann")
        await prove(client, PASSWORD)
        session = it.registry.get(client.link)
        client.hang_up()
        await settled()
        assert len(it.registry) == it.registry.places == 0
        with pytest.raises(ValueError, match="wiped"):
            session.credentials.client_key.reveal()


@pytest.mark.parametrize("user", ["ann", "bob", "nobody"])
async def test_a_wrong_password_and_an_unknown_user_look_the_same(world, user):
    async with world() as it:
        transcripts = []
        for _ in range(2):
            client = it.engine.client(user=user)
            received = await prove(client, b"wrong")
            transcripts.append(received)
            fields = refusal(received)
            assert fields["C"] == "28P01"
            assert fields["S"] == "FATAL"
            assert fields["M"] == f'password authentication failed for user "{user}"'
            assert set(fields) == {"S", "V", "C", "M"}
            assert tags(received) == ["E"]
            assert client.closed
        assert transcripts[0] == transcripts[1]
        assert it.registry.places == 0


async def test_one_question_serves_many_logins(world):
    async with world() as it:
        clients = [it.engine.client(user="ann") for _ in range(5)]
        await settled()
        assert all(tags(client.take()) == ["R"] for client in clients)
        asked = [sql for sql in it.postgres["a"].statements if "pg_authid" in sql]
        assert len(asked) == 1


async def test_a_changed_password_works_after_one_failure(world):
    async with world() as it:
        await prove(it.engine.client(user="ann"), PASSWORD)
        it.postgres["a"].verifiers["ann"] = str(Verifier.build(b"new", b"salt" * 4, 64))
        await trio.sleep(1.1)
        assert tags(await prove(it.engine.client(user="ann"), b"new")) == ["E"]
        assert tags(await prove(it.engine.client(user="ann"), b"new"))[-1] == "Z"


async def test_an_outdated_password_is_refused_though_its_verifier_was_kept(world):
    async with world() as it:
        it.postgres["a"].auth = "scram-sha-256"
        await prove(it.engine.client(user="ann"), PASSWORD)
        it.postgres["a"].verifiers["ann"] = str(Verifier.build(b"new", b"salt" * 4, 64))
        fields = refusal(await prove(it.engine.client(user="ann"), PASSWORD))
        assert fields["C"] == "28P01"
        assert tags(await prove(it.engine.client(user="ann"), b"new"))[-1] == "Z"


async def test_a_service_connection_that_broke_is_opened_again(world):
    async with world() as it:
        await prove(it.engine.client(user="nobody"), b"x")
        for backend in list(it.postgres["a"].connections.values()):
            backend.die()
        await settled()
        assert tags(await prove(it.engine.client(user="ann"), PASSWORD))[-1] == "Z"


async def test_strangers_are_not_told_why_pywire_itself_is_turned_away(world):
    async with world() as it:
        it.postgres["a"].refuses = error("28P01", "the service user's trouble", "FATAL")
        client = it.engine.client(user="ann")
        await settled()
        fields = refusal(client.take())
        assert (fields["C"], fields["M"]) == ("57P03", "passwords cannot be checked now")
        assert "trouble" not in str(fields)
        assert "trouble" in it.events.last(1)[0].event.reason
        it.postgres["a"].refuses = b""
        it.postgres["a"].answers[VERIFIER_SQL] = lambda _sql, _values: error(
            "42501", "permission denied"
        )
        client = it.engine.client(user="ann")
        await settled()
        assert refusal(client.take())["C"] == "57P03"


async def test_a_host_that_hangs_up_on_the_question_is_named(world):
    async with world() as it:

        def hang_up(_sql, _values):
            for backend in list(it.postgres["a"].connections.values()):
                backend.die()
            return b""

        it.postgres["a"].answers[VERIFIER_SQL] = hang_up
        client = it.engine.client(user="ann")
        await settled()
        assert refusal(client.take())["C"] == "08001"


async def test_md5_is_asked_where_the_verifier_is_md5(world):
    async with world(auth="md5") as it:
        digest = md5.digest_password(PASSWORD, "ann")
        for postgres in it.postgres.values():
            postgres.verifiers["ann"] = "md5" + digest
        client = it.engine.client(user="ann")
        await settled()
        it.postgres["a"].auth = "md5"
        ((_, body),) = client.take()
        assert messages.authentication_code(body) == messages.AUTH_MD5
        client.send(messages.password_message(md5.response(digest.encode(), body[4:])))
        await settled()
        assert tags(client.take())[-1] == "Z"
        assert tags(await prove(it.engine.client(user="nobody"), b"x")) == ["E"]


async def test_a_password_in_clear_logs_in_to_any_host(world):
    async with world(auth="password") as it:
        it.postgres["a"].auth = "password"
        it.service_credentials = it.service_credentials
        client = it.engine.client(user="ann")
        await settled()
        ((_, body),) = client.take()
        assert messages.authentication_code(body) == messages.AUTH_CLEARTEXT
        client.send(messages.password_message(PASSWORD + b"\0"))
        with trio.fail_after(5):
            while not client.received:
                await trio.sleep(0.01)
        assert tags(client.take())[-1] == "Z"


@pytest.mark.parametrize(
    ("sent", "code"),
    [(b"wrong\0", "28P01"), (b"\0", "28P01"), (b"no end", "08P01"), (b"a\0b\0", "08P01")],
)
async def test_passwords_in_clear_are_checked(world, sent, code):
    async with world(auth="password") as it:
        client = it.engine.client(user="ann")
        await settled()
        client.take()
        client.send(messages.password_message(sent))
        with trio.fail_after(5):
            while not client.received:
                await trio.sleep(0.01)
        assert refusal(client.take())["C"] == code


async def test_a_certificate_must_name_the_user(world):
    async with world(auth="cert") as it:
        ann = TlsInfo(client_common_name="ann", client_subject="CN=ann")
        client = it.engine.client(user="ann", tls=ann)
        other = it.engine.client(user="bob", tls=ann)
        bare = it.engine.client(user="ann", tls=TlsInfo())
        await settled()
        assert tags(client.take())[-1] == "Z"
        assert refusal(other.take())["M"] == 'certificate authentication failed for user "bob"'
        assert refusal(bare.take())["M"] == "connection requires a valid client certificate"


async def test_channel_binding_is_offered_over_tls_with_our_certificate(world):
    async with world() as it:
        it.authenticator.end_points[1] = b"hash"
        client = it.engine.client(user="ann", tls=TlsInfo())
        plain = it.engine.client(user="ann")
        await settled()
        assert messages.sasl_mechanisms(client.take()[0][1]) == [scram.SCRAM_PLUS, scram.SCRAM]
        assert messages.sasl_mechanisms(plain.take()[0][1]) == [scram.SCRAM]


async def test_the_hosts_refusal_is_passed_on_verbatim(world):
    async with world(auth="trust") as it:
        response = error("3D000", 'database "shop" does not exist', "FATAL")
        it.postgres["a"].refuses = response
        client = it.engine.client(user="ann", database="shop")
        await settled()
        assert client.received == response
        assert client.closed
        assert it.registry.places == 0


async def test_a_host_that_is_gone_is_named(world):
    async with world(auth="trust") as it:
        it.postgres["a"].down = True
        client = it.engine.client(user="ann")
        await settled()
        fields = refusal(client.take())
        assert (fields["C"], fields["M"]) == ("08001", 'host "a" cannot be reached')


async def test_a_host_that_asks_for_what_we_do_not_have_gets_a_hint(world):
    async with world(auth="trust") as it:
        it.postgres["a"].auth = "scram-sha-256"
        client = it.engine.client(user="ann")
        await settled()
        fields = refusal(client.take())
        assert (fields["S"], fields["C"]) == ("FATAL", "28000")
        assert "pg_hba.conf" in fields["H"]
        assert not it.postgres["a"].connections


async def test_a_password_changed_on_the_host_only_is_a_refusal(world):
    async with world() as it:
        it.postgres["a"].auth = "scram-sha-256"
        it.postgres["b"].auth = "scram-sha-256"
        client = it.engine.client(user="ann")
        await prove(client, PASSWORD)
        it.postgres["b"].verifiers["ann"] = str(Verifier.build(b"new", b"salt" * 4, 64))
        session = it.registry.get(client.link)
        from pywire.errors import HostRejected

        with pytest.raises(HostRejected):
            await it.connector.reopen(session, it.hosts["b"], timeout_seconds=5)


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ({"sessions_max": 1}, "sorry, too many clients already"),
        ({"sessions_per_user_max": 1}, 'too many connections for role "ann"'),
        ({"sessions_per_host_max": 1}, "sorry, too many clients already"),
    ],
)
async def test_limits_are_kept(world, limits, text):
    async with world(auth="trust", **limits) as it:
        first, session = await it.login()
        assert session is not None
        second, nothing = await it.login()
        assert nothing is None
        fields = refusal(second.take())
        assert (fields["C"], fields["M"]) == ("53300", text)
        first.hang_up()
        await settled()
        _, third = await it.login()
        assert third is not None


async def test_no_new_sessions_while_shutting_down(world):
    async with world(auth="trust") as it:
        it.acceptor.shutting_down = True
        client, session = await it.login()
        assert session is None
        fields = refusal(client.take())
        assert (fields["C"], fields["M"]) == ("57P03", "the database system is shutting down")


@pytest.mark.parametrize(
    ("protocol", "body", "code"),
    [
        (2 << 16, messages.startup_body({"user": "ann"}), "0A000"),
        (3 << 16, b"\0", "28000"),
        (3 << 16, messages.startup_body({"user": ""}), "28000"),
        (3 << 16, b"user\0ann", "08P01"),
    ],
)
async def test_startups_that_cannot_be_are_refused(world, protocol, body, code):
    async with world(auth="trust") as it:
        client = it.engine.client(protocol=protocol, body=body)
        await settled()
        assert refusal(client.take())["C"] == code
        assert client.closed


async def test_protocol_3_2_gets_a_long_key_on_any_host(world):
    async with world(auth="trust") as it:
        for newest in (messages.PROTOCOL_3_2, messages.PROTOCOL_3_0):
            it.postgres["a"].protocol_newest = newest
            client, session = await it.login(protocol=messages.PROTOCOL_3_2)
            assert len(session.cancel_key) == 32
            assert len(session.backend_key) == (32 if newest == messages.PROTOCOL_3_2 else 4)
            assert "v" not in tags(client.take())


async def test_newer_protocols_and_options_are_negotiated_down(world):
    async with world(auth="trust") as it:
        body = messages.startup_body({"user": "ann", "_pq_.grease": "1"})
        client = it.engine.client(protocol=(3 << 16) | 9999, body=body)
        await settled()
        received = client.take()
        assert received[0] == (ord("v"), b"\0\3\0\2" + b"\0\0\0\1_pq_.grease\0")
        assert tags(received)[-1] == "Z"
        assert it.postgres["a"].startups[-1] == {"user": "ann"}
        old = it.engine.client(body=body)
        await settled()
        assert old.take()[0] == (ord("v"), b"\0\3\0\0" + b"\0\0\0\1_pq_.grease\0")


async def test_replication_connections_pass_and_are_pinned(world):
    async with world(auth="trust") as it:
        _, session = await it.login(replication="database")
        assert session.pins == {"replication"}
        assert it.postgres["a"].startups[-1]["replication"] == "database"


async def test_a_login_waits_while_its_cluster_is_paused(world):
    async with world(auth="trust") as it:
        it.paused = trio.Event()
        client, session = await it.login()
        assert session is None
        assert client.received == b""
        it.primary = "b"
        it.paused.set()
        await settled()
        assert it.registry.get(client.link).host == "b"


async def test_a_client_that_leaves_during_its_login_leaves_nothing(world):
    async with world() as it:
        client = it.engine.client(user="ann")
        await settled()
        client.hang_up()
        await settled()
        assert it.registry.places == 0


async def test_a_client_that_leaves_while_the_host_answers_leaves_nothing(world):
    async with world(auth="trust") as it:
        it.postgres["a"].silent = True
        client = it.engine.client(user="ann")
        await settled()
        client.hang_up()
        it.postgres["a"].silent = False
        it.engine._backends[max(it.engine._backends)].connection.receive(b"")
        await settled()
        assert it.registry.places == 0
        assert not it.engine._backends


async def test_a_client_that_says_something_else_than_its_password_is_refused(world):
    async with world() as it:
        client = it.engine.client(user="ann")
        await settled()
        client.take()
        client.send(messages.query("select 1"))
        await settled()
        fields = refusal(client.take())
        assert fields["C"] == "08P01"
        assert "expected password response" in fields["M"]


async def test_slow_logins_are_cut_off(world, autojump_clock):
    async with world(startup_seconds_max=3) as it:
        client = it.engine.client(user="ann")
        await settled()
        client.take()
        began = trio.current_time()
        while not client.closed:
            await trio.sleep(0.5)
        assert trio.current_time() - began <= 3.5
        fields = refusal(client.take())
        assert fields["M"] == "canceling authentication due to timeout"
        assert it.registry.places == 0


async def test_the_oldest_of_too_many_logins_makes_room(world):
    async with world(startups_max=3) as it:
        clients = []
        for _ in range(5):
            clients.append(it.engine.client(user="ann"))
            await settled()
        assert [client.closed for client in clients] == [True, True, False, False, False]
        assert tags(await prove(clients[-1], PASSWORD))[-1] == "Z"
        assert len(it.acceptor._logins) == 2


async def test_a_silent_host_is_given_up(world, autojump_clock):
    async with world(auth="trust") as it:
        it.postgres["a"].silent = True
        client = it.engine.client(user="ann")
        await trio.sleep(6)
        assert refusal(client.take())["C"] == "08001"
        assert not it.engine._backends


async def test_the_console_is_for_admin_users(world):
    async with world(auth="trust", admin_users=frozenset({"ann"}), sessions_max=1) as it:
        await it.login(user="bob", database="shop")
        console = it.engine.client(user="ann", database="pywire")
        refused = it.engine.client(user="bob", database="pywire")
        await settled()
        assert console.received == b"console"
        assert [user for _, user in it.admin_links] == ["ann"]
        fields = refusal(refused.take())
        assert fields["C"] == "42501"
        console.hang_up()
        await settled()


async def test_the_console_outlives_the_time_limit_of_logins(world, autojump_clock):
    async with world(auth="trust", admin_users=frozenset({"ann"}), startup_seconds_max=3) as it:
        console = it.engine.client(user="ann", database="pywire")
        await trio.sleep(60)
        assert not console.closed


async def test_parameters_and_flags_reach_the_session(world):
    async with world(auth="trust") as it:
        client, session = await it.login()
        it.postgres["a"].answers["set"] = lambda _sql, _values: (
            messages.parameter_status(b"TimeZone", b"GMT") + messages.command_complete("SET")
        )
        client.send(messages.query("set"))
        it.engine.flag(client.link, 5)
        await settled()
        assert session.parameters["TimeZone"] == "GMT"
        assert session.flags == 5
