from typing import TypeAlias, final

@final
class WireError(ValueError):
    """Bytes that are not messages, or messages that may not be injected."""

@final
class Side:
    """Which side of the protocol sends."""

    FRONTEND: Side
    BACKEND: Side
    def __int__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __eq__(self, value: object, /) -> bool: ...
    def __ne__(self, value: object, /) -> bool: ...

@final
class ParameterStatus:
    """The backend reported a parameter."""

    @property
    def name(self) -> bytes: ...
    @property
    def value(self) -> bytes: ...

@final
class Statement:
    """Something that may give the session state was seen for the first time."""

    @property
    def flags(self) -> int: ...

@final
class Fatal:
    """The backend is about to end the connection."""

    @property
    def sqlstate(self) -> bytes: ...

@final
class Terminate:
    """The client says goodbye."""

@final
class Untracked:
    """Replies are no longer understood."""

    @property
    def reason(self) -> str: ...
    @property
    def offset(self) -> int: ...

Note: TypeAlias = ParameterStatus | Statement | Fatal | Terminate | Untracked

@final
class Tracker:
    """Follows one session after login: bytes in, notes out."""

    def __new__(
        cls,
        status: int = ...,
        *,
        message_bytes_max: int | None = None,
        statements_bytes_max: int | None = None,
        protection: bool = False,
        journal_bytes_max: int | None = None,
        digest_key: int = 0,
    ) -> Tracker: ...
    @property
    def quiescent(self) -> bool: ...
    @property
    def request_boundary(self) -> bool: ...
    @property
    def status(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def untracked(self) -> bool: ...
    @property
    def requests(self) -> int: ...
    @property
    def answered(self) -> int: ...
    @property
    def outstanding(self) -> int: ...
    def feed(self, side: Side, data: bytes) -> list[Note]: ...
    def feed_until_boundary(self, data: bytes) -> int: ...
    def inject(self, data: bytes) -> None: ...
    def own_replies(self) -> bytes: ...
    def reset_backend(self, status: int) -> None: ...
    def statements(self) -> dict[bytes, bytes]: ...
    def unnamed(self) -> bytes | None: ...
    def journal(self) -> list[bytes] | None: ...
    def digests(self) -> list[int]: ...
    def digest(self) -> int | None: ...

def scan(text: bytes) -> int:
    """The flags of what is found in a statement text."""

def flag_names(flags: int) -> list[str]:
    """The names in a set of flags."""
