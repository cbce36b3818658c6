"""A tracker that works on whole messages and keeps every possibility in mind.

Where the product's tracker keeps a queue of expected replies, this one imitates the *server*: it keeps
the messages the client has sent, and the set of all states the server could be in, given the replies
seen so far. A reply strikes out the states that could not have sent it. The session is quiescent if in
every state left the server waits for a new request. Nothing here is fast, and nothing is shared with
the Rust code.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

#: Requests of the extended query protocol that are answered, and what they are called here.
EXTENDED = {b"P": "parse", b"B": "bind", b"D": "describe", b"E": "execute", b"C": "close"}
READY = {b"Q": "query", b"F": "function", b"S": "sync"}
COPY_ENDS = (b"c", b"f")
ROWS = (b"T", b"D", b"C", b"I", b"H", b"d", b"c")


@dataclass(frozen=True)
class Server:
    """One state the server could be in."""

    read: int = 0  # messages it has read
    work: str = "idle"  # what it works on
    replied: bool = False  # has the work produced anything?
    copy: str = "no"  # no, in, ended (of in), out, both
    skip: bool = False  # skipping to Sync
    unsynced: bool = False  # extended messages since the last ReadyForQuery or error
    named: frozenset[tuple[bytes, bytes]] = frozenset()
    unnamed: bytes | None = None


@dataclass
class ReferenceTracker:
    """The same questions as `pywire._rust.wire.Tracker` answers, for whole messages."""

    status: int = ord("I")
    sent: list[tuple[bytes, bytes]] = field(default_factory=list)
    servers: set[Server] = field(default_factory=lambda: {Server()})
    requests: int = 0
    answered: int = 0
    gone: bool = False
    notes: list[tuple[object, ...]] = field(default_factory=list)

    # --- questions ---

    @property
    def untracked(self) -> bool:
        """Is no state left that could have sent what was seen?"""
        return not self.servers

    @property
    def quiescent(self) -> bool:
        """Does the server wait for a new request, whatever has happened?"""
        return not self.gone and not self.untracked and all(map(self._waits, self.servers))

    def statements(self) -> dict[bytes, bytes]:
        """Name to body of Parse; meaningful when quiescent."""
        (named,) = {server.named for server in self.servers}
        return dict(named)

    def unnamed(self) -> bytes | None:
        """Body of the unnamed Parse; meaningful when quiescent."""
        (unnamed,) = {server.unnamed for server in self.servers}
        return unnamed

    def _waits(self, server: Server) -> bool:
        done = server.read == len(self.sent) and server.work == "idle"
        return done and not server.skip and not server.unsynced

    # --- facts ---

    def frontend(self, tag: bytes, body: bytes) -> None:
        """The client has sent a message."""
        self.sent.append((tag, body))
        self.requests += tag in READY
        if tag == b"X":
            self.gone = True
            self.notes.append(("terminate",))
        self._settle(self.servers)

    def backend(self, tag: bytes, body: bytes) -> None:
        """The server has sent a message."""
        if tag in (b"N", b"A"):
            return
        if tag == b"S":
            name, value, _ = body.split(b"\0")
            self.notes.append(("parameter", name, value))
            return
        if tag == b"E":
            fields = {part[:1]: part[1:] for part in body.split(b"\0") if part}
            if fields[b"V"] in (b"FATAL", b"PANIC"):
                self.notes.append(("fatal", fields[b"C"]))
                return
        if tag == b"Z":
            self.status = body[0]
            self.answered += 1
        after = (self._reply(server, tag, body) for server in self.servers)
        self._settle({server for server in after if server is not None})

    # --- the server's main loop ---

    def _settle(self, servers: set[Server]) -> None:
        """Lets every server read on as far as it can without sending anything."""
        seen: set[Server] = set()
        left: set[Server] = set()
        todo = set(servers)
        while todo:
            server = todo.pop()
            if server in seen:
                continue
            seen.add(server)
            following = self._read(server)
            if following is None or server.copy == "in":
                left.add(server)  # a copy can fail at any message, so each place counts
            if following is not None:
                todo.add(following)
        self.servers = left

    def _read(self, server: Server) -> Server | None:
        """The server after it has read one more message silently; None if it cannot."""
        if server.read == len(self.sent):
            return None
        tag, _ = self.sent[server.read]
        after = replace(server, read=server.read + 1)
        if server.copy in ("in", "both"):
            if tag in COPY_ENDS:
                return replace(after, copy="ended" if server.copy == "in" else "both ended")
            return after if tag in (b"d", b"H", b"S") else None
        if server.work != "idle":
            return None
        if tag == b"S":
            return replace(after, skip=False, work="sync")
        if server.skip or tag in (b"H", b"d", b"c", b"f", b"X"):
            return after
        if tag == b"Q":
            return replace(after, work="query", unnamed=None)
        if tag == b"F":
            return replace(after, work="function")
        return replace(after, work=EXTENDED[tag], unsynced=True)

    def _reply(self, server: Server, tag: bytes, body: bytes) -> Server | None:
        """The server after it has sent this; None if it could not have."""
        if tag == b"E":
            return self._failed(server)
        done = replace(server, work="idle", replied=False)
        if tag == b"Z":
            ready = server.work in ("sync", "failed") or (
                server.work in ("query", "function") and server.replied
            )
            return replace(done, unsynced=False, copy="no") if ready else None
        match server.work, tag:
            case "parse", b"1":
                return self._parsed(done)
            case ("bind", b"2") | ("described", b"T" | b"n"):
                return done
            case "close", b"3":
                return self._closed(done)
            case "describe", b"t":
                is_statement = self._request(server)[1][:1] == b"S"
                return replace(server, work="described") if is_statement else None
            case "describe", b"T" | b"n":
                return done if self._request(server)[1][:1] == b"P" else None
            case "execute", b"s":
                return done
            case "execute", b"C" | b"I" if server.copy != "in":
                return self._completed(replace(done, copy="no"), tag, body)
            case "query" | "execute", b"G":
                return replace(server, replied=True, copy="in")
            case "query" | "execute", b"W":
                return replace(server, replied=True, copy="both")
            case "query", _ if tag in ROWS and server.copy != "in":
                over = tag == b"C" and server.copy == "ended"
                server = replace(server, replied=True, copy="no" if over else server.copy)
                return self._completed(server, tag, body)
            case "execute", b"D" | b"H" | b"d" | b"c":
                return server
            case "function", b"V":
                return replace(server, replied=True)
        return None

    def _request(self, server: Server) -> tuple[bytes, bytes]:
        return self.sent[server.read - 1]

    def _failed(self, server: Server) -> Server | None:
        if server.work in ("idle", "failed") or (server.work == "sync" and not server.unsynced):
            return None  # a Sync fails only where there is something to commit
        if server.work in ("query", "function", "sync"):
            return replace(server, work="failed", replied=False, copy="no")
        if server.work == "parse" and self._request(server)[1].startswith(b"\0"):
            server = replace(server, unnamed=None)
        return replace(server, work="idle", replied=False, copy="no", skip=True, unsynced=False)

    def _parsed(self, server: Server) -> Server:
        _, body = self._request(server)
        name = body.split(b"\0")[0]
        if not name:
            return replace(server, unnamed=body)
        others = {(other, frame) for other, frame in server.named if other != name}
        return replace(server, named=frozenset(others | {(name, body)}))

    def _closed(self, server: Server) -> Server:
        _, body = self._request(server)
        name = body[1:].split(b"\0")[0]
        if body[:1] != b"S":
            return server
        if not name:
            return replace(server, unnamed=None)
        return replace(server, named=frozenset(item for item in server.named if item[0] != name))

    def _completed(self, server: Server, tag: bytes, body: bytes) -> Server:
        if tag == b"C" and body.rstrip(b"\0") in (b"DISCARD ALL", b"DEALLOCATE ALL"):
            return replace(server, named=frozenset())
        return server
