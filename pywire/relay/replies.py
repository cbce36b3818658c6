"""Replies to our own requests, gathered until the last ReadyForQuery asked for.

Never sees a client's replies.
"""

from pywire.relay.port import Result, StatementFailed
from pywire.wire.messages import read_columns, read_row, spans

_READY, _ERROR, _DESCRIPTION, _ROW, _COMPLETE, _EMPTY = b"ZETDCI"


class Replies:
    """Whole messages, counted up to the n-th ReadyForQuery."""

    __slots__ = ("_parts", "_ready")

    def __init__(self, ready: int) -> None:
        self._ready = ready
        self._parts: list[bytes] = []

    @property
    def complete(self) -> bool:
        """Whether the last ReadyForQuery has come."""
        return self._ready <= 0

    def add(self, data: bytes) -> None:
        """Take whole messages."""
        self._parts.append(data)
        self._ready -= sum(tag == _READY for tag, _, _ in spans(data))

    def data(self) -> bytes:
        """Return everything that has come."""
        return b"".join(self._parts)

    @staticmethod
    def results(host: str, data: bytes) -> list[Result]:
        """Read the replies to a simple query; raises StatementFailed for the first error in them."""
        results: list[Result] = []
        columns: tuple[str, ...] = ()
        rows: list[tuple[str | None, ...]] = []
        for tag, start, end in spans(data):
            if tag == _ROW:
                rows.append(read_row(data[start + 5 : end]))
            elif tag == _DESCRIPTION:
                columns = read_columns(data[start + 5 : end])
            elif tag in (_COMPLETE, _EMPTY):
                done = data[start + 5 : end - 1].decode("utf-8", "replace")
                results.append(Result(columns, rows, done))
                columns, rows = (), []
            elif tag == _ERROR:
                raise StatementFailed(host, data[start:end])
        return results
