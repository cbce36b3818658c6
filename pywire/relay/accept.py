"""From a client's first message to its session: authenticate, find a host, log in there, pair.

One short-lived task per login, none per session. What the host says when it lets the client in is
passed on verbatim but for the cancel key, and so is what it says when it does not.
"""

import secrets

import trio

from pywire.auth import refusal
from pywire.auth.credentials import TRUST, Credentials
from pywire.auth.policy import LoginPolicy
from pywire.errors import CommandForbidden, HostRejected, LimitExceeded, PywireError
from pywire.events import EventLog, Failed, LoginRefused, SessionClosed, SessionOpened
from pywire.relay.authenticate import Authenticator
from pywire.relay.backend import HostBackend
from pywire.relay.cancel import Canceller
from pywire.relay.connect import Connector
from pywire.relay.link import MessageLink
from pywire.relay.notes import CancelRequested, Opened
from pywire.relay.port import AdminHandler, Link, LinkClosed, Relay, Router, VerifierChanged
from pywire.relay.port import LoginRefused as RefusedByHost
from pywire.relay.quick import QuickLogins
from pywire.session.host import Host
from pywire.session.registry import SessionRegistry
from pywire.session.session import NO_PINS, Session
from pywire.session.startup import Startup
from pywire.wire import messages

LONG_KEY_BYTES = 32
_REPLICATION = frozenset({"replication"})


class ShutDown(PywireError):
    """No new sessions any more."""

    sqlstate = "57P03"
    safe_to_retry = True
    template = "the database system is shutting down"


