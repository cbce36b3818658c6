"""What the rest of pywire may expect of the relay, as Protocols, so that a fake can stand in for it.

Only types and tiny values live here. This module never imports the engine.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

from pywire.errors import HostError, HostRejected
from pywire.relay.notes import CancelRequested, Held, Opened, SessionStats, TlsInfo
from pywire.wire.messages import read_fields

if TYPE_CHECKING:
    import socket
    from contextlib import AbstractAsyncContextManager

    from pywire.relay.link import MessageLink
    from pywire.session.host import ClientTls, Host, HostTls
    from pywire.session.session import Session
    from pywire.session.startup import Startup


class LinkClosed(Exception):
    """The connection is gone; `reason` says why, as the engine put it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CommandRefused(Exception):
    """The engine did not carry out a command: it was stale, or the session was not in the right state."""

    def __init__(self, command: str, reason: str) -> None:
        super().__init__(f"{command}: {reason}")
        self.command = command
        self.reason = reason


class LoginRefused(HostRejected):
    """A host answered a login with an error; `response` is its ErrorResponse, verbatim."""

    def __init__(self, host: str, response: bytes) -> None:
        fields = read_fields(response[5:])
        self.response = response
        self.code = fields.get("C", "XX000")
        super().__init__(fields.get("M", ""), host=host)


class VerifierChanged(HostRejected):
    """A host has another password verifier than the one the client logged in with."""

    def __init__(self, host: str) -> None:
        super().__init__(
            "its password verifier is not the one the client logged in with",
            hint="A client that logs in again, with the password now in force, can be moved again.",
            host=host,
        )


class StatementFailed(HostError):
    """A host answered one of our own statements with an error.

    `response` is the ErrorResponse, verbatim; `code` the SQLSTATE in it.
    """

    template = 'host "{host}" refused a statement'

    def __init__(self, host: str, response: bytes) -> None:
        fields = read_fields(response[5:])
        self.response = response
        self.code = fields.get("C", "XX000")
        super().__init__(fields.get("M", ""), host=host)


class ServerTls(Protocol):
    """A listener's TLS context; opaque, made by Relay.server_tls."""


class SocketAddress(NamedTuple):
    """A resolved address: what `socket.socket` and its `connect` take."""

    family: int
    address: tuple[str, int] | tuple[str, int, int, int] | str


class Link(Protocol):
    """A connection in message mode: a client logging in, or a backend that serves pywire itself."""

    id: int
    tls: TlsInfo | None

    def send(self, data: bytes) -> None:
        """Queue bytes for the peer; never waits."""

    async def receive(self) -> bytes:
        """Return the next whole messages, one or more; raises LinkClosed."""

    async def connected(self) -> None:
        """Wait until a dialled link is up, TLS included; raises LinkClosed."""

    def is_up(self) -> bool:
        """Whether the connection was ever established."""

    async def closed(self) -> str:
        """Wait until the link is gone and return the reason."""

    def close(self, farewell: bytes = b"") -> None:
        """Send a last message, then close; may be called more than once."""


class SessionHandler(Protocol):
    """Told about sessions; called from the pump, so it must be quick and never raise."""

    def on_parameter(self, session: int, name: bytes, value: bytes) -> None:
        """The client has been sent a ParameterStatus."""

    def on_flags(self, session: int, flags: int) -> None:
        """The client has sent something that may leave state in its session."""

    def on_closed(self, link: int, reason: str) -> None:
        """A link that belonged to a session has gone; if it is a client's, the session is over."""

    def on_pair_refused(self, session: int, reason: str) -> None:
        """A link went away before the session began; what is left of both has been closed."""


class ClientHandler(Protocol):
    """Told about new clients; called from the pump, so it must be quick and never raise."""

    def on_opened(self, note: Opened, link: MessageLink) -> None:
        """A client wants to log in."""

    def on_cancel_requested(self, note: CancelRequested, link: Link) -> None:
        """A client wants a statement of some session cancelled."""


class HeldSession(Protocol):
    """A session whose client is stopped at a request boundary. Leaving the context sets it going again."""

    @property
    def note(self) -> Held:
        """What the session looked like when it was stopped."""

    async def request(self, frames: bytes, *, ready: int = 1) -> list[tuple[int, bytes]]:
        """Send our own messages to its backend; return (tag, body) of the replies up to the n-th ReadyForQuery.

        Only while the session is quiescent. Replies to pywire never reach the client.

        Raises:
            CommandRefused: the session is not quiescent, or the hold is stale.
            LinkClosed: the session ended.
        """

    async def query(self, sql: str) -> list[Result]:
        """Run SQL on its backend by the simple protocol; raises StatementFailed as well."""

    async def cut_over(self, backend: Backend, hello: bytes = b"") -> None:
        """Give the session this backend; `hello` goes to its client first. It is released by that.

        The old backend is sent Terminate. The caller updates the Session and the registry. `backend` must not be
        used or closed afterwards: it belongs to the relay.
        """


