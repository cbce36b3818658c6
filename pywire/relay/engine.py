"""The relay over the Rust engine: its pump, and its commands as things to wait for.

The only importer of pywire._rust.relay. Nothing here decides anything: notes go to the link, the
hold or the handler they are for, in the order they happened.
"""

import errno
import os
import socket
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, cast

import trio

from pywire.config.model import LoginConfig, RelayConfig
from pywire.relay.holding import Hold, Holds
from pywire.relay.link import MessageLink
from pywire.relay.notes import SessionStats
from pywire.relay.port import (
    ClientHandler,
    Link,
    ServerTls,
    SessionHandler,
    SocketAddress,
)
from pywire.session.host import ClientTls, HostTls
from pywire.session.session import Session

if TYPE_CHECKING:
    from pywire._rust.relay import ClientTls as RustClientTls
    from pywire._rust.relay import Engine
    from pywire._rust.relay import ServerTls as RustServerTls

DRAIN_NOTES_MAX = 1024
WORKERS_MAX = 4


def start_connect(address: SocketAddress) -> int:
    """Begin to connect; return the descriptor of a non-blocking socket, now the caller's."""
    kind = socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
    sock = socket.socket(address.family, kind)
    try:
        code = sock.connect_ex(address.address)
        if code not in (0, errno.EINPROGRESS):
            raise OSError(code, errno.errorcode.get(code, str(code)))
        return sock.detach()
    except BaseException:
        sock.close()
        raise


