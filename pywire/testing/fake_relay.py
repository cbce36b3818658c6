"""An engine without threads or sockets, with the methods and notes of the Rust one.

`EngineRelay(FakeEngine(), engine.open_socket)` is a real relay over it: commands take effect at
once, notes come in the order things happened, and time can be trio's MockClock. It keeps one
honest simplification: a session is quiescent when its FakePostgres owes no answer.
"""

import os
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from pywire.relay.engine import EngineRelay
from pywire.relay.port import SocketAddress
from pywire.testing.fake_postgres import FakeBackend, FakePostgres
from pywire.wire import messages


@dataclass(frozen=True)
class TlsInfo:
    """What TLS agreed on, were there any."""

    version: str = "TLSv1.3"
    cipher: str = "TLS_AES_256_GCM_SHA384"
    alpn: str | None = None
    server_name: str | None = None
    client_common_name: str | None = None
    client_subject: str | None = None


@dataclass(frozen=True)
class Opened:  # noqa: D101 - the notes are described in the extension's stub
    link: int
    listener: int
    peer: str
    protocol: int
    startup: bytes
    tls: TlsInfo | None


@dataclass(frozen=True)
class CancelRequested:  # noqa: D101
    link: int
    process_id: int
    key: bytes
    peer: str


@dataclass(frozen=True)
class Connected:  # noqa: D101
    link: int
    tls: TlsInfo | None


@dataclass(frozen=True)
class Messages:  # noqa: D101
    link: int
    data: bytes


@dataclass(frozen=True)
class Held:  # noqa: D101
    session: int
    generation: int
    status: int
    quiescent: bool
    requests: int
    flags: int
    statements: list[bytes]
    unnamed: bytes | None


@dataclass(frozen=True)
class CutOver:  # noqa: D101
    session: int
    generation: int


@dataclass(frozen=True)
class Refused:  # noqa: D101
    session: int
    generation: int
    command: str
    reason: str


@dataclass(frozen=True)
class ParameterChanged:  # noqa: D101
    session: int
    name: bytes
    value: bytes


@dataclass(frozen=True)
class Flagged:  # noqa: D101
    session: int
    flags: int


@dataclass(frozen=True)
class Closed:  # noqa: D101
    link: int
    reason: str


@dataclass(frozen=True)
class SessionStats:  # noqa: D101
    client_bytes_in: int
    client_bytes_out: int
    status: int
    quiescent: bool
    held: bool
    requests: int
    backend: int


class FakeClient:
    """A client of the fake engine: what a test sends as it, and what it has been sent."""

    def __init__(self, engine: "FakeEngine", link: int) -> None:
        self.engine = engine
        self.link = link
        self.received = b""
        self.closed = False
        self.asked = False
        self.early = b""

    def send(self, data: bytes) -> None:
        """Send whole messages."""
        self.engine.client_sent(self.link, data)

    def take(self) -> list[tuple[int, bytes]]:
        """Return the messages received since the last call."""
        data, self.received = self.received, b""
        return messages.split(data)

    def hang_up(self) -> None:
        """Close the client's end."""
        self.engine.lose(self.link, "the client has closed")


@dataclass
class _Backend:
    """A dialled link."""

    connection: FakeBackend
    session: "_Session | None" = None


@dataclass
class _Session:
    client: FakeClient
    backend: int
    generation: int
    wanted: str = ""
    held: bool = False
    waiting: bytes = b""
    own_replies: bool = False
    flags: int = 0
    statements: list[bytes] = field(default_factory=list)