class Acceptor:
    """Lets clients in, and keeps the registry of those that are; the relay's two handlers.

    Args:
        nursery: where logins run; cancelling it ends them.
        policy: replaced on reload.
        connect_timeout_seconds: how long a host may take.
    """

    def __init__(
        self,
        relay: Relay,
        nursery: trio.Nursery,
        *,
        registry: SessionRegistry,
        router: Router,
        authenticator: Authenticator,
        connector: Connector,
        canceller: Canceller,
        events: EventLog,
        policy: LoginPolicy,
        admin: AdminHandler | None = None,
        connect_timeout_seconds: float = 5.0,
    ) -> None:
        self._relay = relay
        self._nursery = nursery
        self._registry = registry
        self._router = router
        self._authenticator = authenticator
        self._connector = connector
        self._canceller = canceller
        self._events = events
        self._admin = admin
        self._connect_timeout_seconds = connect_timeout_seconds
        self._quick = QuickLogins(
            self, nursery, registry, router, connector, connect_timeout_seconds
        )
        self._logins: dict[int, trio.CancelScope] = {}  # the oldest first
        self.policy = policy
        self.shutting_down = False
        self.log_sessions = False  # set where the log's level is debug: an event costs

    # --- called by the pump ---

    def on_opened(self, note: Opened, link: MessageLink) -> None:
        """A client wants to log in."""
        if self.shutting_down or not self._quick.begin(note, link, self.policy):
            self._nursery.start_soon(self._serve, note, link)

    def go_on(
        self, note: Opened, link: MessageLink, startup: Startup, host: Host, dialled: MessageLink
    ) -> None:
        """Go on with a quick login that turned out not to be one."""
        self._registry.arriving += 1
        self._nursery.start_soon(self._serve, note, link, (startup, host, dialled))

    def on_cancel_requested(self, note: CancelRequested, link: Link) -> None:
        """A client wants a statement of some session cancelled."""
        if self._canceller.is_for_nobody(note):
            link.close()
        else:
            self._nursery.start_soon(self._canceller.serve, note, link)

    def on_parameter(self, session: int, name: bytes, value: bytes) -> None:
        """A session's client has been told of a parameter."""
        found = self._registry.get(session)
        if found is not None:
            found.parameter_changed(name, value)

    def on_flags(self, session: int, flags: int) -> None:
        """A session's client has sent something that may leave state in it."""
        found = self._registry.get(session)
        if found is not None:
            found.flags |= flags

    def on_closed(self, link: int, reason: str) -> None:
        """A link of a session has gone; if it is the client's, so is the session."""
        session = self._registry.close(link)
        if session is None:
            return
        session.credentials.wipe()
        if self.log_sessions:
            self._events.emit(SessionClosed(session=link, host=session.host, reason=reason))

    def on_pair_refused(self, session: int, reason: str) -> None:
        """A link went away before the session began."""
        self.on_closed(session, reason)

    # --- one login ---

    async def _serve(
        self,
        note: Opened,
        link: Link,
        begun: tuple[Startup, Host, Link] | None = None,
    ) -> None:
        """Take one client from its first message to its session, or to the reason why not."""
        user = database = ""
        policy = self.policy
        try:
            with trio.move_on_after(policy.startup_seconds_max) as limit:
                self._make_room(link, limit, policy)
                if begun is not None:
                    startup, host, dialled = begun
                    user, database = startup.user, startup.database
                    await self._finish(note, link, startup, host, dialled)
                    return
                startup = _read_startup(note)
                user, database = startup.user, startup.database
                await self._admit(note, link, startup, policy)
                return
            raise refusal.Refusal("57014", "canceling authentication due to timeout")
        except LinkClosed:
            link.close()
        except RefusedByHost as refused:
            link.close(refused.response)
            self._refused(note, user, database, refused.code, refused.detail)
        except PywireError as error:
            link.close(messages.error_response(_fields(error)))
            reason = f"{error}: {error.__cause__}" if error.__cause__ else str(error)
            self._refused(note, user, database, _code(error), reason)
        except Exception as error:  # one client's trouble must not become everybody's
            failed = PywireError()
            link.close(messages.error_response(failed.response_fields()))
            self._events.emit(Failed(what="login", reason=f"{type(error).__name__}: {error}"))
        finally:
            self._logins.pop(link.id, None)

    def _make_room(self, link: Link, limit: trio.CancelScope, policy: LoginPolicy) -> None:
        """Bound the logins under way: the oldest goes, so strangers cannot keep others out."""
        if len(self._logins) >= policy.startups_max:
            oldest = next(iter(self._logins))
            self._logins.pop(oldest).cancel()
        self._logins[link.id] = limit

    def _refused(self, note: Opened, user: str, database: str, code: str, reason: str) -> None:
        self._events.emit(
            LoginRefused(user=user, database=database, peer=note.peer, sqlstate=code, reason=reason)
        )

    async def _admit(self, note: Opened, link: Link, startup: Startup, policy: LoginPolicy) -> None:
        if self.shutting_down:
            raise ShutDown
        if policy.tls_required and note.tls is None:
            raise refusal.Refusal(
                refusal.INVALID_AUTHORIZATION,
                f'no pg_hba.conf entry for host "{note.peer}", user "{startup.user}", '
                f'database "{startup.database}", no encryption',
                hint="This listener takes TLS connections only.",
            )
        _negotiate(link, startup)
        if startup.database == policy.admin_database:
            await self._admit_to_console(note, link, startup, policy)
            return
        registry, user = self._registry, startup.user
        if policy.sessions_max and registry.places >= policy.sessions_max:
            raise LimitExceeded
        registry.reserve(user)
        opened = False
        credentials: Credentials = TRUST
        try:
            credentials = await self._authenticator.authenticate(note, link, startup, policy)
            if policy.sessions_per_user_max and (
                registry.of_user_count(user) > policy.sessions_per_user_max
            ):
                raise refusal.Refusal("53300", f'too many connections for role "{user}"')
            await self._open(note, link, startup, credentials, policy)
            opened = True
        finally:
            if not opened:
                registry.give_back(user)
                credentials.wipe()

    async def _finish(
        self, note: Opened, link: Link, startup: Startup, host: Host, dialled: Link
    ) -> None:
        """Bring a login to its end that began as a quick one."""
        opened = False
        try:
            backend = await self._log_in(link, startup, TRUST, host, dialled)
            self.begin_session(note, link, startup, host, backend)
            opened = True
        finally:
            if not opened:
                self._registry.give_back(startup.user)

    async def _open(
        self,
        note: Opened,
        link: Link,
        startup: Startup,
        credentials: Credentials,
        policy: LoginPolicy,
    ) -> None:
        """Find a host, log in there as the client, and make the two links a session."""
        registry = self._registry
        host = await self._router.route(startup)
        limit = policy.sessions_per_host_max
        if limit and registry.on_host_count(host.cluster, host.name) >= limit:
            raise LimitExceeded
        registry.arriving += 1
        try:
            backend = await self._log_in(link, startup, credentials, host, None)
        except VerifierChanged:
            raise self._authenticator.password_changed(startup) from None
        self.begin_session(note, link, startup, host, backend, credentials)

    async def _log_in(
        self,
        link: Link,
        startup: Startup,
        credentials: Credentials,
        host: Host,
        dialled: Link | None,
    ) -> HostBackend:
        """Log in to the host; a change of primary waits for those who are `arriving` there."""
        try:
            return await self._connector.connect(
                host,
                startup.host_body(),
                credentials,
                user=startup.user,
                timeout_seconds=self._connect_timeout_seconds,
                protocol=min(startup.protocol, messages.PROTOCOL_3_2),
                near=link.id,
                link=dialled,
            )
        finally:
            self._registry.arriving -= 1

    def begin_session(
        self,
        note: Opened,
        link: Link,
        startup: Startup,
        host: Host,
        backend: HostBackend,
        credentials: Credentials = TRUST,
    ) -> None:
        """Make two links a session."""
        registry = self._registry
        long_key = startup.protocol >= messages.PROTOCOL_3_2
        key = secrets.token_bytes(LONG_KEY_BYTES if long_key else 4)
        greeting = backend.greeting
        session = Session(
            link.id,
            startup=startup,
            credentials=credentials,
            cluster=host.cluster,
            host=host.name,
            backend=backend.link.id,
            process_id=backend.process_id,
            backend_key=backend.key,
            cancel_key=key,
            reported=registry.shared_report(greeting.reported),
            peer=note.peer,
            opened_at=trio.current_time(),
            pins=_REPLICATION if startup.replication else NO_PINS,
        )
        registry.open(session)
        self._relay.pair(link, backend.link, session.generation, greeting.with_key(key))
        if self.log_sessions:
            self._events.emit(
                SessionOpened(
                    session=link.id,
                    user=startup.user,
                    database=startup.database,
                    host=host.name,
                    peer=note.peer,
                    tls=note.tls is not None,
                )
            )

    async def _admit_to_console(
        self, note: Opened, link: Link, startup: Startup, policy: LoginPolicy
    ) -> None:
        """Authenticate as for any database; the limits on sessions do not lock operators out."""
        credentials = await self._authenticator.authenticate(note, link, startup, policy)
        credentials.wipe()
        if self._admin is None or startup.user not in policy.admin_users:
            raise CommandForbidden(user=startup.user)
        self._nursery.start_soon(self._console, link, startup)

    async def _console(self, link: Link, startup: Startup) -> None:
        """Serve the console in a task of its own: the time limit for logins is over."""
        assert self._admin is not None
        try:
            await self._admin.serve(link, startup)
        except LinkClosed:
            pass
        finally:
            link.close()


