"""Verifiers read from a host, kept for a while.

Pure: the time is given. What is kept here is what PostgreSQL keeps too, a password's verifier;
never a password, never a ClientKey.
"""

from dataclasses import dataclass, field

USERS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class RoleSecret:
    """What a host knows of a role: its verifier, and whether the role may log in with it now."""

    exists: bool
    verifier: str | None = field(default=None, repr=False)
    can_login: bool = True
    expired: bool = False


UNKNOWN_ROLE = RoleSecret(exists=False)


class VerifierCache:
    """Role secrets by (cluster, user), each for `seconds_max`; the oldest makes room."""

    def __init__(self, seconds_max: float) -> None:
        self.seconds_max = seconds_max
        self._kept: dict[tuple[str, str], tuple[float, RoleSecret]] = {}

    def get(self, cluster: str, user: str, now: float) -> RoleSecret | None:
        """Return what is known and still fresh."""
        entry = self._kept.get((cluster, user))
        if entry is None:
            return None
        if now - entry[0] >= self.seconds_max:
            del self._kept[cluster, user]
            return None
        return entry[1]

    def put(self, cluster: str, user: str, secret: RoleSecret, now: float) -> None:
        """Keep what a host has just said."""
        if self.seconds_max <= 0:
            return
        self._kept.pop((cluster, user), None)
        while len(self._kept) >= USERS_MAX:
            del self._kept[next(iter(self._kept))]
        self._kept[cluster, user] = (now, secret)

    def forget(self, cluster: str, user: str, now: float, *, younger_than: float) -> bool:
        """Drop what was read more than `younger_than` seconds ago; the password may have changed.

        The bound keeps somebody who guesses passwords from making pywire ask the host each time.
        """
        entry = self._kept.get((cluster, user))
        if entry is None or now - entry[0] < younger_than:
            return False
        del self._kept[cluster, user]
        return True

    def clear(self) -> None:
        """Forget everything: after a reload, or when another host became primary."""
        self._kept.clear()
