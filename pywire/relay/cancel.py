"""Cancel requests: each reaches the statement it was meant for, or nothing.

PostgreSQL's own cancel may hit whatever runs when the signal arrives. Here the session takes no
further request while the signal is on its way, so nothing but the statement that was running can
be hit; and a session that waits for nothing is left alone.
"""

import trio

from pywire.events import CancelForwarded, CancelIgnored, EventLog
from pywire.relay.notes import CancelRequested
from pywire.relay.port import CommandRefused, Directory, Link, LinkClosed, Relay
from pywire.relay.resolve import Resolver
from pywire.session.host import Host
from pywire.session.registry import SessionRegistry
from pywire.session.session import Session
from pywire.wire import messages

HOLD_SECONDS_MAX = 0.25
SIGNAL_SECONDS_MAX = 5.0


class Canceller:
    """Serves cancel requests."""

    def __init__(
        self, relay: Relay, registry: SessionRegistry, directory: Directory, events: EventLog
    ) -> None:
        self._relay = relay
        self._registry = registry
        self._directory = directory
        self._events = events
        self._resolver = Resolver()

    def is_for_nobody(self, note: CancelRequested) -> bool:
        """Whether a request has no statement to meet; strangers may send many, so no task yet."""
        session = self._registry.by_cancel_key(note.process_id, note.key)
        if session is None:
            self._ignored(note, "no session has this key")
            return True
        stats = self._relay.session_stats(session.id)
        if stats is None or stats.quiescent:
            self._ignored(note, "no statement is running")
            return True
        return False

    async def serve(self, note: CancelRequested, link: Link) -> None:
        """Do what a CancelRequest asks; the client's connection is closed when it is done."""
        try:
            session = self._registry.by_cancel_key(note.process_id, note.key)
            if session is not None:
                await self._cancel(note, session)
        except (OSError, LinkClosed, CommandRefused) as error:
            self._ignored(note, str(error))
        finally:
            link.close()

    async def _cancel(self, note: CancelRequested, session: Session) -> None:
        stats = self._relay.session_stats(session.id)
        if stats is None or stats.quiescent:
            self._ignored(note, "no statement is running")
            return
        asked = stats.requests
        held = False
        try:
            async with self._relay.holding(
                session, timeout_seconds=HOLD_SECONDS_MAX, requests_only=True
            ) as hold:
                held = True
                if hold.note.quiescent or hold.note.requests != asked:
                    self._ignored(note, "the statement is over")
                    return
                await self._signal(session)
        except trio.TooSlowError:
            if held:
                raise
            # No boundary in sight: the client is amid a long message or a COPY. So no other
            # statement can begin before this one is over.
            stats = self._relay.session_stats(session.id)
            if stats is None or stats.quiescent or stats.requests != asked:
                self._ignored(note, "the statement is over")
                return
            await self._signal(session)

    async def _signal(self, session: Session) -> None:
        """Send the backend's own key to its host and wait until the signal has been sent."""
        host = self._directory.host(session.cluster, session.host)
        if host is None:
            return
        request = messages.cancel_request(session.backend_process_id, session.backend_key)
        with trio.move_on_after(SIGNAL_SECONDS_MAX):
            await self._deliver(host, request)
        self._events.emit(CancelForwarded(session=session.id, host=session.host))

    async def _deliver(self, host: Host, request: bytes) -> None:
        for address in await self._resolver.resolve(host.address):
            link = self._relay.dial(address, near=None, tls=host.tls, hello=request)
            try:
                await link.closed()  # the host closes once it has sent the signal
            finally:
                link.close()
            if link.is_up():
                return

    def _ignored(self, note: CancelRequested, reason: str) -> None:
        self._events.emit(CancelIgnored(peer=note.peer, reason=reason))