def workers_for(cores: int) -> int:
    """How many workers suit a machine: two cores' worth of backends keep one of them busy.

    More of them cost CPU (fewer events a turn, more wake-ups) and bring no throughput before the
    first is busy: measured by `make bench`.
    """
    return max(1, min(WORKERS_MAX, cores // 2))


def start_relay(relay: RelayConfig, login: LoginConfig) -> "EngineRelay":
    """Start the Rust engine as the configuration says."""
    from pywire._rust.relay import Engine

    engine = Engine(
        workers=relay.workers or workers_for(len(os.sched_getaffinity(0))),
        driver=relay.driver,
        notes_max=relay.notes_max,
        receive_bytes=relay.receive_bytes,
        startup_seconds_max=login.startup_seconds_max,
        startups_max=login.startups_max,
        message_bytes_max=relay.message_bytes_max,
        statements_bytes_max=relay.statements_bytes_max,
        tcp_user_timeout_ms=relay.tcp_user_timeout_ms,
        keepalive_idle_seconds=relay.keepalive_idle_seconds,
    )
    return EngineRelay(engine)


class EngineRelay:
    """The `Relay` of relay/port.py.

    Args:
        engine: the Rust engine, or a stand-in with the same methods.
        open_socket: begins to connect to an address and returns a descriptor.
    """

    def __init__(
        self, engine: "Engine", open_socket: Callable[[SocketAddress], int] = start_connect
    ) -> None:
        self._engine = engine
        self._open_socket = open_socket
        self._links: dict[int, MessageLink] = {}
        self._holds = Holds(engine, self._disown)
        self._clients: ClientHandler | None = None
        self._sessions: SessionHandler | None = None

    # --- the pump ---

    async def run(self, clients: ClientHandler, sessions: SessionHandler) -> None:
        """Pump notes until cancelled; then stop the engine."""
        self._clients, self._sessions = clients, sessions
        engine = self._engine
        table = self._table()
        try:
            while True:
                await trio.lowlevel.wait_readable(engine.event_fd)
                for note in engine.drain(DRAIN_NOTES_MAX):
                    table[type(note).__name__](note)
        finally:
            engine.stop()
            for link in list(self._links.values()):
                link.note_closed("pywire is stopping")

    def _table(self) -> dict[str, Callable[[Any], None]]:
        return {
            "Opened": self._on_opened,
            "CancelRequested": self._on_cancel_requested,
            "Connected": self._on_connected,
            "Messages": self._on_messages,
            "Held": self._on_held,
            "CutOver": self._on_cut_over,
            "Refused": self._on_refused,
            "ParameterChanged": self._on_parameter_changed,
            "Flagged": self._on_flagged,
            "Closed": self._on_closed,
        }

    def _on_opened(self, note: Any) -> None:
        link = MessageLink(self._engine, note.link, note.tls, up=True)
        self._links[note.link] = link
        assert self._clients is not None
        self._clients.on_opened(note, link)

    def _on_cancel_requested(self, note: Any) -> None:
        link = MessageLink(self._engine, note.link, None, up=True)
        self._links[note.link] = link
        assert self._clients is not None
        self._clients.on_cancel_requested(note, link)

    def _on_connected(self, note: Any) -> None:
        link = self._links.get(note.link)
        if link is not None:
            link.note_connected(note.tls)

    def _on_messages(self, note: Any) -> None:
        link = self._links.get(note.link)
        if link is not None:
            link.note_messages(note.data)
            return
        hold = self._holds.injections.get(note.link)
        if hold is not None:
            hold.note_messages(note.data)

    def _on_held(self, note: Any) -> None:
        hold = self._holds.get(note.session)
        if hold is not None:
            hold.note_held(note)

    def _on_cut_over(self, note: Any) -> None:
        hold = self._holds.get(note.session)
        if hold is not None:
            hold.note_cut_over(note.generation)

    def _on_refused(self, note: Any) -> None:
        if note.command == "pair":
            assert self._sessions is not None
            self._sessions.on_pair_refused(note.session, note.reason)
            return
        hold = self._holds.get(note.session)
        if hold is not None:
            hold.note_refused(note.generation, note.command, note.reason)

    def _on_parameter_changed(self, note: Any) -> None:
        assert self._sessions is not None
        self._sessions.on_parameter(note.session, note.name, note.value)

    def _on_flagged(self, note: Any) -> None:
        assert self._sessions is not None
        self._sessions.on_flags(note.session, note.flags)

    def _on_closed(self, note: Any) -> None:
        link = self._links.pop(note.link, None)
        if link is not None:
            link.note_closed(note.reason)
            return
        self._holds.session_closed(note.link, note.reason)
        assert self._sessions is not None
        self._sessions.on_closed(note.link, note.reason)

    @property
    def driver(self) -> str:
        """How the engine's threads wait for sockets: epoll or io_uring."""
        return self._engine.driver

    @property
    def workers(self) -> int:
        """How many threads relay."""
        return self._engine.workers

    # --- commands. The extension is imported late, so that a fake needs none of it. ---

    def listen(self, sock: socket.socket, tls: ServerTls | None = None) -> int:
        """Take over a listening socket."""
        sock.setblocking(False)
        return self._engine.listen(sock.detach(), cast("RustServerTls | None", tls))

    def unlisten(self, listener: int) -> None:
        """Stop listening; links already accepted stay."""
        self._engine.unlisten(listener)

    def set_listener_tls(self, listener: int, tls: ServerTls | None) -> None:
        """Replace a listener's TLS context."""
        self._engine.set_listener_tls(listener, cast("RustServerTls | None", tls))

    def server_tls(
        self,
        certificate_pem: bytes,
        key_pem: bytes,
        client_ca_pem: bytes | None,
        *,
        client_certificate_required: bool,
    ) -> ServerTls:
        """Make a TLS context for a listener."""
        from pywire._rust import relay as rust

        return rust.ServerTls(certificate_pem, key_pem, client_ca_pem, client_certificate_required)

    def client_tls(
        self,
        verify: str,
        ca_pem: bytes | None,
        certificate_pem: bytes | None,
        key_pem: bytes | None,
    ) -> ClientTls:
        """Make a TLS context for dialling hosts."""
        from pywire._rust import relay as rust

        return rust.ClientTls(verify, ca_pem, certificate_pem, key_pem)

    def end_point_hash(self, certificate_pem: bytes) -> bytes:
        """Return the certificate's tls-server-end-point value."""
        from pywire._rust import relay as rust

        return rust.end_point_hash(certificate_pem)

    def dial(
        self, address: SocketAddress, *, near: int | None, tls: HostTls | None, hello: bytes
    ) -> Link:
        """Begin to connect to a host; `hello` is sent once the link is up."""
        number = self._engine.dial(
            self._open_socket(address),
            near=near,
            tls=cast("RustClientTls | None", tls.context if tls else None),
            tls_required=tls.required if tls else False,
            server_name=tls.server_name if tls else "",
            hello=hello,
            direct_tls=tls.direct if tls else False,
        )
        link = MessageLink(self._engine, number, None, up=False)
        self._links[number] = link
        return link

    def pair(self, client: Link, backend: Link, generation: int, hello: bytes) -> None:
        """Begin a session."""
        self._disown(client.id)
        self._disown(backend.id)
        self._engine.pair(client.id, backend.id, generation, hello)

    def holding(
        self, session: Session, *, timeout_seconds: float, requests_only: bool = False
    ) -> AbstractAsyncContextManager[Hold]:
        """Hold a session for as long as the context lasts."""
        return self._holds.holding(
            session, timeout_seconds=timeout_seconds, requests_only=requests_only
        )

    def close(self, link: int, farewell: bytes = b"") -> None:
        """Close a link, or a session with both its connections."""
        self._engine.close(link, farewell)

    def session_stats(self, session: int) -> SessionStats | None:
        """Return a session's counters, or None if it is gone."""
        return self._engine.session_stats(session)

    def totals(self) -> object:
        """Return the engine's counters."""
        return self._engine.totals()

    def _disown(self, link: int) -> None:
        """From here on the link's notes are a session's."""
        self._links.pop(link, None)
