"""A mapping whose changes a transaction can take back, savepoint by savepoint.

Pure. Each level remembers what the names changed in it had been before; nothing is copied when a level begins. It
does not know what a transaction is: the ledger says when a level begins and how it ends.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

__all__ = ["Undoable"]

V = TypeVar("V")


class Undoable(Generic[V]):
    """Names and values, with as many levels of undo as there are open (sub)transactions."""

    __slots__ = ("_before", "_now")

    def __init__(self) -> None:
        self._now: dict[str, V] = {}
        self._before: list[dict[str, V | None]] = []

    def get(self, name: str) -> V | None:
        """The present value, or None."""
        return self._now.get(name)

    def items(self) -> Iterator[tuple[str, V]]:
        """All names that have a value. Changing them meanwhile is allowed."""
        return iter(list(self._now.items()))

    def put(self, name: str, value: V | None) -> None:
        """Give `name` a value, or with None take it away."""
        if self._before:
            self._before[-1].setdefault(name, self._now.get(name))
        if value is None:
            self._now.pop(name, None)
        else:
            self._now[name] = value

    @property
    def depth(self) -> int:
        """How many levels are open."""
        return len(self._before)

    def begin(self) -> None:
        """Open a level."""
        self._before.append({})

    def keep(self) -> None:
        """Close the innermost level, whose changes are now the next outer one's.

        Raises:
            IndexError: no level is open.
        """
        closed = self._before.pop()
        if self._before:
            outer = self._before[-1]
            for name, value in closed.items():
                outer.setdefault(name, value)

    def undo(self) -> None:
        """Close the innermost level and take its changes back.

        Raises:
            IndexError: no level is open.
        """
        for name, value in self._before.pop().items():
            if value is None:
                self._now.pop(name, None)
            else:
                self._now[name] = value
