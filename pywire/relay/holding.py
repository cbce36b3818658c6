"""Holding a session: one holder at a time, and a cancel request goes before a waiting migration.

Works over the engine's commands only, so the engine and the fake share it. Every command carries
the generation of its hold; what comes too late is refused by the engine, never obeyed here.
"""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

import trio

from pywire.relay.notes import Held
from pywire.relay.port import Backend, CommandRefused, LinkClosed, Result
from pywire.relay.replies import Replies
from pywire.relay.waiting import Waiter
from pywire.session.session import Session
from pywire.wire import messages

CUT_OVER_SECONDS_MAX = 10.0


class Commands(Protocol):
    """The engine's commands on sessions."""

    def hold(self, session: int, generation: int) -> None:
        """Stop the client at a boundary outside a transaction."""

    def hold_requests(self, session: int, generation: int) -> None:
        """Stop the client at the next request boundary."""

    def release(self, session: int, generation: int) -> None:
        """Set it going again."""

    def inject(self, session: int, generation: int, data: bytes) -> None:
        """Send our own messages to its backend."""

    def cut_over(self, session: int, generation: int, backend: int, hello: bytes) -> None:
        """Exchange its backend."""


class Hold:
    """One holder of a session: the `HeldSession` of relay/port.py."""

    def __init__(self, holds: "Holds", session: Session, *, requests_only: bool) -> None:
        self._holds = holds
        self._session = session
        self._waiter = Waiter()
        self._note: Held | None = None
        self._replies: Replies | None = None
        self._ended: LinkClosed | CommandRefused | None = None
        self.requests_only = requests_only
        self.generation = 0
        self.cut = False
        self.left = trio.Event()

    @property
    def note(self) -> Held:
        """What the session looked like when it was stopped."""
        assert self._note is not None, "used before the session was held"
        return self._note

    @property
    def waiting(self) -> bool:
        """Whether the boundary has not come yet."""
        return self._note is None and self._ended is None

    def ask(self) -> None:
        """Tell the engine, under a new generation."""
        self.generation = self._session.next_generation()
        commands = self._holds.commands
        if self.requests_only:
            commands.hold_requests(self._session.id, self.generation)
        else:
            commands.hold(self._session.id, self.generation)

    def suspend(self) -> None:
        """Make way for a cancel request; the engine has one hold at a time."""
        self._holds.commands.release(self._session.id, self.generation)
        self.generation = 0

    async def until_held(self) -> None:
        """Wait for the boundary."""
        while self._note is None:
            if self._ended is not None:
                raise self._ended
            await self._waiter.sleep()

    async def request(self, frames: bytes, *, ready: int = 1) -> list[tuple[int, bytes]]:
        """Send our own messages to the backend; see HeldSession."""
        replies = await self._inject(frames, ready)
        return messages.split(replies)

    async def query(self, sql: str) -> list[Result]:
        """Run SQL on the backend; see HeldSession."""
        replies = await self._inject(messages.query(sql), 1)
        return Replies.results(self._session.host, replies)

    async def _inject(self, frames: bytes, ready: int) -> bytes:
        if self._replies is not None:
            raise trio.BusyResourceError("a request is under way already")
        if self._ended is not None:
            raise self._ended
        self._replies = replies = Replies(ready)
        backend = self._session.backend
        self._holds.injections[backend] = self
        self._holds.commands.inject(self._session.id, self.generation, frames)
        try:
            while not replies.complete:
                if self._ended is not None:
                    raise self._ended
                await self._waiter.sleep()
            return replies.data()
        finally:
            # Abandoned half-way, the replies still to come would be taken for the next request's.
            if not replies.complete:
                self._holds.commands.release(self._session.id, self.generation)
                if self._ended is None:
                    self._ended = CommandRefused("inject", "abandoned half-way")
            self._replies = None
            self._holds.injections.pop(backend, None)

    async def cut_over(self, backend: Backend, hello: bytes = b"") -> None:
        """Give the session this backend; see HeldSession."""
        if self._ended is not None:
            raise self._ended
        self._holds.disown(backend.link.id)
        self._holds.commands.cut_over(self._session.id, self.generation, backend.link.id, hello)
        with trio.fail_after(CUT_OVER_SECONDS_MAX):
            with trio.CancelScope(shield=True, deadline=trio.current_effective_deadline()):
                while not self.cut:
                    if self._ended is not None:
                        raise self._ended
                    await self._waiter.sleep()

    # --- called by the pump ---

    def note_held(self, note: Held) -> None:
        """The boundary has come."""
        if note.generation == self.generation:
            self._note = note
            self._waiter.wake()

    def note_cut_over(self, generation: int) -> None:
        """The session lives on its new backend."""
        if generation == self.generation:
            self.cut = True
            self._waiter.wake()

    def note_refused(self, generation: int, command: str, reason: str) -> None:
        """A command was not obeyed."""
        if generation == self.generation and command != "release":
            self.note_ended(CommandRefused(command, reason))

    def note_messages(self, data: bytes) -> None:
        """Replies to our own request."""
        if self._replies is not None:
            self._replies.add(data)
            if self._replies.complete:
                self._waiter.wake()

    def note_ended(self, why: LinkClosed | CommandRefused) -> None:
        """Nothing more can come of this hold."""
        self._ended = why
        self._waiter.wake()


class Holds:
    """Who holds which session."""

    def __init__(self, commands: Commands, disown: Callable[[int], None]) -> None:
        """Begin without holds; `disown` makes a backend link a session's own."""
        self.commands = commands
        self.disown = disown
        self.injections: dict[int, Hold] = {}
        self._holds: dict[int, Hold] = {}

    def get(self, session: int) -> Hold | None:
        """Return who holds a session, or waits to."""
        return self._holds.get(session)

    def session_closed(self, session: int, reason: str) -> None:
        """Tell a holder that its session is gone."""
        hold = self._holds.get(session)
        if hold is not None:
            hold.note_ended(LinkClosed(reason))

    @asynccontextmanager
    async def holding(
        self, session: Session, *, timeout_seconds: float, requests_only: bool
    ) -> AsyncIterator[Hold]:
        """Hold a session; see Relay.holding."""
        hold = Hold(self, session, requests_only=requests_only)
        with trio.fail_after(timeout_seconds):
            displaced = await self._take_turn(hold, session)
            try:
                hold.ask()
                await hold.until_held()
            except BaseException:
                self._leave(hold, session, displaced)
                raise
        try:
            yield hold
        finally:
            self._leave(hold, session, displaced)

    async def _take_turn(self, hold: Hold, session: Session) -> Hold | None:
        """Become the holder; return the waiting one that this one goes before, if any."""
        while (other := self._holds.get(session.id)) is not None:
            if hold.requests_only and other.waiting and not other.requests_only:
                other.suspend()
                break
            await other.left.wait()
        self._holds[session.id] = hold
        return other

    def _leave(self, hold: Hold, session: Session, displaced: Hold | None) -> None:
        if not hold.cut and hold.generation:
            self.commands.release(session.id, hold.generation)
        hold.left.set()
        if self._holds.get(session.id) is hold:
            del self._holds[session.id]
        if displaced is None or displaced.left.is_set():
            return
        self._holds[session.id] = displaced
        displaced.ask()
