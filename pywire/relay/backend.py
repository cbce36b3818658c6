"""A backend that is ReadyForQuery and serves pywire itself, until a session takes it.

One request at a time. It never reads what a client has asked for.
"""

import trio

from pywire.relay.hello import Hello
from pywire.relay.port import Link, Result
from pywire.relay.replies import Replies
from pywire.session.host import Host
from pywire.wire import messages


class HostBackend:
    """The `Backend` of relay/port.py."""

    __slots__ = ("_busy", "greeting", "host", "key", "link", "process_id")

    def __init__(self, host: Host, link: Link, greeting: Hello) -> None:
        """Take over a link on which everything from AuthenticationOk to ReadyForQuery has come."""
        self.host = host
        self.link = link
        self.greeting = greeting
        self.process_id = greeting.process_id
        self.key = greeting.key
        self._busy = False

    @property
    def hello(self) -> bytes:
        """What the host sent from AuthenticationOk up to ReadyForQuery, verbatim."""
        return self.greeting.data

    @property
    def reported(self) -> bytes:
        """The ParameterStatus messages in it."""
        return self.greeting.reported

    @property
    def parameters(self) -> dict[str, str]:
        """The parameters the host reported at login."""
        return messages.parameter_statuses(self.reported)

    async def query(self, sql: str) -> list[Result]:
        """Run SQL by the simple protocol; raises StatementFailed, or LinkClosed."""
        replies = await self._exchange(messages.query(sql), 1)
        return Replies.results(self.host.name, replies)

    async def request(self, frames: bytes, *, ready: int = 1) -> list[tuple[int, bytes]]:
        """Send messages; return (tag, body) of the replies up to the n-th ReadyForQuery."""
        return messages.split(await self._exchange(frames, ready))

    async def _exchange(self, frames: bytes, ready: int) -> bytes:
        if self._busy:
            raise trio.BusyResourceError("a request is under way already")
        self._busy = True
        self.link.send(frames)
        replies = Replies(ready)
        try:
            while not replies.complete:
                replies.add(await self.link.receive())
        except BaseException:
            # Replies still to come would be taken for the next request's: nobody may use it again.
            self.link.close()
            raise
        self._busy = False
        return replies.data()

    def close(self) -> None:
        """Say Terminate and close."""
        self.link.close(messages.TERMINATE)
