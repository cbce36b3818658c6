"""A host that costs nothing: `python -m benches.stub PORT HOST_PORT`.

Logs the user `idle` in with the parameters of a real server and then only waits; every other
user's connection is passed on to the real server at HOST_PORT, so that pywire's own questions get
real answers.
"""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import sys

IDLE_USER = b"idle"
PARAMETERS = {
    "application_name": "bench",
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "default_transaction_read_only": "off",
    "in_hot_standby": "off",
    "integer_datetimes": "on",
    "IntervalStyle": "postgres",
    "is_superuser": "off",
    "server_encoding": "UTF8",
    "server_version": "15.8",
    "session_authorization": "idle",
    "standard_conforming_strings": "on",
    "TimeZone": "Etc/UTC",
}


def message(tag: bytes, body: bytes) -> bytes:
    return tag + struct.pack("!i", len(body) + 4) + body


def welcome(process_id: int) -> bytes:
    """What a server says after a login."""
    return b"".join(
        [
            message(b"R", b"\0\0\0\0"),
            *(message(b"S", f"{n}\0{v}\0".encode()) for n, v in PARAMETERS.items()),
            message(b"K", struct.pack("!ii", process_id, 42)),
            message(b"Z", b"I"),
        ]
    )


class Stub:
    """One epoll loop over everybody."""

    def __init__(self, port: int, host_port: int) -> None:
        self.listener = socket.create_server(("127.0.0.1", port), backlog=4096)
        self.host_port = host_port
        self.epoll = select.epoll()
        self.sockets: dict[int, socket.socket] = {}
        self.others: dict[int, socket.socket] = {}
        self.fresh: set[int] = set()

    def run(self) -> None:
        self.epoll.register(self.listener, select.EPOLLIN)
        while True:
            for fd, _ in self.epoll.poll():
                if fd == self.listener.fileno():
                    self.add(self.listener.accept()[0], fresh=True)
                elif fd in self.sockets:
                    self.on_data(fd)

    def add(self, peer: socket.socket, fresh: bool = False) -> None:
        self.sockets[peer.fileno()] = peer
        if fresh:
            self.fresh.add(peer.fileno())
        self.epoll.register(peer, select.EPOLLIN)

    def on_data(self, fd: int) -> None:
        peer = self.sockets[fd]
        try:
            data = peer.recv(65536)
        except ConnectionError:
            data = b""
        other = self.others.get(fd)
        if not data:
            self.remove(fd)
            if other is not None:
                self.remove(other.fileno())
        elif fd in self.fresh:
            self.fresh.discard(fd)
            self.on_startup(peer, data)
        elif other is not None:
            other.sendall(data)

    def on_startup(self, peer: socket.socket, data: bytes) -> None:
        words = data[8:].split(b"\0")
        if dict(zip(words[::2], words[1::2], strict=False)).get(b"user") == IDLE_USER:
            peer.sendall(welcome(peer.fileno()))
            return
        host = socket.create_connection(("127.0.0.1", self.host_port))
        host.sendall(data)
        self.add(host)
        self.others[host.fileno()], self.others[peer.fileno()] = peer, host

    def remove(self, fd: int) -> None:
        self.others.pop(fd, None)
        peer = self.sockets.pop(fd, None)
        if peer is not None:
            with contextlib.suppress(OSError):
                self.epoll.unregister(fd)
            peer.close()


if __name__ == "__main__":
    Stub(int(sys.argv[1]), int(sys.argv[2])).run()
