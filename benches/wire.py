"""As much of PostgreSQL's protocol as the load generators need: trust login, query, COPY.

Blocking sockets and no checks to speak of; never use it for anything but measuring.
"""

from __future__ import annotations

import contextlib
import socket
import struct

PROTOCOL_3_0 = 196608
READY_IDLE = b"Z\0\0\0\x05I"


class ServerError(Exception):
    """The server answered with an error, or not at all."""


class Connection:
    """One logged-in connection."""

    def __init__(
        self,
        port: int,
        *,
        seconds_max: float = 30.0,
        user: str = "postgres",
        database: str = "postgres",
    ) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), seconds_max)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._rest = b""
        body = f"user\0{user}\0database\0{database}\0\0".encode()
        self.socket.sendall(struct.pack("!ii", len(body) + 8, PROTOCOL_3_0) + body)
        self.until_ready()

    def message(self) -> tuple[bytes, bytes]:
        """The next message: its tag and body."""
        while len(self._rest) < 5:
            self._more()
        tag, length = struct.unpack_from("!ci", self._rest)
        while len(self._rest) <= length:
            self._more()
        body, self._rest = self._rest[5 : length + 1], self._rest[length + 1 :]
        return tag, body

    def _more(self) -> None:
        data = self.socket.recv(65536)
        if not data:
            raise ServerError("the connection was closed")
        self._rest += data

    def until(self, *tags: bytes) -> list[bytes]:
        """Read up to a message of one of these kinds; the rows seen on the way."""
        rows = []
        while True:
            tag, body = self.message()
            if tag == b"E":
                raise ServerError(body.replace(b"\0", b" ").decode(errors="replace").strip())
            if tag == b"R" and body[:4] != b"\0\0\0\0":
                raise ServerError("the server wants a password; benchmarks use trust")
            if tag == b"D":
                rows.append(body)
            if tag in tags:
                return rows

    def until_ready(self) -> list[bytes]:
        return self.until(b"Z")

    def send_query(self, sql: str) -> None:
        text = sql.encode() + b"\0"
        self.socket.sendall(b"Q" + struct.pack("!i", len(text) + 4) + text)

    def query(self, sql: str) -> list[bytes]:
        self.send_query(sql)
        return self.until_ready()

    def value(self, sql: str) -> str:
        """The only column of the only row."""
        return self.query(sql)[0][6:].decode()

    def skip_result(self, buffer: bytearray) -> int:
        """Read a whole answer without looking at it; how many bytes it had."""
        tail, total = b"", 0
        while tail != READY_IDLE:
            count = self.socket.recv_into(buffer)
            if not count:
                raise ServerError("the connection was closed")
            total += count
            tail = (tail + bytes(buffer[max(0, count - 6) : count]))[-6:]
        return total

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.socket.sendall(b"X\0\0\0\x04")
        self.socket.close()
