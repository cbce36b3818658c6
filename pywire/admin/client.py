"""`pywire ctl`: one command to the console of the pywire that runs with this configuration, and its answer printed.

A small blocking client over the standard library, so that it starts at once; it logs in like anybody else. It reads
the configuration to know where to connect, and changes nothing itself.
"""

from __future__ import annotations

import json
import os
import secrets
import socket
import ssl
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from pywire.admin.table import Type
from pywire.auth import md5, scram
from pywire.check import load
from pywire.cli import ExitCode
from pywire.config import Config
from pywire.errors import HostError
from pywire.wire import messages

__all__ = ["main"]

CONNECT_SECONDS_MAX = 10.0
RECEIVE_BYTES = 65536
_ALL = ("*", "0.0.0.0", "::")


class ConsoleUnreachable(HostError):
    """No pywire answers where the configuration says it listens."""

    sqlstate = "08001"
    template = "no pywire answers on {address}"


class _Refused(Exception):  # an ErrorResponse, printed by main
    def __init__(self, fields: dict[str, str]) -> None:
        super().__init__(fields.get("M", ""))
        self.fields = fields


@dataclass(slots=True)
class _Table:
    """One statement's answer."""

    columns: list[tuple[str, int]] = field(default_factory=list)
    rows: list[tuple[str | None, ...]] = field(default_factory=list)
    tag: str = ""


def main(config_path: Path, command: str, as_json: bool) -> int:
    """Give one command and print what comes back; returns the exit code.

    The user is PGUSER or the first of `admin.users`; the password PGPASSWORD, or the service user's own.
    """
    config = load(config_path)
    try:
        with _Connection.open(config) as connection:
            tables = connection.run(command)
    except _Refused as refused:
        _print_error(refused.fields)
        login = refused.fields.get("S") == "FATAL"
        return ExitCode.FAILED if login else ExitCode.REFUSED
    for table in tables:
        print(_as_json(table) if as_json else _as_text(table))
    return ExitCode.OK


class _Connection:
    """A logged-in connection to the console."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._unread = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._sock.sendall(messages.TERMINATE)
        except OSError:
            pass
        self._sock.close()

    @classmethod
    def open(cls, config: Config) -> _Connection:
        """Connect and log in; raises ConsoleUnreachable or _Refused."""
        listen = config.listen
        host = "127.0.0.1" if listen.address in _ALL else listen.address
        try:
            sock = socket.create_connection((host, listen.port), timeout=CONNECT_SECONDS_MAX)
            if listen.tls_mode == "require":
                sock = _with_tls(sock, listen.tls_certificate_file)
        except OSError as problem:
            address = f"{listen.address}:{listen.port}"
            raise ConsoleUnreachable(str(problem), address=address) from None
        connection = cls(sock)
        user = os.environ.get("PGUSER") or (config.admin.users[0] if config.admin.users else "")
        connection._log_in(user, _password(config, user), config.admin.database)
        sock.settimeout(None)  # a switchover may take as long as it takes
        return connection

    def _log_in(self, user: str, password: bytes, database: str) -> None:
        body = messages.startup_body(
            {"user": user, "database": database, "application_name": "pywire ctl"}
        )
        self._sock.sendall(messages.startup_message(messages.PROTOCOL_3_0, body))
        exchange = scram.ClientExchange(secrets.token_bytes(scram.NONCE_BYTES))
        while True:
            tag, body = self._receive()
            if tag == ord("Z"):
                return
            if tag == ord("E"):
                raise _Refused(messages.read_fields(body))
            if tag == ord("R"):
                answer = _proof(
                    messages.authentication_code(body), body[4:], exchange, user, password
                )
                if answer:
                    self._sock.sendall(messages.password_message(answer))

    def run(self, command: str) -> list[_Table]:
        """Give a command and gather its answers; notices go to stderr. Raises _Refused."""
        self._sock.sendall(messages.query(command))
        tables: list[_Table] = []
        table, refused = _Table(), None
        while True:
            tag, body = self._receive()
            if tag == ord("T"):
                table.columns = _read_columns(body)
            elif tag == ord("D"):
                table.rows.append(messages.read_row(body))
            elif tag == ord("C"):
                table.tag = body.rstrip(b"\0").decode()
                tables.append(table)
                table = _Table()
            elif tag == ord("N"):
                print(messages.read_fields(body).get("M", ""), file=sys.stderr)
            elif tag == ord("E"):
                refused = _Refused(messages.read_fields(body))
                if refused.fields.get("S") == "FATAL":
                    raise refused
            elif tag == ord("Z"):
                if refused is not None:
                    raise refused
                return tables

    def _receive(self) -> tuple[int, bytes]:
        """The next message."""
        head = self._exactly(5)
        length = int.from_bytes(head[1:], "big")
        return head[0], self._exactly(length - 4)

    def _exactly(self, count: int) -> bytes:
        while len(self._unread) < count:
            try:
                data = self._sock.recv(RECEIVE_BYTES)
            except OSError as problem:
                raise ConsoleUnreachable(str(problem), address="its listener") from None
            if not data:
                raise ConsoleUnreachable("it closed the connection", address="its listener")
            self._unread += data
        taken, self._unread = self._unread[:count], self._unread[count:]
        return taken


def _with_tls(sock: socket.socket, certificate: Path | None) -> socket.socket:
    """TLS with our own listener, known by its certificate; the name in it is for others."""
    sock.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")  # SSLRequest
    if sock.recv(1) != b"S":
        raise OSError("it does not take TLS")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(certificate)
    return context.wrap_socket(sock)


def _password(config: Config, user: str) -> bytes:
    """PGPASSWORD; or the service user's password where that is who we are."""
    if (given := os.environ.get("PGPASSWORD")) is not None:
        return given.encode("utf-8", "surrogateescape")
    for cluster in config.clusters.values():
        if cluster.service_user == user and cluster.service_password_file is not None:
            return cluster.service_password_file.read_bytes().split(b"\n", 1)[0].rstrip(b"\r")
    return b""


