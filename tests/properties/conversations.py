"""Whole legal conversations: a client program, a model server, and the wire between them.

The client's messages wait on their way to the server and the replies on their way back, and the tracker
sits in the middle: what it sees, and in which order, is drawn. Clients here send without waiting, which
is legal and the hardest to follow.
"""

from __future__ import annotations

import struct
from collections import deque
from dataclasses import dataclass, field

from hypothesis import strategies as st

FRONTEND, BACKEND = 0, 1
TEXTS = {
    b"select 1": (),
    b"update t set a = 1": (),
    b"set x = 1": ("SET",),
    b"select currval('s') /* temp */": ("SEQUENCE", "TEMPORARY"),
    b"begin; listen a": ("LISTEN",),
}
TAGS = (b"SELECT 1", b"INSERT 0 1", b"DELETE 3", b"DISCARD ALL", b"DEALLOCATE", b"DEALLOCATE ALL")
NAMES = (b"", b"a", b"b")
ASYNCHRONOUS = ((b"N", b"\0"), (b"A", b"\0\0\0\1a\0\0"), (b"S", b"x\0y\0"))

Message = tuple[bytes, bytes]


def frame(message: Message) -> bytes:
    """The message as it is on the wire."""
    tag, body = message
    return tag + struct.pack("!I", len(body) + 4) + body


# --- what clients send ---

text = st.sampled_from(sorted(TEXTS))
name = st.sampled_from(NAMES)
query = text.map(lambda text: (b"Q", text + b"\0"))
parse = st.builds(lambda name, text: (b"P", name + b"\0" + text + b"\0\0\0"), name, text)
bind = name.map(lambda name: (b"B", b"\0" + name + b"\0" + b"\0" * 6))
describe = st.builds(
    lambda kind, name: (b"D", kind + name + b"\0"), st.sampled_from([b"S", b"P"]), name
)
close = st.builds(
    lambda kind, name: (b"C", kind + name + b"\0"), st.sampled_from([b"S", b"P"]), name
)
execute = st.just((b"E", b"\0\0\0\0\0"))
sync, flush = st.just((b"S", b"")), st.just((b"H", b""))
function = st.just((b"F", b"\0" * 10))
copy_data = st.binary(max_size=5).map(lambda data: (b"d", data))
copy_end = st.sampled_from([(b"c", b""), (b"f", b"no\0")])

extended = st.lists(st.one_of(parse, bind, describe, execute, close, flush), min_size=1, max_size=5)
pipeline = st.builds(lambda messages, end: [*messages, end], extended, st.one_of(sync, sync, query))
copied = st.builds(
    lambda data, end: [*data, end],
    st.lists(st.one_of(copy_data, copy_data, sync, flush), max_size=4),
    copy_end,
)
simple_copy = st.lists(copied, min_size=1, max_size=2).map(
    lambda parts: [(b"Q", b"copy " * len(parts) + b"\0"), *(m for part in parts for m in part)]
)
extended_copy = st.builds(
    lambda before, data: [*before, (b"E", b"\0\0\0\0\1"), *data, (b"S", b"")],
    st.lists(st.one_of(parse, bind), max_size=2),
    copied,
)
replication = st.lists(copy_data, max_size=2).map(
    lambda data: [(b"Q", b"START_REPLICATION\0"), *data, (b"c", b"")]
)
unit = st.one_of(
    query.map(lambda message: [message]),
    function.map(lambda message: [message]),
    sync.map(lambda message: [message]),
    pipeline,
    pipeline,
    extended,
    simple_copy,
    extended_copy,
    replication,
)


@st.composite
def programs(draw: st.DrawFn) -> list[Message]:
    """All that one client sends."""
    program = [message for part in draw(st.lists(unit, min_size=1, max_size=5)) for message in part]
    if draw(st.booleans()):
        program.append((b"S", b""))
    if draw(st.integers(0, 9)) == 9:
        program.append((b"X", b""))
    return program


# --- what the server answers ---


