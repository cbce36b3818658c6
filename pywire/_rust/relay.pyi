from typing import TypeAlias, final

@final
class ServerTls:
    """A TLS context: what a listener offers."""

    def __new__(
        cls,
        certificate_pem: bytes,
        key_pem: bytes,
        client_ca_pem: bytes | None = None,
        client_certificate_required: bool = False,
    ) -> ServerTls: ...

@final
class ClientTls:
    """A TLS context: how hosts are spoken to. `verify` is none, ca or full."""

    def __new__(
        cls,
        verify: str,
        ca_pem: bytes | None = None,
        certificate_pem: bytes | None = None,
        key_pem: bytes | None = None,
    ) -> ClientTls: ...

@final
class TlsInfo:
    @property
    def version(self) -> str: ...
    @property
    def cipher(self) -> str: ...
    @property
    def alpn(self) -> str | None: ...
    @property
    def server_name(self) -> str | None: ...
    @property
    def client_common_name(self) -> str | None: ...
    @property
    def client_subject(self) -> str | None: ...

@final
class SessionStats:
    @property
    def client_bytes_in(self) -> int: ...
    @property
    def client_bytes_out(self) -> int: ...
    @property
    def requests(self) -> int: ...
    @property
    def backend(self) -> int: ...
    @property
    def status(self) -> int: ...
    @property
    def quiescent(self) -> bool: ...
    @property
    def held(self) -> bool: ...

@final
class Opened:
    __match_args__ = ("link", "listener", "peer", "protocol", "startup", "tls")
    @property
    def link(self) -> int: ...
    @property
    def listener(self) -> int: ...
    @property
    def peer(self) -> str: ...
    @property
    def protocol(self) -> int: ...
    @property
    def startup(self) -> bytes: ...
    @property
    def tls(self) -> TlsInfo | None: ...

@final
class CancelRequested:
    __match_args__ = ("link", "process_id", "key", "peer")
    @property
    def link(self) -> int: ...
    @property
    def process_id(self) -> int: ...
    @property
    def key(self) -> bytes: ...
    @property
    def peer(self) -> str: ...

@final
class Connected:
    __match_args__ = ("link", "tls")
    @property
    def link(self) -> int: ...
    @property
    def tls(self) -> TlsInfo | None: ...

@final
class Messages:
    __match_args__ = ("link", "data")
    @property
    def link(self) -> int: ...
    @property
    def data(self) -> bytes: ...

@final
class Held:
    __match_args__ = (
        "session",
        "generation",
        "status",
        "quiescent",
        "requests",
        "flags",
        "statements",
        "unnamed",
    )
    @property
    def session(self) -> int: ...
    @property
    def generation(self) -> int: ...
    @property
    def status(self) -> int: ...
    @property
    def quiescent(self) -> bool: ...
    @property
    def requests(self) -> int: ...
    @property
    def flags(self) -> int: ...
    @property
    def statements(self) -> list[bytes]: ...
    @property
    def unnamed(self) -> bytes | None: ...

@final
class CutOver:
    __match_args__ = ("session", "generation")
    @property
    def session(self) -> int: ...
    @property
    def generation(self) -> int: ...

@final
class Refused:
    __match_args__ = ("session", "generation", "command", "reason")
    @property
    def session(self) -> int: ...
    @property
    def generation(self) -> int: ...
    @property
    def command(self) -> str: ...
    @property
    def reason(self) -> str: ...

@final
class ParameterChanged:
    __match_args__ = ("session", "name", "value")
    @property
    def session(self) -> int: ...
    @property
    def name(self) -> bytes: ...
    @property
    def value(self) -> bytes: ...

@final
class Flagged:
    __match_args__ = ("session", "flags")
    @property
    def session(self) -> int: ...
    @property
    def flags(self) -> int: ...

@final
class Closed:
    __match_args__ = ("link", "reason")
    @property
    def link(self) -> int: ...
    @property
    def reason(self) -> str: ...

Note: TypeAlias = (
    Opened
    | CancelRequested
    | Connected
    | Messages
    | Held
    | CutOver
    | Refused
    | ParameterChanged
    | Flagged
    | Closed
)

@final
class Engine:
    """The data plane. Commands only enqueue; their effects come back as notes."""

    def __new__(
        cls,
        *,
        workers: int,
        driver: str = "auto",
        notes_max: int = 65536,
        receive_bytes: int = 65536,
        startup_seconds_max: float = 60.0,
        startups_max: int = 10000,
        message_bytes_max: int = 1048576,
        statements_bytes_max: int = 1048576,
        tcp_user_timeout_ms: int = 0,
        keepalive_idle_seconds: int = 60,
    ) -> Engine: ...
    @property
    def event_fd(self) -> int: ...
    @property
    def driver(self) -> str: ...
    @property
    def workers(self) -> int: ...
    def listen(self, fd: int, tls: ServerTls | None = None) -> int: ...
    def unlisten(self, listener: int) -> None: ...
    def set_listener_tls(self, listener: int, tls: ServerTls | None = None) -> None: ...
    def dial(
        self,
        fd: int,
        *,
        near: int | None = None,
        tls: ClientTls | None = None,
        tls_required: bool = False,
        direct_tls: bool = False,
        server_name: str = "",
        hello: bytes = b"",
    ) -> int: ...
    def send(self, link: int, data: bytes) -> None: ...
    def pair(self, client: int, backend: int, generation: int, hello: bytes) -> None: ...
    def hold(self, session: int, generation: int) -> None: ...
    def hold_requests(self, session: int, generation: int) -> None: ...
    def release(self, session: int, generation: int) -> None: ...
    def inject(self, session: int, generation: int, data: bytes) -> None: ...
    def cut_over(self, session: int, generation: int, backend: int, hello: bytes) -> None: ...
    def close(self, link: int, farewell: bytes = b"") -> None: ...
    def session_stats(self, session: int) -> SessionStats | None: ...
    def totals(self) -> tuple[int, int]: ...
    def drain(self, limit: int) -> list[Note]: ...
    def stop(self) -> None: ...

def end_point_hash(certificate_pem: bytes) -> bytes: ...
