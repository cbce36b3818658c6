"""All sessions of this manager: by id, by cancel key, and counted for the limits.

Pure bookkeeping. It never closes a session itself; whoever does tells it.
"""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pywire.session.session import Session


class SessionRegistry:
    """Sessions that are logged in, and places reserved by logins under way.

    A place is reserved before a login costs anything and is given back exactly once: by `close`, when the login
    succeeded, or by `give_back`, when it did not.
    """

    def __init__(self) -> None:
        self._by_id: dict[int, Session] = {}
        self._by_process_id: dict[int, Session | list[Session]] = {}
        self._per_user: dict[str, int] = {}
        self._per_host: dict[str, int] = {}
        self._reported: dict[bytes, bytes] = {}
        self.places = 0
        self.opened = 0
        self.arriving = 0  # logins that have chosen their host and are not open yet

    def __len__(self) -> int:
        return len(self._by_id)

    def __iter__(self) -> Iterator[Session]:
        return iter(list(self._by_id.values()))

    def get(self, session_id: int) -> Session | None:
        """Return the session with this id, or None if it is gone."""
        return self._by_id.get(session_id)

    def of_host(self, cluster: str, host: str) -> list[Session]:
        """Return the sessions that live on one host now."""
        return [s for s in self._by_id.values() if s.host == host and s.cluster == cluster]

    def reserve(self, user: str) -> None:
        """Count a login under way."""
        self.places += 1
        self._per_user[user] = self._per_user.get(user, 0) + 1

    def give_back(self, user: str) -> None:
        """Stop counting a login that came to nothing."""
        self.places -= 1
        _count_down(self._per_user, user)

    def of_user_count(self, user: str) -> int:
        """Return how many sessions and logins under way a user has."""
        return self._per_user.get(user, 0)

    def on_host_count(self, cluster: str, host: str) -> int:
        """Return how many sessions live on a host."""
        return self._per_host.get(f"{cluster}/{host}", 0)

    def open(self, session: Session) -> None:
        """Add a session whose place is reserved."""
        self._by_id[session.id] = session
        self.opened += 1
        key = f"{session.cluster}/{session.host}"
        self._per_host[key] = self._per_host.get(key, 0) + 1
        same = self._by_process_id.get(session.process_id)
        if same is None:
            self._by_process_id[session.process_id] = session
        elif isinstance(same, list):
            same.append(session)
        else:
            self._by_process_id[session.process_id] = [same, session]

    def moved(self, session: Session, old_host: str) -> None:
        """Count a session on its new host; call it right after `Session.moved`."""
        _count_down(self._per_host, f"{session.cluster}/{old_host}")
        key = f"{session.cluster}/{session.host}"
        self._per_host[key] = self._per_host.get(key, 0) + 1

    def close(self, session_id: int) -> Session | None:
        """Remove a session and give its place back; returns None if it was not there."""
        session = self._by_id.pop(session_id, None)
        if session is None:
            return None
        self.give_back(session.user)
        _count_down(self._per_host, f"{session.cluster}/{session.host}")
        same = self._by_process_id.get(session.process_id)
        if isinstance(same, list):
            same.remove(session)
            if not same:
                del self._by_process_id[session.process_id]
        else:
            self._by_process_id.pop(session.process_id, None)
        return session

    def by_cancel_key(self, process_id: int, key: bytes) -> Session | None:
        """Return the session a CancelRequest names; the time taken tells nothing about the key."""
        same = self._by_process_id.get(process_id)
        if same is None:
            return None
        found = None
        for session in same if isinstance(same, list) else (same,):
            if compare_digest(session.cancel_key, key):
                found = session
        return found

    def shared_report(self, reported: bytes) -> bytes:
        """Return a copy of these ParameterStatus messages that all sessions reporting the same may share."""
        shared = self._reported.get(reported)
        if shared is None:
            if len(self._reported) >= _SHARED_REPORTS_MAX:
                self._reported.clear()  # sessions keep what they hold; only the sharing starts afresh
            self._reported[reported] = shared = reported
        return shared


_SHARED_REPORTS_MAX = 1024


def _count_down(counts: dict[str, int], key: str) -> None:
    left = counts.get(key, 0) - 1
    if left > 0:
        counts[key] = left
    else:
        counts.pop(key, None)
