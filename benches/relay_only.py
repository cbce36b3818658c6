"""The data plane alone: `python -m benches.relay_only PORT HOST [DRIVER] [WORKERS]`.

A proxy in forty lines: pywire's engine with a login that passes everything on. What it costs less
than `pywire run` is the control plane's share. HOST is a port on the loopback, or the path of a
Unix socket.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import struct
import sys

from pywire._rust import relay

READY_FOR_QUERY = b"Z\0\0\0\x05I"


def listening(port: int) -> int:
    listener = socket.create_server(("127.0.0.1", port), backlog=4096)
    listener.setblocking(False)
    return listener.detach()


def dialled(host: str) -> int:
    """A socket whose connect has been started."""
    if host.startswith("/"):
        backend, address = socket.socket(socket.AF_UNIX), host
    else:
        backend, address = socket.socket(), ("127.0.0.1", int(host))
    backend.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        backend.connect(address)
    return backend.detach()


class Proxy:
    """Pairs every client with a backend of its own, once that has answered ReadyForQuery."""

    def __init__(self, engine: relay.Engine, host: str) -> None:
        self.engine = engine
        self.host = host
        self.client_of: dict[int, int] = {}
        self.backend_of: dict[int, int] = {}
        self.answers: dict[int, bytes] = {}

    def on_note(self, note: object) -> None:
        match note:
            case relay.Opened(link, _, _, protocol, startup):
                hello = struct.pack("!II", len(startup) + 8, protocol) + startup
                backend = self.engine.dial(dialled(self.host), near=link, hello=hello)
                self.client_of[backend], self.backend_of[link] = link, backend
                self.answers[backend] = b""
            case relay.Messages(link, data) if link in self.answers:
                self.answers[link] += data
                if self.answers[link].endswith(READY_FOR_QUERY):
                    client = self.client_of.pop(link)
                    self.engine.pair(client, link, 1, self.answers.pop(link))
                    del self.backend_of[client]
            case relay.Closed(link, _):
                other = self.client_of.pop(link, None) or self.backend_of.pop(link, None)
                self.answers.pop(link, None)
                if other is not None:
                    self.engine.close(other)
            case relay.CancelRequested(link):
                self.engine.close(link)


def main(port: int, host: str, driver: str = "auto", workers: int = 0) -> int:
    engine = relay.Engine(workers=workers or len(os.sched_getaffinity(0)), driver=driver)
    engine.listen(listening(port))
    proxy = Proxy(engine, host)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    waiting = select.poll()
    waiting.register(engine.event_fd, select.POLLIN)
    while True:
        waiting.poll()
        for note in engine.drain(1024):
            proxy.on_note(note)


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], *sys.argv[3:4], *map(int, sys.argv[4:5])))
