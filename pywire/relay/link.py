"""A connection in message mode: logins, and backends that serve pywire itself.

It holds what has arrived and nobody has asked for yet. It never looks inside messages.
"""

from typing import Protocol

from pywire.relay.notes import TlsInfo
from pywire.relay.port import LinkClosed
from pywire.relay.waiting import Waiter

INBOX_BYTES_MAX = 64 * 1024 * 1024


class Wire(Protocol):
    """The two commands of the engine a link needs."""

    def send(self, link: int, data: bytes) -> None:
        """Queue bytes."""

    def close(self, link: int, farewell: bytes = b"") -> None:
        """Close the link."""


class LinkWatcher(Protocol):
    """Is told of a link's doings at once, from the pump, instead of a task that waits."""

    def link_messages(self, link: "MessageLink", data: bytes) -> None:
        """Whole messages have arrived."""

    def link_closed(self, link: "MessageLink") -> None:
        """The link is gone."""


class MessageLink:
    """The `Link` of relay/port.py, over an engine or a fake."""

    __slots__ = (
        "_inbox",
        "_up",
        "_waiter",
        "_wants_up",
        "_wire",
        "closed_reason",
        "id",
        "tls",
        "watcher",
    )

    def __init__(self, wire: Wire, id: int, tls: TlsInfo | None, *, up: bool) -> None:  # noqa: A002
        self.id = id
        self.tls = tls
        self.closed_reason: str | None = None
        self._wire = wire
        self._inbox: list[bytes] = []
        self._up = up
        self._wants_up = False
        self._waiter = Waiter()
        self.watcher: LinkWatcher | None = None

    def send(self, data: bytes) -> None:
        """Queue bytes for the peer."""
        self._wire.send(self.id, data)

    def close(self, farewell: bytes = b"") -> None:
        """Send a last message, then close; harmless when the link is gone."""
        if self.closed_reason is None:
            self._wire.close(self.id, farewell)

    async def receive(self) -> bytes:
        """Return the next whole messages; raises LinkClosed."""
        while not self._inbox:
            if self.closed_reason is not None:
                raise LinkClosed(self.closed_reason)
            await self._waiter.sleep()
        inbox, self._inbox = self._inbox, []
        return inbox[0] if len(inbox) == 1 else b"".join(inbox)

    async def connected(self) -> None:
        """Wait until the link is up; raises LinkClosed."""
        self._wants_up = True
        try:
            while not self._up:
                if self.closed_reason is not None:
                    raise LinkClosed(self.closed_reason)
                await self._waiter.sleep()
        finally:
            self._wants_up = False

    async def closed(self) -> str:
        """Wait until the link is gone; what still arrives is thrown away."""
        while self.closed_reason is None:
            self._inbox.clear()
            await self._waiter.sleep()
        return self.closed_reason

    def is_up(self) -> bool:
        """Whether the connection was ever established."""
        return self._up

    def unread(self) -> bool:
        """Whether something has arrived that nobody has received."""
        return bool(self._inbox)

    # --- called by the pump ---

    def note_connected(self, tls: TlsInfo | None) -> None:
        """The link is up."""
        self.tls = tls
        self._up = True
        if self._wants_up:  # who waits for messages has no use for this, and waking costs
            self._waiter.wake()

    def note_messages(self, data: bytes) -> None:
        """Whole messages have arrived."""
        if sum(map(len, self._inbox)) + len(data) > INBOX_BYTES_MAX:
            self.close()
            return
        self._up = True
        if self.watcher is not None:
            self.watcher.link_messages(self, data)
            return
        self._inbox.append(data)
        self._waiter.wake()

    def put_back(self, data: bytes) -> None:
        """Undo a receive: the next one returns this."""
        self._inbox.insert(0, data)

    def note_closed(self, reason: str) -> None:
        """The link is gone."""
        self.closed_reason = reason
        if self.watcher is not None:
            self.watcher.link_closed(self)
        self._waiter.wake()
