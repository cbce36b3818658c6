"""What a host says when it lets somebody in: AuthenticationOk, ParameterStatus…, the cancel key.

Read once, in one walk, because every login passes here. All of it is passed on verbatim but for
the cancel key.
"""

from struct import Struct

from pywire.wire.messages import backend_key_data

_HEADER = Struct("!BI")
_PARAMETER, _KEY, _READY, _ERROR = b"SKZE"


class Hello:
    """Whole messages from AuthenticationOk on; `ready` once ReadyForQuery is among them.

    Attributes:
        data: the messages, verbatim.
        reported: the ParameterStatus messages in it.
        refusal: an ErrorResponse in it, or nothing.
    """

    __slots__ = ("_end", "_start", "data", "process_id", "ready", "refusal", "reported")

    def __init__(self, data: bytes) -> None:
        """Read `data`; raises ValueError when it is not whole messages."""
        self.data = data
        self.ready = False
        self.refusal = b""
        self.process_id = 0
        self._start = self._end = len(data)
        first = last = at = 0
        one_run = True
        size = len(data)
        while at < size:
            tag, length = _HEADER.unpack_from(data, at)
            end = at + 1 + length
            if end > size or length < 4:
                raise ValueError("not whole messages")
            if tag == _PARAMETER:
                if not last:
                    first = at
                elif last != at:
                    one_run = False
                last = end
            elif tag == _KEY:
                self.process_id = int.from_bytes(data[at + 5 : at + 9], "big")
                self._start, self._end = at, end
            elif tag == _READY:
                self.ready = True
            elif tag == _ERROR:
                self.refusal = data[at:end]
            at = end
        self.reported = data[first:last] if one_run else _parameters(data)

    @property
    def key(self) -> bytes:
        """The host's cancel key; empty if it gave none."""
        return self.data[self._start + 9 : self._end]

    def with_key(self, key: bytes) -> bytes:
        """Return everything for a client, with another cancel key."""
        start, end = self._start, self._end
        if start == end:
            return self.data
        return self.data[:start] + backend_key_data(self.process_id, key) + self.data[end:]


def _parameters(data: bytes) -> bytes:
    """The ParameterStatus messages where others stand between them."""
    kept, at = [], 0
    while at < len(data):
        tag, length = _HEADER.unpack_from(data, at)
        end = at + 1 + length
        if tag == _PARAMETER:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)
