"""A client that speaks the protocol message by message, so that a test decides every byte of its side.

It knows the login and the framing, nothing else. No driver does FunctionCall, or stops in the middle of a message.
"""

from __future__ import annotations

import socket
import struct
from typing import Self

from scramp import ScramClient

PROTOCOL_3_0 = 196608


def message(tag: bytes, body: bytes = b"") -> bytes:
    """A typed message."""
    return tag + struct.pack("!i", len(body) + 4) + body


def text(*words: str) -> bytes:
    """Words, each with the byte that ends it."""
    return b"".join(word.encode() + b"\0" for word in words)


def query(statement: str) -> bytes:
    """A simple query."""
    return message(b"Q", text(statement))


def parse(name: str, statement: str) -> bytes:
    """Parse without parameter types."""
    return message(b"P", text(name, statement) + struct.pack("!h", 0))


def bind(portal: str, name: str, *values: bytes | None) -> bytes:
    """Bind in text form, results in text form."""
    body = text(portal, name) + struct.pack("!hh", 0, len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message(b"B", body + struct.pack("!h", 0))


def execute(portal: str = "", rows_max: int = 0) -> bytes:
    """Execute."""
    return message(b"E", text(portal) + struct.pack("!i", rows_max))


def describe(kind: bytes, name: str) -> bytes:
    """Describe of a statement (S) or portal (P)."""
    return message(b"D", kind + text(name))


def close(kind: bytes, name: str) -> bytes:
    """Close of a statement (S) or portal (P)."""
    return message(b"C", kind + text(name))


def function_call(function: int, *values: bytes | None) -> bytes:
    """FunctionCall with arguments and result in text form."""
    body = struct.pack("!ihh", function, 0, len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!i", len(value)) + value
    return message(b"F", body + struct.pack("!h", 0))


SYNC = message(b"S")
FLUSH = message(b"H")
TERMINATE = message(b"X")
COPY_DONE = message(b"c")


def copy_data(data: bytes) -> bytes:
    """CopyData."""
    return message(b"d", data)


def copy_fail(reason: str) -> bytes:
    """CopyFail."""
    return message(b"f", text(reason))


class RawClient:
    """A connection; not logged in yet."""

    def __init__(self, port: int, *, seconds_max: float = 60.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds_max)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self.process_id = 0
        self.key = b""
        self.parameters: dict[str, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.socket.close()

    def login(self, user: str, password: str, database: str, **options: str) -> Self:
        """Log in with SCRAM (or without, if nobody asks), and wait for the first ReadyForQuery."""
        words = ["user", user, "database", database]
        for name, value in options.items():
            words += [name, value]
        body = struct.pack("!i", PROTOCOL_3_0) + text(*words) + b"\0"
        self.send(struct.pack("!i", len(body) + 4) + body)
        scram = ScramClient(["SCRAM-SHA-256"], user, password)
        while True:
            tag, data = self.receive()
            if tag == b"R":
                (kind,) = struct.unpack_from("!i", data)
                if kind == 10:
                    first = scram.get_client_first().encode()
                    chosen = text("SCRAM-SHA-256") + struct.pack("!i", len(first)) + first
                    self.send(message(b"p", chosen))
                elif kind == 11:
                    scram.set_server_first(data[4:].decode())
                    self.send(message(b"p", scram.get_client_final().encode()))
                elif kind == 12:
                    scram.set_server_final(data[4:].decode())
            elif tag == b"S":
                name, value, _ = data.decode().split("\0")
                self.parameters[name] = value
            elif tag == b"K":
                self.process_id, self.key = struct.unpack_from("!i", data)[0], data[4:]
            elif tag == b"E":
                raise ConnectionRefusedError(data.decode(errors="replace"))
            elif tag == b"Z":
                return self

    def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.socket.sendall(data)

    def receive(self) -> tuple[bytes, bytes]:
        """The next message: its tag and its body."""
        while len(self._buffer) < 5:
            self._fill()
        (length,) = struct.unpack_from("!i", self._buffer, 1)
        while len(self._buffer) < length + 1:
            self._fill()
        tag, body = bytes(self._buffer[:1]), bytes(self._buffer[5 : length + 1])
        del self._buffer[: length + 1]
        return tag, body

    def until(self, tag: bytes, count: int = 1) -> list[tuple[bytes, bytes]]:
        """All messages up to the `count`-th of `tag`."""
        seen: list[tuple[bytes, bytes]] = []
        while count:
            seen.append(self.receive())
            count -= seen[-1][0] == tag
        return seen

    def ask(self, data: bytes, ready: int = 1) -> str:
        """Send requests, wait for `ready` ReadyForQuery; the tags of all replies."""
        self.send(data)
        return b"".join(tag for tag, _ in self.until(b"Z", ready)).decode()

    def discard(self, count: int) -> None:
        """Read and forget `count` bytes."""
        left = count - len(self._buffer)
        self._buffer.clear()
        while left > 0:
            data = self.socket.recv(min(1 << 18, left))
            if not data:
                raise ConnectionResetError("the other side closed the connection")
            left -= len(data)

    def _fill(self) -> None:
        data = self.socket.recv(1 << 18)
        if not data:
            raise ConnectionResetError("the other side closed the connection")
        self._buffer += data