class Relay(Protocol):
    """The engine as seen from trio. Only its pump receives notes; everything else only sends commands."""

    async def run(self, clients: ClientHandler, sessions: SessionHandler) -> None:
        """Pump notes until cancelled; then stop the engine."""

    def listen(self, sock: socket.socket, tls: ServerTls | None = None) -> int:
        """Take over a listening socket."""

    def unlisten(self, listener: int) -> None:
        """Stop listening; links already accepted stay."""

    def server_tls(
        self,
        certificate_pem: bytes,
        key_pem: bytes,
        client_ca_pem: bytes | None,
        *,
        client_certificate_required: bool,
    ) -> ServerTls:
        """Make a TLS context for a listener; raises ValueError for files that do not fit."""

    def set_listener_tls(self, listener: int, tls: ServerTls | None) -> None:
        """Replace a listener's TLS context; links already accepted keep theirs."""

    def client_tls(
        self,
        verify: str,
        ca_pem: bytes | None,
        certificate_pem: bytes | None,
        key_pem: bytes | None,
    ) -> ClientTls:
        """Make a TLS context for dialling hosts; `verify` is none, ca or full."""

    def end_point_hash(self, certificate_pem: bytes) -> bytes:
        """Return the certificate's tls-server-end-point value (RFC 5929)."""

    def dial(
        self, address: SocketAddress, *, near: int | None, tls: HostTls | None, hello: bytes
    ) -> Link:
        """Begin to connect to a host; `hello` is sent once the link is up.

        Raises:
            OSError: the connection could not even be begun.
        """

    def pair(self, client: Link, backend: Link, generation: int, hello: bytes) -> None:
        """Begin a session: `hello` goes to the client, then bytes pass both ways. Its id is the client link's."""

    def holding(
        self, session: Session, *, timeout_seconds: float, requests_only: bool = False
    ) -> AbstractAsyncContextManager[HeldSession]:
        """Hold a session for as long as the context lasts: `async with relay.holding(session, …) as held`.

        Args:
            session: its generation is raised by this.
            timeout_seconds: how long to wait for the boundary.
            requests_only: stop at the next request boundary, whatever the transaction status or outstanding replies
                (for cancel requests); otherwise only quiescent and outside a transaction block.

        Raises:
            trio.TooSlowError: no boundary came in time; the session goes on as if nothing had been asked.
            CommandRefused: the session is not in a state to be held.
            LinkClosed: the session ended.
        """

    def close(self, link: int, farewell: bytes = b"") -> None:
        """Close a link, or a session with both its connections."""

    def session_stats(self, session: int) -> SessionStats | None:
        """Return a session's counters, or None if it is gone."""

    def totals(self) -> object:
        """Return the engine's counters."""


@dataclass(frozen=True, slots=True)
class Result:
    """The outcome of one statement by the simple protocol; every value is text or None."""

    columns: tuple[str, ...]
    rows: list[tuple[str | None, ...]]
    tag: str

    def scalar(self) -> str | None:
        """Return the first column of the first row; None if there is no row."""
        return self.rows[0][0] if self.rows else None


class Backend(Protocol):
    """A backend link that is ReadyForQuery and serves pywire itself, until it is given to a session.

    `hello` is what the host sent from AuthenticationOk up to ReadyForQuery, verbatim; `reported` the ParameterStatus
    messages in it.
    """

    host: Host
    link: Link
    process_id: int
    key: bytes

    @property
    def hello(self) -> bytes:
        """What the host sent when it let us in."""

    @property
    def reported(self) -> bytes:
        """The ParameterStatus messages in it."""

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters the host reported at login."""

    async def query(self, sql: str) -> list[Result]:
        """Run SQL by the simple protocol; raises StatementFailed, or LinkClosed."""

    async def request(self, frames: bytes, *, ready: int = 1) -> list[tuple[int, bytes]]:
        """Send messages; return (tag, body) of the replies up to the n-th ReadyForQuery."""

    def close(self) -> None:
        """Say Terminate and close."""


class Router(Protocol):
    """Says which host a new session goes to."""

    async def route(self, startup: Startup) -> Host:
        """Return the host for a login, waiting while its cluster is paused.

        Raises:
            NoPrimary: there is none, and waiting longer makes no sense.
        """

    def route_now(self, startup: Startup) -> Host | None:
        """Return the host for a login if nothing has to be waited for."""


class Directory(Protocol):
    """Knows every host, and who looks up verifiers there."""

    def host(self, cluster: str, name: str) -> Host | None:
        """Return a host by name; a session's cancel request is sent there."""

    async def verifier_host(self, startup: Startup) -> Host:
        """Return a host where the verifier for a login may be read: any that answers, standbys included."""

    async def service(self, cluster: str, host: str) -> Backend:
        """Log in as the cluster's service user; raises HostUnreachable or HostRejected."""


class AdminHandler(Protocol):
    """The admin console."""

    async def serve(self, link: Link, startup: Startup) -> None:
        """Serve a client that has proved who it is.

        Nothing has been sent since its authentication: AuthenticationOk … ReadyForQuery are this
        method's to send. Returns when the client is gone; the link is closed afterwards.
        """