def _proof(
    code: int, data: bytes, exchange: scram.ClientExchange, user: str, password: bytes
) -> bytes:
    """The answer to an Authentication message; empty where none is due."""
    if code == messages.AUTH_SASL:
        first = exchange.first()
        return messages.sasl_initial_response(scram.SCRAM, first)[5:]
    if code == messages.AUTH_SASL_CONTINUE:
        salt, iterations = scram.salt_and_iterations(data)
        client_key, server_key = scram.password_keys(password, salt, iterations)
        return exchange.final(data, keys=(memoryview(client_key), server_key, salt, iterations))
    if code == messages.AUTH_SASL_FINAL:
        exchange.check(data)
    if code == messages.AUTH_CLEARTEXT:
        return password + b"\0"
    if code == messages.AUTH_MD5:
        return md5.response(md5.digest_password(password, user).encode("ascii"), data[:4])
    return b""


def _read_columns(body: bytes) -> list[tuple[str, int]]:
    """Names and type OIDs of a RowDescription."""
    count = int.from_bytes(body[:2], "big")
    columns, at = [], 2
    for _ in range(count):
        end = body.index(b"\0", at)
        oid = int.from_bytes(body[end + 7 : end + 11], "big")
        columns.append((body[at:end].decode(), oid))
        at = end + 19
    return columns


def _as_json(table: _Table) -> str:
    """Rows as an array of objects; a command without rows as its tag."""
    if not table.columns:
        return json.dumps({"tag": table.tag})
    rows = [
        {name: _typed(value, oid) for (name, oid), value in zip(table.columns, row, strict=True)}
        for row in table.rows
    ]
    return json.dumps(rows, ensure_ascii=False, indent=1)


def _typed(value: str | None, oid: int) -> str | int | float | bool | None:
    if value is None:
        return None
    if oid == Type.INT8:
        return int(value)
    if oid == Type.FLOAT8:
        return float(value)
    return value == "t" if oid == Type.BOOL else value


def _as_text(table: _Table) -> str:
    """Aligned columns, as psql shows them; a command without rows is its tag."""
    if not table.columns:
        return table.tag
    names = [name for name, _ in table.columns]
    cells = [names, *([value or "" for value in row] for row in table.rows)]
    widths = [max(len(row[index]) for row in cells) for index in range(len(names))]
    numbers = [oid in (Type.INT8, Type.FLOAT8) for _, oid in table.columns]
    lines = [
        _line(row, widths, numbers if at else [False] * len(names)) for at, row in enumerate(cells)
    ]
    lines.insert(1, "-+-".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def _line(row: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return " | ".join(
        value.rjust(width) if is_right else value.ljust(width)
        for value, width, is_right in zip(row, widths, right, strict=True)
    )


def _print_error(fields: dict[str, str]) -> None:
    print(f"pywire: {fields.get('M', 'unknown error')} ({fields.get('C', '')})", file=sys.stderr)
    for key, name in (("D", "detail"), ("H", "hint")):
        if key in fields:
            print(f"{name}: {fields[key]}", file=sys.stderr)
