"""A PostgreSQL that answers from memory: logins of every kind, simple and extended requests.

For tests of what talks to hosts. It runs no SQL: a test says what a statement answers, and a
statement it was told to sit on stays unanswered until it is cancelled or finished.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from pywire.auth import md5, scram
from pywire.auth.refusal import Refusal
from pywire.errors import response_fields
from pywire.wire import messages

PARAMETERS = {
    "client_encoding": "UTF8",
    "DateStyle": "ISO, MDY",
    "in_hot_standby": "off",
    "server_version": "15.16",
    "TimeZone": "Etc/UTC",
}

Answer = Callable[[str, list[str | None]], bytes]


def rows(columns: list[str], *values: list[str | None]) -> bytes:
    """An answer of rows, without ReadyForQuery."""
    described = messages.row_description((name, 25) for name in columns)
    data = b"".join(messages.data_row(row) for row in values)
    return described + data + messages.command_complete(f"SELECT {len(values)}")


def error(sqlstate: str, message: str, severity: str = "ERROR") -> bytes:
    """An ErrorResponse."""
    return messages.error_response(response_fields(severity, sqlstate, message))


@dataclass
class FakePostgres:
    """One host.

    Attributes:
        auth: trust, password, md5 or scram-sha-256.
        verifiers: rolpassword by role; a role that is not in it does not exist.
        answers: by SQL text, what to answer; whatever else is asked succeeds without rows.
        sits_on: SQL texts that are not answered until cancelled.
        refuses: an ErrorResponse for every login, such as `error("57P03", …, "FATAL")`.
        protocol_newest: 3.0 for a server before 18.
    """

    auth: str = "trust"
    verifiers: dict[str, str | None] = field(default_factory=dict)
    answers: dict[str, Answer] = field(default_factory=dict)
    sits_on: set[str] = field(default_factory=set)
    refuses: bytes = b""
    protocol_newest: int = messages.PROTOCOL_3_2
    down: bool = False
    silent: bool = False
    parameters: dict[str, str] = field(default_factory=lambda: dict(PARAMETERS))
    connections: dict[int, "FakeBackend"] = field(default_factory=dict)
    cancelled: list[tuple[int, bytes]] = field(default_factory=list)
    startups: list[dict[str, str]] = field(default_factory=list)
    statements: list[str] = field(default_factory=list)
    next_process_id: int = 1000

    def connect(self, write: Callable[[bytes], None], close: Callable[[], None]) -> "FakeBackend":
        """Open a connection; the backend writes and closes by the callables."""
        self.next_process_id += 1
        return FakeBackend(self, self.next_process_id, write, close)

    def cancel(self, process_id: int, key: bytes) -> None:
        """Do what a CancelRequest asks."""
        self.cancelled.append((process_id, key))
        backend = self.connections.get(process_id)
        if backend is not None and backend.key == key:
            backend.interrupt()


class FakeBackend:
    """One connection of a FakePostgres, driven by the bytes it is given."""

    def __init__(
        self,
        host: FakePostgres,
        process_id: int,
        write: Callable[[bytes], None],
        close: Callable[[], None],
    ) -> None:
        self.host = host
        self.process_id = process_id
        self.key = b""
        self.user = ""
        self.status = "I"
        self.requests = 0
        self.outstanding = 0
        self._write = write
        self._close = close
        self._buffer = b""
        self._started = False
        self._ready = False
        self._sitting = False
        self._sql = ""
        self._values: list[str | None] = []
        self._exchange: scram.ServerExchange | None = None
        self._salt = b"salt"
        self._protocol = messages.PROTOCOL_3_0

    def receive(self, data: bytes) -> None:
        """Take bytes from the frontend, cut anyhow."""
        self._buffer += data
        while (frame := self._next_frame()) is not None:
            if not self._started:
                self._start(frame)
            elif not self._ready:
                self._prove(frame[5:])
            else:
                self._request(frame[0], frame[5:])

    def _next_frame(self) -> bytes | None:
        head = 1 if self._started else 0
        if self.host.silent or self._sitting or len(self._buffer) < head + 4:
            return None
        length = int.from_bytes(self._buffer[head : head + 4], "big") + head
        if len(self._buffer) < length:
            return None
        frame, self._buffer = self._buffer[:length], self._buffer[length:]
        return frame

    # --- login ---

    def _start(self, frame: bytes) -> None:
        self._protocol = int.from_bytes(frame[4:8], "big")
        if self._protocol == messages.CANCEL_REQUEST_CODE:
            self.host.cancel(int.from_bytes(frame[8:12], "big"), frame[12:])
            self._close()
            return
        self._started = True
        parts = frame[8:-1].decode().split("\0")
        parameters = dict(zip(parts[:-1:2], parts[1::2], strict=True))
        self.host.startups.append(parameters)
        self.user = parameters["user"]
        if self._protocol > self.host.protocol_newest:
            self._protocol = self.host.protocol_newest
            self._write(messages.negotiate_protocol_version(self._protocol, []))
        if self.host.refuses:
            self._fatal(self.host.refuses)
        elif self.host.auth == "trust":
            self._let_in()
        elif self.host.auth == "password":
            self._write(messages.authentication(messages.AUTH_CLEARTEXT))
        elif self.host.auth == "md5":
            self._write(messages.authentication(messages.AUTH_MD5, self._salt))
        else:
            verifier = scram.Verifier.read(self.host.verifiers.get(self.user) or "")
            self._exchange = scram.ServerExchange(
                verifier or scram.Verifier.mock(self.user, b"secret"),
                doomed=verifier is None,
                nonce=secrets.token_bytes(18),
                end_point=None,
            )
            self._write(messages.authentication_sasl([scram.SCRAM]))

    def _prove(self, body: bytes) -> None:
        stored = self.host.verifiers.get(self.user) or ""
        if self._exchange is not None:
            self._prove_scram(self._exchange, body)
            return
        if self.host.auth == "md5":
            fits = md5.response_fits(body, md5.read_verifier(stored) or "", self._salt)
        else:
            verifier = scram.Verifier.read(stored)
            fits = verifier is not None and scram.password_fits(body[:-1], verifier)
        if fits:
            self._let_in()
        else:
            self._password_failed()

    def _prove_scram(self, exchange: scram.ServerExchange, body: bytes) -> None:
        try:
            if body.startswith(b"SCRAM"):
                first = exchange.begin(*messages.read_sasl_initial_response(body))
                self._write(messages.authentication(messages.AUTH_SASL_CONTINUE, first))
                return
            final = exchange.finish(body)
        except Refusal as refusal:
            self._fatal(messages.error_response(refusal.response_fields()))
            return
        if final is None:
            self._password_failed()
            return
        self._write(messages.authentication(messages.AUTH_SASL_FINAL, final))
        self._let_in()

    def _password_failed(self) -> None:
        text = f'password authentication failed for user "{self.user}"'
        self._fatal(error("28P01", text, "FATAL"))

    def _let_in(self) -> None:
        self._ready = True
        self.host.connections[self.process_id] = self
        self.key = secrets.token_bytes(32 if self._protocol >= messages.PROTOCOL_3_2 else 4)
        told = [
            messages.parameter_status(n.encode(), v.encode())
            for n, v in self.host.parameters.items()
        ]
        self._write(
            messages.AUTHENTICATION_OK
            + b"".join(told)
            + messages.backend_key_data(self.process_id, self.key)
            + messages.READY_FOR_QUERY_IDLE
        )

    def _fatal(self, response: bytes) -> None:
        self._write(response)
        self._close()

    # --- requests ---

    def _request(self, tag: int, body: bytes) -> None:
        if tag == ord("Q"):
            self._begin()
            self._run(body[:-1].decode(), [])
        elif tag == ord("P"):
            self._sql = body.split(b"\0")[1].decode()
            self._write(b"1\0\0\0\x04")
        elif tag == ord("B"):
            at = body.index(b"\0", body.index(b"\0") + 1) + 3
            self._values = list(messages.read_row(body[at:]))
            self._write(b"2\0\0\0\x04")
        elif tag == ord("E"):
            self._run(self._sql, self._values, extended=True)
        elif tag == ord("S"):
            self._begin()
            self._finish()
        elif tag == ord("X"):
            self.host.connections.pop(self.process_id, None)
            self._close()

    def _begin(self) -> None:
        self.requests += 1
        self.outstanding += 1

    def _run(self, sql: str, values: list[str | None], *, extended: bool = False) -> None:
        self.host.statements.append(sql)
        if sql in self.host.sits_on:
            self._sitting = True
            return
        answer = self.host.answers.get(sql)
        if answer is None:
            self._write(messages.command_complete(sql.split(" ", maxsplit=1)[0].upper()))
        else:
            self._write(answer(sql, values))
        if not extended:
            self._finish()

    def _finish(self) -> None:
        self.outstanding -= 1
        self._write(messages.ready_for_query(self.status))

    @property
    def running(self) -> bool:
        """Whether a request is not answered yet."""
        return self.outstanding > 0

    def interrupt(self) -> None:
        """A cancel request has come: end what is being sat on."""
        if self._sitting:
            self._sitting = False
            self._write(error("57014", "canceling statement due to user request"))
            self._finish()
            self.receive(b"")

    def finish(self) -> None:
        """Answer what is being sat on."""
        if self._sitting:
            self._sitting = False
            self._write(messages.command_complete("SELECT 1"))
            self._finish()
            self.receive(b"")

    def die(self) -> None:
        """The backend is terminated by an administrator."""
        text = "terminating connection due to administrator command"
        self._fatal(error("57P01", text, "FATAL"))
