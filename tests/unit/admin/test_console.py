"""The console's protocol over a scripted link."""

import pytest

from pywire.admin.console import Console
from pywire.admin.operator import CommandRefused
from pywire.admin.table import COLUMNS, Answer, columns_of
from pywire.relay.port import LinkClosed
from pywire.session.startup import Startup
from pywire.wire import messages


class ScriptedLink:
    """Gives what a client sends, keeps what it is sent."""

    def __init__(self, *sent):
        self.sent = list(sent)
        self.received = []

    def send(self, data):
        self.received += messages.split(data)

    async def receive(self):
        if not self.sent:
            raise LinkClosed("the client has closed")
        return self.sent.pop(0)


async def operate(command, user):
    if type(command).__name__ == "Show":
        columns = columns_of(command)
        assert command.subject == "help"
        return Answer("SHOW", columns, [("one", "first"), ("two", None), ("three", "third")])
    if type(command).__name__ == "Reload":
        return Answer("RELOAD", notices=("nothing has changed",))
    raise CommandRefused("Because.", complaint="no")


async def converse(*sent):
    """The tags and bodies a client gets after the greeting."""
    link = ScriptedLink(*sent)
    startup = Startup(messages.PROTOCOL_3_0, b"user\0ann\0database\0pywire\0\0")
    with pytest.raises(LinkClosed):
        await Console(operate, "1.2").serve(link, startup)
    ready = [tag for tag, _ in link.received].index(ord("Z"))
    return link.received[ready + 1 :]


def tags(received):
    return bytes(tag for tag, _ in received).decode()


async def test_the_greeting_is_postgresqls():
    link = ScriptedLink(messages.TERMINATE)
    startup = Startup(messages.PROTOCOL_3_0, b"user\0ann\0\0")
    await Console(operate, "1.2").serve(link, startup)
    assert tags(link.received).startswith("RS")
    assert tags(link.received).endswith("KZ")


async def test_simple():
    received = await converse(messages.query("show help; reload"))
    assert tags(received) == "TDDDCNCZ"
    assert messages.read_columns(received[0][1]) == ("command", "does")
    assert messages.read_row(received[2][1]) == ("two", None)


async def test_an_error_ends_a_simple_query_and_not_the_console():
    received = await converse(messages.query("show help; nonsense; reload"), messages.query(""))
    assert tags(received) == "TDDDCEZIZ"
    fields = messages.read_fields(received[5][1])
    assert (fields["S"], fields["C"], fields["P"]) == ("ERROR", "42601", "12")


async def test_extended_with_describe_and_pieces():
    received = await converse(
        messages.parse(b"s", "show help") + messages.message(b"D", b"Ss\0") + messages.SYNC,
        messages.bind(b"s", ())
        + messages.describe_portal()
        + messages.message(b"E", b"\0\0\0\0\2")
        + messages.message(b"E", b"\0\0\0\0\0")
        + messages.SYNC,
    )
    assert tags(received) == "1tTZ2TDDsDCZ"


async def test_after_an_error_everything_is_skipped_until_sync():
    received = await converse(
        messages.parse(b"", "nonsense")
        + messages.bind(b"", ())
        + messages.execute()
        + messages.SYNC,
        messages.parse(b"", "reload") + messages.bind(b"", ()) + messages.execute() + messages.SYNC,
    )
    assert tags(received) == "EZ12NCZ"


async def test_a_refusal_has_its_reasons():
    received = await converse(messages.query("pause"))
    fields = messages.read_fields(received[0][1])
    assert (fields["C"], fields["M"], fields["D"]) == ("55000", "no", "Because.")


async def test_names_that_were_not_prepared_and_parameters():
    unknown = await converse(messages.bind(b"x", ()) + messages.SYNC)
    assert messages.read_fields(unknown[0][1])["C"] == "26000"
    given = await converse(
        messages.parse(b"", "reload") + messages.bind(b"", ["1"]) + messages.SYNC
    )
    assert messages.read_fields(given[1][1])["C"] == "08P01"


async def test_a_transaction_is_pretended():
    received = await converse(messages.query("begin"), messages.query("commit"))
    assert [body for tag, body in received if tag == ord("Z")] == [b"T", b"I"]


async def test_garbage_is_an_error_and_nothing_worse():
    received = await converse(
        messages.message(b"B", b"\0") + messages.SYNC, messages.message(b"y", b"") + messages.SYNC
    )
    assert tags(received) == "EZEZ"


def test_every_table_has_columns():
    assert set(COLUMNS) == {
        "clusters",
        "config",
        "events",
        "help",
        "hosts",
        "sessions",
        "stats",
        "version",
    }
