"""The few protocol messages Python builds or reads itself: login, errors, and our own statements.

Pure functions over bytes. Messages of a running session never come here; Rust counts and forwards
those without looking inside.
"""

from collections.abc import Iterable, Iterator, Mapping
from struct import Struct

_LENGTH = Struct("!I")
_HEADER = Struct("!BI")
_WORD = Struct("!H")
_SIGNED = Struct("!i")
_COLUMN = Struct("!IHIhih")

PROTOCOL_MAJOR = 3
PROTOCOL_3_0 = 3 << 16
PROTOCOL_3_2 = (3 << 16) | 2
CANCEL_REQUEST_CODE = 80877102

AUTHENTICATION_OK = b"R\0\0\0\x08\0\0\0\0"
READY_FOR_QUERY_IDLE = b"Z\0\0\0\x05I"
SYNC = b"S\0\0\0\x04"
TERMINATE = b"X\0\0\0\x04"

AUTH_OK, AUTH_CLEARTEXT, AUTH_MD5, AUTH_SASL, AUTH_SASL_CONTINUE, AUTH_SASL_FINAL = (
    0,
    3,
    5,
    10,
    11,
    12,
)


def message(tag: bytes, body: bytes) -> bytes:
    """Frame one message."""
    return tag + _LENGTH.pack(len(body) + 4) + body


