"""A TCP relay that keeps every byte, put before and behind pywire to see what it changed.

One thread for each direction of a connection; nothing is parsed while it runs. `Conversation` reads what was kept.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from .harness import Ports

SSL_REQUEST = 80877103
GSSENC_REQUEST = 80877104
CANCEL_REQUEST = 80877102


@dataclass
class Conversation:
    """One connection: all bytes of both directions."""

    frontend: bytearray = field(default_factory=bytearray)
    backend: bytearray = field(default_factory=bytearray)
    closed: threading.Event = field(default_factory=threading.Event)

    def startup(self) -> tuple[int, int, int]:
        """The protocol word of the startup message, the offset behind it, and how many requests for encryption came first."""
        offset, encryption_requests = 0, 0
        while len(self.frontend) >= offset + 8:
            length, code = struct.unpack_from("!ii", self.frontend, offset)
            offset += length
            if code not in (SSL_REQUEST, GSSENC_REQUEST):
                return code, offset, encryption_requests
            encryption_requests += 1
        return 0, offset, encryption_requests

    def requests(self) -> memoryview:
        """What the frontend sent after its login."""
        _, offset, _ = self.startup()
        while self.frontend[offset : offset + 1] == b"p":
            offset += 1 + struct.unpack_from("!i", self.frontend, offset + 1)[0]
        return memoryview(self.frontend)[offset:]

    def replies(self) -> memoryview:
        """What the backend sent after its first ReadyForQuery."""
        offset = 0
        for tag, _, end in self._messages():
            offset = end
            if tag == b"Z":
                break
        return memoryview(self.backend)[offset:]

    def login(self) -> list[bytes]:
        """The backend's messages from AuthenticationOk to the first ReadyForQuery; the key data without its key."""
        found: list[bytes] = []
        for tag, start, end in self._messages():
            message = bytes(self.backend[start:end])
            if tag == b"R" and message[5:9] != bytes(4):
                continue
            found.append(message[:9] if tag == b"K" else message)
            if tag == b"Z":
                break
        return found

    @property
    def process_id(self) -> int | None:
        """The backend's, as in its key data; None if no login succeeded here."""
        for tag, start, _ in self._messages():
            if tag == b"K":
                return int(struct.unpack_from("!i", self.backend, start + 5)[0])
            if tag == b"Z":
                break
        return None

    def _messages(self) -> Iterator[tuple[bytes, int, int]]:
        _, _, offset = self.startup()
        while len(self.backend) >= offset + 5:
            end = offset + 1 + struct.unpack_from("!i", self.backend, offset + 1)[0]
            yield bytes(self.backend[offset : offset + 1]), offset, end
            offset = end


class Recorder:
    """Listens on `port` and passes everything on to `target`."""

    def __init__(self, target: int) -> None:
        self.port = Ports.take()
        self.target = target
        self.conversations: list[Conversation] = []
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def by_process_id(self) -> dict[int, Conversation]:
        """The sessions that were recorded."""
        return {
            process_id: conversation
            for conversation in list(self.conversations)
            if (process_id := conversation.process_id) is not None
        }

    def close(self) -> None:
        """Take no more connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target), timeout=10)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for end in (near, far):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conversation = Conversation()
            self.conversations.append(conversation)
            done = threading.Barrier(
                2, action=lambda ends=(near, far), of=conversation: _finish(ends, of)
            )
            for source, sink, kept in (
                (near, far, conversation.frontend),
                (far, near, conversation.backend),
            ):
                threading.Thread(target=_pump, args=(source, sink, kept, done), daemon=True).start()


def _pump(
    source: socket.socket, sink: socket.socket, kept: bytearray, done: threading.Barrier
) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 18):
            kept += data
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
    with suppress(threading.BrokenBarrierError):
        done.wait(60)


def _finish(ends: tuple[socket.socket, socket.socket], conversation: Conversation) -> None:
    for end in ends:
        end.close()
    conversation.closed.set()
