"""The cursors WITH HOLD a session has, or will have if its transaction commits.

Pure. A cursor is not a row: closing one is never undone, and one that has survived its transaction is not touched by
later ones. One that was made in a (sub)transaction goes with it if it is rolled back.
"""

from __future__ import annotations

__all__ = ["HeldCursors"]


class HeldCursors:
    """Names of cursors, each with the level it was made in; level 0 has survived its transaction."""

    __slots__ = ("_depth", "_levels")

    def __init__(self) -> None:
        self._levels: dict[str, int] = {}
        self._depth = 0

    @property
    def names(self) -> frozenset[str]:
        """All of them, also those that the open transaction may yet take back."""
        return frozenset(self._levels)

    def declare(self, name: str) -> None:
        """DECLARE … WITH HOLD."""
        self._levels[name] = self._depth

    def close(self, name: str | None) -> None:
        """CLOSE; None closes all."""
        if name is None:
            self._levels.clear()
        else:
            self._levels.pop(name, None)

    def begin(self) -> None:
        """A transaction or a savepoint begins."""
        self._depth += 1

    def release(self) -> None:
        """A savepoint is released: its cursors are the outer level's."""
        self._depth -= 1
        self._levels = {name: min(level, self._depth) for name, level in self._levels.items()}

    def undo(self) -> None:
        """A transaction or a savepoint is rolled back: what was made in it is gone."""
        self._levels = {n: level for n, level in self._levels.items() if level < self._depth}
        self._depth -= 1

    def commit(self) -> None:
        """The transaction is committed: all cursors stay."""
        self._depth = 0
        self._levels = dict.fromkeys(self._levels, 0)
