"""Memory for keys: locked so that it is never swapped, left out of core dumps, wiped when given back.

Many sessions share a page, so a locked key costs 64 bytes. Python makes short-lived copies of a
key when it computes with it; what outlives the moment is here alone.
"""

import ctypes
import mmap
from collections.abc import Callable
from typing import Final

SLOT_BYTES: Final = 64
ARENA_BYTES: Final = 64 * 1024


class SecretSlot:
    """A place that holds one secret until it is wiped or forgotten."""

    __slots__ = ("_arena", "_length", "_offset")

    def __init__(self, arena: "_Arena", offset: int, length: int) -> None:
        self._arena: _Arena | None = arena
        self._offset = offset
        self._length = length

    def reveal(self) -> memoryview:
        """Return the secret, to be used at once and not kept; raises ValueError once wiped."""
        if self._arena is None:
            raise ValueError("the secret has been wiped")
        return self._arena.view[self._offset : self._offset + self._length]

    def wipe(self) -> None:
        """Overwrite the secret and give its place back; harmless when repeated."""
        arena, self._arena = self._arena, None
        if arena is not None:
            arena.give_back(self._offset)

    def __del__(self) -> None:
        self.wipe()

    def __repr__(self) -> str:
        return "SecretSlot(…)"


class _Arena:
    """One mapping cut into equal slots."""

    __slots__ = ("_mapping", "free", "slot_bytes", "view")

    def __init__(self, slot_bytes: int, size: int) -> None:
        self._mapping = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        self.view = memoryview(self._mapping)
        self.slot_bytes = slot_bytes
        self.free = list(range(0, size - slot_bytes + 1, slot_bytes))

    def lock(self) -> str:
        """Lock the mapping into memory; return why not, or nothing."""
        self._mapping.madvise(mmap.MADV_DONTDUMP)
        libc = ctypes.CDLL(None, use_errno=True)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._mapping))
        if libc.mlock(ctypes.c_void_p(address), ctypes.c_size_t(len(self._mapping))) != 0:
            return f"mlock failed with errno {ctypes.get_errno()}; see RLIMIT_MEMLOCK"
        return ""

    def give_back(self, offset: int) -> None:
        self.view[offset : offset + self.slot_bytes] = bytes(self.slot_bytes)
        self.free.append(offset)


class SecretStore:
    """Hands out slots.

    Args:
        warn: called once, with the reason, if memory cannot be locked; secrets are kept
            nevertheless, for a session manager that cannot log in helps nobody.
    """

    def __init__(self, warn: Callable[[str], None] | None = None) -> None:
        self._warn = warn
        self._arenas: list[_Arena] = []
        self.locked = True

    def keep(self, secret: bytes) -> SecretSlot:
        """Copy a secret into locked memory."""
        arena = self._arena_for(len(secret))
        offset = arena.free.pop()
        arena.view[offset : offset + len(secret)] = secret
        return SecretSlot(arena, offset, len(secret))

    def _arena_for(self, length: int) -> _Arena:
        if length > SLOT_BYTES:  # a long password: a mapping of its own, freed with its slot
            size = -(-length // mmap.PAGESIZE) * mmap.PAGESIZE
            return self._lock(_Arena(size, size))
        # The newest arena is nearly always the one with room.
        for arena in reversed(self._arenas):
            if arena.free:
                return arena
        arena = self._lock(_Arena(SLOT_BYTES, ARENA_BYTES))
        self._arenas.append(arena)
        return arena

    def _lock(self, arena: _Arena) -> _Arena:
        reason = arena.lock()
        if reason and self.locked:
            self.locked = False
            if self._warn is not None:
                self._warn(reason)
        return arena