def _read_startup(note: Opened) -> Startup:
    if note.protocol >> 16 != messages.PROTOCOL_MAJOR:
        major, minor = note.protocol >> 16, note.protocol & 0xFFFF
        raise refusal.Refusal(
            refusal.FEATURE_NOT_SUPPORTED,
            f"unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2",
        )
    try:
        startup = Startup(note.protocol, note.startup)
    except ValueError as error:
        raise refusal.Refusal(refusal.PROTOCOL_VIOLATION, str(error)) from None
    if not startup.user:
        raise refusal.Refusal(
            refusal.INVALID_AUTHORIZATION,
            "no PostgreSQL user name specified in startup packet",
        )
    return startup


def _negotiate(link: Link, startup: Startup) -> None:
    """Tell a client of a newer protocol what is spoken here."""
    unknown = startup.protocol_options
    if startup.protocol > messages.PROTOCOL_3_2 or unknown:
        newest = min(startup.protocol, messages.PROTOCOL_3_2)
        link.send(messages.negotiate_protocol_version(newest, unknown))


def _fields(error: PywireError) -> list[tuple[str, str]]:
    """What a client is told; that a host rejected *pywire* is a failed login to the client."""
    fields = error.response_fields()
    if isinstance(error, HostRejected):
        return [(key, "28000" if key == "C" else value) for key, value in fields]
    return fields


def _code(error: PywireError) -> str:
    return error.code if isinstance(error, refusal.Refusal) else error.sqlstate
