"""The login that needs nothing but the host's yes: two calls from the pump, and no task.

A trusted client of a cluster that takes logins now, as in a benchmark of connections or behind an
application that connects per request. Whatever turns out otherwise (the host asks for a password,
refuses, answers in pieces, or not at all) goes on in the acceptor's task as any login does; so
nothing is decided here that is not decided there too.
"""

from collections import deque
from typing import Protocol

import trio

from pywire.auth.policy import LoginPolicy, is_loopback
from pywire.relay.backend import HostBackend
from pywire.relay.connect import Connector
from pywire.relay.hello import Hello
from pywire.relay.link import MessageLink
from pywire.relay.notes import Opened
from pywire.relay.port import Router
from pywire.session.host import Host
from pywire.session.registry import SessionRegistry
from pywire.session.startup import Startup
from pywire.wire import messages

TICK_SECONDS = 0.5


class Desk(Protocol):
    """What the acceptor does for quick logins."""

    def begin_session(
        self, note: Opened, link: MessageLink, startup: Startup, host: Host, backend: HostBackend
    ) -> None:
        """Make two links a session."""

    def go_on(
        self, note: Opened, link: MessageLink, startup: Startup, host: Host, dialled: MessageLink
    ) -> None:
        """Go on with a login in a task; its place is reserved, its host is chosen and dialled."""


class QuickLogins:
    """Tries logins.

    Args:
        desk: does what comes after.
        seconds_max: how long a host may take.
    """

    def __init__(
        self,
        desk: Desk,
        nursery: trio.Nursery,
        registry: SessionRegistry,
        router: Router,
        connector: Connector,
        seconds_max: float,
    ) -> None:
        self.desk = desk
        self.registry = registry
        self._nursery = nursery
        self._router = router
        self._connector = connector
        self._seconds_max = seconds_max
        self._open: deque[_Attempt] = deque()
        self._watching = False

    def begin(self, note: Opened, link: MessageLink, policy: LoginPolicy) -> bool:
        """Begin a login if it may be a quick one."""
        if policy.auth != "trust" or not (policy.trust_anywhere or is_loopback(note.peer)):
            return False
        if policy.tls_required and note.tls is None:
            return False
        if not messages.PROTOCOL_3_0 <= note.protocol <= messages.PROTOCOL_3_2:
            return False
        try:
            startup = Startup(note.protocol, note.startup)
        except ValueError:
            return False
        if not startup.user or startup.database == policy.admin_database:
            return False
        if startup.protocol_options or self._is_full(startup.user, policy):
            return False
        host = self._router.route_now(startup)
        if host is None or self._is_host_full(host, policy):
            return False
        hello = messages.startup_message(startup.protocol, startup.body)
        dialled = self._connector.dial_now(host, hello, link.id)
        if not isinstance(dialled, MessageLink):
            return False
        self.registry.reserve(startup.user)
        self.registry.arriving += 1
        attempt = _Attempt(self, note, link, dialled, startup, host)
        link.watcher = dialled.watcher = attempt
        self._watch(attempt)
        return True

    def _is_full(self, user: str, policy: LoginPolicy) -> bool:
        registry = self.registry
        if policy.sessions_max and registry.places >= policy.sessions_max:
            return True
        limit = policy.sessions_per_user_max
        return bool(limit) and registry.of_user_count(user) >= limit

    def _is_host_full(self, host: Host, policy: LoginPolicy) -> bool:
        limit = policy.sessions_per_host_max
        return bool(limit) and self.registry.on_host_count(host.cluster, host.name) >= limit

    def _watch(self, attempt: "_Attempt") -> None:
        """Keep a time limit on attempts; one task for all of them, and only while there are any."""
        attempt.deadline = trio.current_time() + self._seconds_max
        self._open.append(attempt)
        if not self._watching:
            self._watching = True
            self._nursery.start_soon(self._give_up_late_ones)

    async def _give_up_late_ones(self) -> None:
        while self._open:
            # Not for each its own moment: at a thousand logins a second that would be the main work.
            await trio.sleep_until(max(self._open[0].deadline, trio.current_time() + TICK_SECONDS))
            now = trio.current_time()
            while self._open and (self._open[0].over or self._open[0].deadline <= now):
                self._open.popleft().give_up()
        self._watching = False


class _Attempt:
    """One quick login, between the dial and the host's answer."""

    __slots__ = ("_client", "_dialled", "_host", "_note", "_quick", "_startup", "deadline", "over")

    def __init__(
        self,
        quick: QuickLogins,
        note: Opened,
        client: MessageLink,
        dialled: MessageLink,
        startup: Startup,
        host: Host,
    ) -> None:
        self._quick = quick
        self._note = note
        self._client = client
        self._dialled = dialled
        self._startup = startup
        self._host = host
        self.over = False
        self.deadline = 0.0

    def link_messages(self, link: MessageLink, data: bytes) -> None:
        """The host has answered."""
        if link is self._dialled and data.startswith(messages.AUTHENTICATION_OK):
            hello = Hello(data)
            if hello.ready and not hello.refusal:
                self._end()
                backend = HostBackend(self._host, link, hello)
                self._quick.desk.begin_session(
                    self._note, self._client, self._startup, self._host, backend
                )
                return
        link.put_back(data)
        self._go_on()

    def link_closed(self, link: MessageLink) -> None:
        """The client has left, or the host would not have us."""
        if link is self._dialled:
            self._go_on()
            return
        self._end()
        self._quick.registry.give_back(self._startup.user)
        self._dialled.close()

    def give_up(self) -> None:
        """The host has taken too long; the task that goes on finds the link closed and says so."""
        if not self.over:
            self._dialled.close()

    def _go_on(self) -> None:
        self._end()
        self._quick.desk.go_on(self._note, self._client, self._startup, self._host, self._dialled)

    def _end(self) -> None:
        self.over = True
        self._quick.registry.arriving -= 1
        self._client.watcher = self._dialled.watcher = None
