"""A host that costs nothing: it lets every user in and answers every query with one row.

The service user's sessions are passed on to a real server, so that pywire finds a primary behind it. Run as a program
it says `ready` and serves until its standard input ends.
"""

from __future__ import annotations

import asyncio
import itertools
import struct
import sys
from contextlib import suppress

SERVICE_USER = b"postgres"
PROCESS_IDS = itertools.count(100_000)


def message(tag: bytes, body: bytes) -> bytes:
    """A typed message."""
    return tag + struct.pack("!i", len(body) + 4) + body


def parameter(name: str, value: str) -> bytes:
    """ParameterStatus."""
    return message(b"S", f"{name}\0{value}\0".encode())


READY = message(b"Z", b"I")
PARAMETERS = b"".join(
    parameter(name, value)
    for name, value in {
        "application_name": "",
        "client_encoding": "UTF8",
        "DateStyle": "ISO, MDY",
        "default_transaction_read_only": "off",
        "in_hot_standby": "off",
        "integer_datetimes": "on",
        "IntervalStyle": "postgres",
        "is_superuser": "off",
        "server_encoding": "UTF8",
        "server_version": "15.0",
        "session_authorization": "app",
        "standard_conforming_strings": "on",
        "TimeZone": "UTC",
    }.items()
)
FIELD = b"one\0" + struct.pack("!ihihih", 0, 0, 23, 4, -1, 0)
ANSWER = (
    message(b"T", struct.pack("!h", 1) + FIELD)
    + message(b"D", struct.pack("!hi", 1, 1) + b"1")
    + message(b"C", b"SELECT 1\0")
    + READY
)


class Stub(asyncio.Protocol):
    """One connection."""

    def __init__(self, real_port: int) -> None:
        self.real_port = real_port
        self.buffer = b""
        self.started = False
        self.beyond: asyncio.Transport | None = None
        self.waiting: list[bytes] | None = None
        self.tasks: set[asyncio.Task[None]] = set()

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exception):
        if self.beyond is not None:
            self.beyond.close()

    def data_received(self, data):
        if self.beyond is not None:
            self.beyond.write(data)
        elif self.waiting is not None:
            self.waiting.append(data)
        else:
            self.buffer += data
            self.answer()

    def answer(self) -> None:
        """Take whole messages from the buffer."""
        while True:
            head = 1 if self.started else 0
            if len(self.buffer) < head + 4:
                return
            (length,) = struct.unpack_from("!i", self.buffer, head)
            if len(self.buffer) < head + length:
                return
            whole, self.buffer = self.buffer[: head + length], self.buffer[head + length :]
            if self.started:
                if whole[:1] in b"QS":
                    self.transport.write(ANSWER)
                elif whole[:1] == b"X":
                    self.transport.close()
            elif not self.start(whole):
                return

    def start(self, whole: bytes) -> bool:
        """A startup message; False if the rest is not ours to read."""
        (code,) = struct.unpack_from("!i", whole, 4)
        if code in (80877103, 80877104):
            self.transport.write(b"N")
            return True
        if code == 80877102:
            self.transport.close()
            return False
        words = whole[8:].split(b"\0")
        options = dict(zip(words[::2], words[1::2], strict=False))
        if options.get(b"user") == SERVICE_USER:
            self.waiting = [whole, self.buffer]
            task = asyncio.ensure_future(self.connect())
            self.tasks.add(task)
            return False
        key = message(b"K", struct.pack("!ii", next(PROCESS_IDS), 1))
        self.transport.write(message(b"R", bytes(4)) + PARAMETERS + key + READY)
        self.started = True
        return True

    async def connect(self) -> None:
        """Pass this connection on to the real server."""
        loop = asyncio.get_running_loop()
        with suppress(OSError):
            transport, _ = await loop.create_connection(
                lambda: Back(self.transport), "127.0.0.1", self.real_port
            )
            transport.write(b"".join(self.waiting))
            self.beyond = transport
            return
        self.transport.close()


class Back(asyncio.Protocol):
    """The real server's side of a connection passed on."""

    def __init__(self, near):
        self.near = near

    def data_received(self, data):
        self.near.write(data)

    def connection_lost(self, exception):
        self.near.close()


async def main(port: int, real_port: int) -> None:
    """Serve until standard input ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Stub(real_port), "127.0.0.1", port, backlog=4096)
    print("ready", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
