"""A backend that is ReadyForQuery and serves pywire itself, until a session takes it.

One request at a time. It never reads what a client has asked for.
"""

import trio

from pywire.relay.port import Link, Result
from pywire.relay.replies import Replies
from pywire.session.host import Host
from pywire.wire import messages


class HostBackend:
    """The `Backend` of relay/port.py."""

    __slots__ = ("_at", "_busy", "hello", "host", "key", "link", "process_id", "reported")

    def __init__(self, host: Host, link: Link, hello: bytes) -> None:
        """Take over a link on which everything from AuthenticationOk to ReadyForQuery has come."""
        self.host = host
        self.link = link
        self.hello = hello
        self.process_id = 0
        self.key = b""
        self._busy = False
        self._at = (len(hello), len(hello))
        reported = []
        for tag, start, end in messages.spans(hello):
            if tag == 0x53:
                reported.append(hello[start:end])
            elif tag == 0x4B:
                self.process_id = int.from_bytes(hello[start + 5 : start + 9], "big")
                self.key = hello[start + 9 : end]
                self._at = (start, end)
        self.reported = b"".join(reported)

    def hello_with_key(self, key: bytes) -> bytes:
        """Return `hello` for a client: all of it verbatim, but for the cancel key."""
        start, end = self._at
        if start == end:
            return self.hello
        told = messages.backend_key_data(self.process_id, key)
        return self.hello[:start] + told + self.hello[end:]

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
