"""Session-level advisory locks, counted: PostgreSQL lets one be taken many times, and its views do not say how often.

Pure. Transactions do not undo them, so there are no levels here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["AdvisoryLocks", "Lock"]


@dataclass(frozen=True, slots=True)
class Lock:
    """One lock: a key of one bigint or of two integers, exclusive or shared."""

    key: tuple[int, ...]
    shared: bool = False

    @property
    def in_view(self) -> tuple[int, int, int, str]:
        """classid, objid, objsubid and mode as `pg_locks` shows them."""
        mode = "ShareLock" if self.shared else "ExclusiveLock"
        if len(self.key) == 1:
            bits = self.key[0] & 0xFFFF_FFFF_FFFF_FFFF
            return bits >> 32, bits & 0xFFFF_FFFF, 1, mode
        high, low = self.key
        return high & 0xFFFF_FFFF, low & 0xFFFF_FFFF, 2, mode


class AdvisoryLocks:
    """The locks of one session and how often each is held."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held: Counter[Lock] = Counter()

    @property
    def held(self) -> Mapping[Lock, int]:
        """How often each lock is held; never zero."""
        return dict(self._held)

    def lock(self, lock: Lock) -> None:
        """The lock was obtained, once more perhaps."""
        self._held[lock] += 1

    def unlock(self, lock: Lock) -> None:
        """The lock was released once; the server answers false and does nothing if it was not held."""
        if self._held[lock] > 1:
            self._held[lock] -= 1
        else:
            del self._held[lock]

    def unlock_all(self) -> None:
        """All were released, however often they were held."""
        self._held.clear()