def spans(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Walk whole messages: (tag, start, end), `start` being where the message's tag stands."""
    at, end = 0, len(data)
    while at + 5 <= end:
        tag, length = _HEADER.unpack_from(data, at)
        stop = at + 1 + length
        if length < 4 or stop > end:
            raise ValueError("not whole messages")
        yield tag, at, stop
        at = stop
    if at != end:
        raise ValueError("not whole messages")


def split(data: bytes) -> list[tuple[int, bytes]]:
    """Take whole messages apart: a list of (tag, body)."""
    return [(tag, data[start + 5 : end]) for tag, start, end in spans(data)]


# --- startup ---


def startup_body(parameters: Mapping[str, str]) -> bytes:
    """Write startup parameters as they stand in a StartupMessage, closing NUL included."""
    parts = [f"{name}\0{value}\0" for name, value in parameters.items()]
    return ("".join(parts) + "\0").encode("utf-8", "surrogateescape")


def startup_message(protocol: int, body: bytes) -> bytes:
    """Frame a StartupMessage."""
    return _LENGTH.pack(len(body) + 8) + _LENGTH.pack(protocol) + body


def cancel_request(process_id: int, key: bytes) -> bytes:
    """Frame a CancelRequest; the key has 4 bytes, or more from protocol 3.2 on."""
    body = _LENGTH.pack(CANCEL_REQUEST_CODE) + _LENGTH.pack(process_id) + key
    return _LENGTH.pack(len(body) + 4) + body


def negotiate_protocol_version(newest: int, unrecognized: Iterable[bytes]) -> bytes:
    """Tell a client the newest protocol version spoken, and which `_pq_.` options are not known."""
    names = list(unrecognized)
    body = _LENGTH.pack(newest) + _LENGTH.pack(len(names)) + b"".join(n + b"\0" for n in names)
    return message(b"v", body)


def backend_key_data(process_id: int, key: bytes) -> bytes:
    """Write the message that lets a client cancel."""
    return message(b"K", _LENGTH.pack(process_id) + key)


def parameter_status(name: bytes, value: bytes) -> bytes:
    """Write the message that reports a parameter."""
    return message(b"S", name + b"\0" + value + b"\0")


def parameter_statuses(data: bytes) -> dict[str, str]:
    """Read whole messages and return what their ParameterStatus ones report."""
    found: dict[str, str] = {}
    for tag, start, end in spans(data):
        if tag == 0x53:
            name, _, value = data[start + 5 : end - 1].partition(b"\0")
            found[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
    return found


# --- authentication ---


def authentication(code: int, data: bytes = b"") -> bytes:
    """Write an Authentication message."""
    return message(b"R", _LENGTH.pack(code) + data)


def authentication_sasl(mechanisms: Iterable[str]) -> bytes:
    """Offer SASL mechanisms."""
    names = b"".join(name.encode("ascii") + b"\0" for name in mechanisms)
    return authentication(AUTH_SASL, names + b"\0")


def authentication_code(body: bytes) -> int:
    """Return which Authentication message this is."""
    return _LENGTH.unpack_from(body)[0] if len(body) >= 4 else -1


def sasl_mechanisms(body: bytes) -> list[str]:
    """Read the mechanisms an AuthenticationSASL offers."""
    return [name.decode("ascii", "replace") for name in body[4:].split(b"\0") if name]


def sasl_initial_response(mechanism: str, data: bytes) -> bytes:
    """Choose a mechanism and begin."""
    head = mechanism.encode("ascii") + b"\0" + _LENGTH.pack(len(data))
    return message(b"p", head + data)


def read_sasl_initial_response(body: bytes) -> tuple[str, bytes]:
    """Read a SASLInitialResponse; raises ValueError when it is malformed."""
    name, nul, rest = body.partition(b"\0")
    if not nul or len(rest) < 4:
        raise ValueError("malformed SASLInitialResponse")
    (length,) = _SIGNED.unpack_from(rest)
    data = rest[4:]
    if length == -1 and not data:
        return name.decode("ascii", "replace"), b""
    if length != len(data):
        raise ValueError("malformed SASLInitialResponse")
    return name.decode("ascii", "replace"), data


def password_message(data: bytes) -> bytes:
    """Write a PasswordMessage or SASLResponse; a password needs its closing NUL from the caller."""
    return message(b"p", data)


# --- errors ---


def error_response(fields: Iterable[tuple[str, str]]) -> bytes:
    """Write an ErrorResponse from (type, value) pairs, such as PywireError.response_fields()."""
    return message(b"E", _fields(fields))


def notice_response(fields: Iterable[tuple[str, str]]) -> bytes:
    """Write a NoticeResponse."""
    return message(b"N", _fields(fields))


def _fields(fields: Iterable[tuple[str, str]]) -> bytes:
    text = "".join(f"{key}{value}\0" for key, value in fields)
    return text.encode("utf-8", "surrogateescape") + b"\0"


def read_fields(body: bytes) -> dict[str, str]:
    """Read an ErrorResponse's or NoticeResponse's fields by their one-letter type."""
    parts = body.split(b"\0")
    return {chr(p[0]): p[1:].decode("utf-8", "replace") for p in parts if p}


# --- our own statements ---


def query(sql: str) -> bytes:
    """Write a Query."""
    return message(b"Q", sql.encode() + b"\0")


def parse(name: bytes, sql: str) -> bytes:
    """Write a Parse without parameter types."""
    return message(b"P", name + b"\0" + sql.encode() + b"\0\0\0")


def bind(name: bytes, values: Iterable[str | None]) -> bytes:
    """Write a Bind of the unnamed portal; values and results are text."""
    parts = [b"\0" + name + b"\0\0\0"]
    encoded = [None if v is None else v.encode("utf-8", "surrogateescape") for v in values]
    parts.append(_WORD.pack(len(encoded)))
    parts += [_SIGNED.pack(-1) if v is None else _SIGNED.pack(len(v)) + v for v in encoded]
    parts.append(b"\0\0")
    return message(b"B", b"".join(parts))


def execute() -> bytes:
    """Write an Execute of the unnamed portal, all rows."""
    return message(b"E", b"\0\0\0\0\0")


def describe_portal() -> bytes:
    """Write a Describe of the unnamed portal."""
    return message(b"D", b"P\0")


def close_statement(name: bytes) -> bytes:
    """Write a Close of a prepared statement."""
    return message(b"C", b"S" + name + b"\0")


def row_description(columns: Iterable[tuple[str, int]]) -> bytes:
    """Write a RowDescription of text columns: (name, type OID)."""
    parts = []
    for name, oid in columns:
        parts.append(name.encode() + b"\0" + _COLUMN.pack(0, 0, oid, -1, -1, 0))
    return message(b"T", _WORD.pack(len(parts)) + b"".join(parts))


def data_row(values: Iterable[str | None]) -> bytes:
    """Write a DataRow of text values."""
    parts = []
    for value in values:
        data = None if value is None else value.encode()
        parts.append(_SIGNED.pack(-1) if data is None else _SIGNED.pack(len(data)) + data)
    return message(b"D", _WORD.pack(len(parts)) + b"".join(parts))


def command_complete(tag: str) -> bytes:
    """Write a CommandComplete."""
    return message(b"C", tag.encode() + b"\0")


def ready_for_query(status: str = "I") -> bytes:
    """Write a ReadyForQuery."""
    return message(b"Z", status.encode())


def read_columns(body: bytes) -> tuple[str, ...]:
    """Read the column names of a RowDescription."""
    (count,) = _WORD.unpack_from(body)
    names, at = [], 2
    for _ in range(count):
        end = body.index(b"\0", at)
        names.append(body[at:end].decode("utf-8", "replace"))
        at = end + 1 + _COLUMN.size
    return tuple(names)


def read_row(body: bytes) -> tuple[str | None, ...]:
    """Read a DataRow of text values."""
    (count,) = _WORD.unpack_from(body)
    values: list[str | None] = []
    at = 2
    for _ in range(count):
        (length,) = _SIGNED.unpack_from(body, at)
        at += 4
        if length < 0:
            values.append(None)
        else:
            values.append(body[at : at + length].decode("utf-8", "surrogateescape"))
            at += length
    return tuple(values)