@dataclass
class ModelServer:
    """PostgreSQL's main loop, one message at a time; chance decides what fails."""

    draw: st.DrawFn
    skip: bool = False
    dirty: bool = False  # is there anything a Sync could fail to commit?
    copying: list[str] = field(default_factory=list)  # copies to come, in this Query or Execute
    work: str = ""
    out: list[Message] = field(default_factory=list)

    def chance(self, one_in: int) -> bool:
        return self.draw(st.integers(1, one_in)) == one_in

    def say(self, tag: bytes, body: bytes = b"") -> None:
        if self.chance(12):
            self.out.append(self.draw(st.sampled_from(ASYNCHRONOUS)))
        self.out.append((tag, body))

    def read(self, message: Message) -> list[Message]:
        """What it says after reading this."""
        self.out = []
        tag, body = message
        if self.copying:
            self.copy(tag)
        elif tag == b"S":
            self.skip = False
            if self.dirty and self.chance(8):
                self.error()
            self.ready()
        elif self.skip or tag in (b"H", b"d", b"c", b"f", b"X"):
            pass
        elif tag in (b"Q", b"F"):
            self.work = "simple"
            self.simple(tag, body)
        else:
            self.work = "extended"
            self.dirty = True
            self.extended(tag, body)
        return self.out

    def error(self) -> None:
        code = self.draw(st.sampled_from([b"42601", b"57014"]))
        self.say(b"E", b"SERROR\0VERROR\0C" + code + b"\0Mno\0\0")

    def ready(self) -> None:
        self.dirty = False
        self.say(b"Z", self.draw(st.sampled_from([b"I", b"T", b"E"])))

    def fail(self) -> None:
        self.copying = []
        self.dirty = False
        self.error()
        if self.work == "extended":
            self.skip = True
        else:
            self.ready()

    def complete(self) -> None:
        self.say(b"C", self.draw(st.sampled_from(TAGS)) + b"\0")

    def simple(self, tag: bytes, body: bytes) -> None:
        if self.chance(5):
            self.fail()
        elif body.startswith(b"copy"):
            self.copying = ["in"] * body.count(b"copy")
            self.say(b"G", b"\0\0\0")
        elif body.startswith(b"START_REPLICATION"):
            self.copying = ["both"]
            self.say(b"W", b"\0\0\0")
            self.say(b"d", b"wal")
        else:
            if tag == b"F":
                self.say(b"V", b"\0\0\0\0")
            elif self.chance(6):
                self.say(b"I")
            else:
                self.results()
            self.ready()

    def results(self) -> None:
        for _ in range(self.draw(st.integers(1, 2))):
            if self.chance(5):
                self.say(b"H", b"\0\0\0")
                self.say(b"d", b"row")
                self.say(b"c")
            elif self.chance(2):
                self.say(b"T", b"\0\0")
                self.say(b"D", b"\0\0")
            self.complete()

    def extended(self, tag: bytes, body: bytes) -> None:
        if self.chance(6):
            self.fail()
        elif tag == b"P":
            self.say(b"1")
        elif tag == b"B":
            self.say(b"2")
        elif tag == b"C":
            self.say(b"3")
        elif tag == b"D":
            if body[:1] == b"S":
                self.say(b"t", b"\0\0")
            self.say(*self.draw(st.sampled_from([(b"T", b"\0\0"), (b"n", b"")])))
        elif body == b"\0\0\0\0\1":
            self.copying = ["in"]
            self.say(b"G", b"\0\0\0")
        else:
            self.execute()

    def execute(self) -> None:
        end = self.draw(st.sampled_from(["complete", "suspended", "empty", "copy out"]))
        if end == "empty":
            self.say(b"I")
            return
        if end == "copy out":
            self.say(b"H", b"\0\0\0")
            self.say(b"d", b"row")
            self.say(b"c")
        else:
            self.say(b"D", b"\0\0")
        if end == "suspended":
            self.say(b"s")
        else:
            self.complete()

    def copy(self, tag: bytes) -> None:
        if self.copying[0] == "both":
            if tag == b"c":
                self.copying = []
                self.say(b"c")
                self.say(b"C", b"START_STREAMING\0")
                self.ready()
        elif tag == b"f" or self.chance(6):
            self.fail()
        elif tag == b"c":
            del self.copying[0]
            self.say(b"C", b"COPY 1\0")
            if self.copying:
                self.say(b"G", b"\0\0\0")
            elif self.work == "simple":
                self.ready()


Event = tuple[int, Message]


@st.composite
def conversations(draw: st.DrawFn) -> list[Event]:
    """What passes a tracker, in the order it passes."""
    to_send = deque(draw(programs()))
    to_server: deque[Message] = deque()
    to_client: deque[Message] = deque()
    server = ModelServer(draw)
    events: list[Event] = []
    hasty = draw(st.sampled_from([1, 3, 6]))
    while to_send or to_server or to_client:
        step = draw(st.integers(0, hasty + 2))
        if to_send and (step > 1 or not (to_server or to_client)):
            message = to_send.popleft()
            events.append((FRONTEND, message))
            to_server.append(message)
        elif to_server and (step == 0 or not to_client):
            to_client.extend(server.read(to_server.popleft()))
        elif to_client:
            events.append((BACKEND, to_client.popleft()))
    if draw(st.integers(0, 9)) == 9:
        events.append((BACKEND, (b"E", b"SFATAL\0VFATAL\0C57P01\0Mbye\0\0")))
    return events