class FakeEngine:
    """Stands in for pywire._rust.relay.Engine.

    Attributes:
        hosts: who listens where; an address nobody listens on refuses the connection.
        commands: every command on sessions, as (name, session, generation), for tests to look at.
    """

    driver = "fake"
    workers = 1

    def __init__(self) -> None:
        self.event_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self.hosts: dict[object, FakePostgres] = {}
        self.commands: list[tuple[str, int, int]] = []
        self.sessions: dict[int, _Session] = {}
        self._notes: deque[object] = deque()
        self._clients: dict[int, FakeClient] = {}
        self._backends: dict[int, _Backend] = {}
        self._sockets: dict[int, SocketAddress] = {}
        self._number = 0
        self.stopped = False

    def relay(self) -> EngineRelay:
        """A relay over this engine."""
        return EngineRelay(self, self.open_socket)  # type: ignore[arg-type]

    def open_socket(self, address: SocketAddress) -> int:
        """Stand in for a socket whose connect was begun."""
        self._number += 1
        self._sockets[self._number] = address
        return self._number

    def _note(self, note: object) -> None:
        self._notes.append(note)
        os.eventfd_write(self.event_fd, 1)

    # --- what a test does ---

    def listen_at(self, host: str, port: int, postgres: FakePostgres) -> FakePostgres:
        """Put a host somewhere."""
        self.hosts[(host, port)] = postgres
        return postgres

    def client(
        self,
        *,
        protocol: int = messages.PROTOCOL_3_0,
        peer: str = "127.0.0.1:40000",
        tls: TlsInfo | None = None,
        body: bytes | None = None,
        **parameters: str,
    ) -> FakeClient:
        """Connect a client that has sent its StartupMessage."""
        self._number += 1
        client = self._clients[self._number] = FakeClient(self, self._number)
        startup = messages.startup_body(parameters) if body is None else body
        self._note(Opened(client.link, 1, peer, protocol, startup, tls))
        return client

    def cancel(self, process_id: int, key: bytes, peer: str = "127.0.0.1:40001") -> FakeClient:
        """Connect a client that has sent a CancelRequest."""
        self._number += 1
        client = self._clients[self._number] = FakeClient(self, self._number)
        self._note(CancelRequested(client.link, process_id, key, peer))
        return client

    def client_sent(self, link: int, data: bytes) -> None:
        """Bytes of a client have come."""
        session = self.sessions.get(link)
        if session is None and not self._clients[link].asked:
            self._clients[link].early += data
        elif session is None:
            self._note(Messages(link, data))
        elif session.held or (session.wanted == "hold" and not self._running(session)):
            session.waiting += data
        else:
            self._backends[session.backend].connection.receive(data)
            self._check_hold(link, session)

    def lose(self, link: int, reason: str) -> None:
        """A connection breaks."""
        client = self._clients.pop(link, None)
        if client is not None:
            client.closed = True
        backend = self._backends.pop(link, None)
        session = self.sessions.pop(link, None) or (backend.session if backend else None)
        if client is None and backend is None:
            return
        self._note(Closed(link, reason))
        if session is not None:
            self.sessions.pop(session.client.link, None)
            self.lose(session.client.link, reason)
            self.lose(session.backend, reason)

    def flag(self, session: int, flags: int) -> None:
        """A session's client has said something that may leave state."""
        self.sessions[session].flags |= flags
        self._note(Flagged(session, flags))

    # --- commands ---

    def listen(self, fd: int, tls: object = None) -> int:
        """Pretend to listen."""
        os.close(fd)
        return 1

    def unlisten(self, listener: int) -> None:
        """Pretend to stop listening."""

    def set_listener_tls(self, listener: int, tls: object = None) -> None:
        """Pretend to change a listener's certificate."""

    def dial(self, fd: int, *, hello: bytes = b"", **_options: object) -> int:
        """Connect to the host at the address `open_socket` was given."""
        address = self._sockets.pop(fd).address
        self._number += 1
        link = self._number
        host = self.hosts.get(address if isinstance(address, str) else address[:2])
        if host is None or host.down:
            self._note(Closed(link, "Connection refused"))
            return link

        def write(data: bytes) -> None:
            self._backend_sent(link, data)

        def close() -> None:
            self.lose(link, "the host has closed")

        backend = self._backends[link] = _Backend(host.connect(write, close))
        self._note(Connected(link, None))
        backend.connection.receive(hello)
        return link

    def send(self, link: int, data: bytes) -> None:
        """Send to a link in message mode."""
        if link in self._clients:
            client = self._clients[link]
            client.received += data
            early, client.asked, client.early = client.early, True, b""
            if early:
                self._note(Messages(link, early))
        elif link in self._backends:
            self._backends[link].connection.receive(data)

    def pair(self, client: int, backend: int, generation: int, hello: bytes) -> None:
        """Make two links a session."""
        self.commands.append(("pair", client, generation))
        if client not in self._clients or backend not in self._backends:
            self.close(client)
            self.close(backend)
            self._note(Refused(client, generation, "pair", "a link has gone"))
            return
        session = _Session(self._clients[client], backend, generation)
        self.sessions[client] = self._backends[backend].session = session
        session.client.received += hello
        if session.client.early:
            self.client_sent(client, session.client.early)

    def hold(self, session: int, generation: int) -> None:
        """Stop a client outside a transaction."""
        self._hold("hold", session, generation)

    def hold_requests(self, session: int, generation: int) -> None:
        """Stop a client at the next request boundary."""
        self._hold("hold_requests", session, generation)

    def release(self, session: int, generation: int) -> None:
        """Let a client go on."""
        found = self._find("release", session, generation)
        if found is None:
            return
        if not found.wanted:
            self._note(Refused(session, generation, "release", "the session is not held"))
            return
        self._go_on(found)

    def inject(self, session: int, generation: int, data: bytes) -> None:
        """Send our own messages to a session's backend."""
        found = self._find("inject", session, generation)
        if found is None:
            return
        if not found.held or self._running(found):
            reason = "the session is not held and quiescent"
            self._note(Refused(session, generation, "inject", reason))
            return
        found.own_replies = True
        self._backends[found.backend].connection.receive(data)
        found.own_replies = False

    def cut_over(self, session: int, generation: int, backend: int, hello: bytes) -> None:
        """Exchange a session's backend."""
        found = self._find("cut_over", session, generation)
        if found is None:
            return
        if not found.held or self._running(found) or backend not in self._backends:
            self._note(
                Refused(session, generation, "cut_over", "not held, or the backend has gone")
            )
            return
        old, found.backend = found.backend, backend
        self._backends[old].session = None
        self._backends[backend].session = found
        self._backends[old].connection.receive(messages.TERMINATE)
        found.client.received += hello
        self._note(CutOver(session, generation))
        self._go_on(found)

    def close(self, link: int, farewell: bytes = b"") -> None:
        """Close a link, or a session."""
        if farewell:
            self.send(link, farewell)
        self.lose(link, "closed by pywire")

    def session_stats(self, session: int) -> SessionStats | None:
        """Look at a session."""
        found = self.sessions.get(session)
        if found is None:
            return None
        connection = self._backends[found.backend].connection
        status = ord(connection.status)
        quiescent = not connection.running
        return SessionStats(0, 0, status, quiescent, found.held, connection.requests, found.backend)

    def totals(self) -> tuple[int, int]:
        """Links and sessions."""
        return len(self._clients) + len(self._backends), len(self.sessions)

    def drain(self, limit: int) -> list[Any]:
        """Return the notes."""
        taken = [self._notes.popleft() for _ in range(min(limit, len(self._notes)))]
        if not self._notes:
            with suppress(BlockingIOError):
                os.eventfd_read(self.event_fd)
        return taken

    def stop(self) -> None:
        """Stop; descriptors go with it."""
        if not self.stopped:
            self.stopped = True
            os.close(self.event_fd)

    # --- inside ---

    def _running(self, session: _Session) -> bool:
        return self._backends[session.backend].connection.running

    def _find(self, command: str, session: int, generation: int) -> _Session | None:
        self.commands.append((command, session, generation))
        found = self.sessions.get(session)
        if found is None:
            self._note(Refused(session, generation, command, "there is no such session"))
        elif found.generation != generation:
            self._note(Refused(session, generation, command, "the generation is stale"))
        else:
            return found
        return None

    def _hold(self, command: str, session: int, generation: int) -> None:
        self.commands.append((command, session, generation))
        found = self.sessions.get(session)
        if found is None or generation <= found.generation or found.wanted:
            reason = "there is no such session, or it is held, or the generation is stale"
            self._note(Refused(session, generation, "hold", reason))
            return
        found.generation = generation
        found.wanted = command
        self._check_hold(session, found)

    def _check_hold(self, link: int, session: _Session) -> None:
        if not session.wanted or session.held:
            return
        connection = self._backends[session.backend].connection
        idle = not connection.running and connection.status == "I"
        if session.wanted == "hold" and not idle:
            return
        session.held = True
        self._note(
            Held(
                link,
                session.generation,
                ord(connection.status),
                not connection.running,
                connection.requests,
                session.flags,
                list(session.statements),
                None,
            )
        )

    def _go_on(self, session: _Session) -> None:
        session.wanted, session.held = "", False
        waiting, session.waiting = session.waiting, b""
        if waiting:
            self.client_sent(session.client.link, waiting)

    def _backend_sent(self, link: int, data: bytes) -> None:
        backend = self._backends.get(link)
        if backend is None:
            return
        session = backend.session
        if session is None or session.own_replies:
            self._note(Messages(link, data))
            return
        session.client.received += data
        for tag, body in messages.split(data):
            if tag == ord("S"):
                name, value, _ = body.split(b"\0")
                self._note(ParameterChanged(session.client.link, name, value))
        self._check_hold(session.client.link, session)
