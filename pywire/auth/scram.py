"""SCRAM-SHA-256 (RFC 5802, RFC 7677) as PostgreSQL speaks it, both sides of it.

The server side holds the role's real verifier, so a client that knows the password hands over its
ClientKey in the act of proving so; with that and the ServerKey pywire logs in wherever the same
verifier is in force. Pure: nonces come from the caller. Nothing here keeps a key or shows one.
"""

import hashlib
import hmac
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from dataclasses import dataclass, field

from pywire.auth.refusal import (
    FEATURE_NOT_SUPPORTED,
    INVALID_AUTHORIZATION,
    PROTOCOL_VIOLATION,
    Refusal,
    malformed_scram,
)
from pywire.auth.saslprep import saslprep
from pywire.errors import BackendViolation

SCRAM = "SCRAM-SHA-256"
SCRAM_PLUS = "SCRAM-SHA-256-PLUS"
KEY_BYTES = 32
SALT_BYTES = 16
ITERATIONS_DEFAULT = 4096
ITERATIONS_MAX = 10_000_000
NONCE_BYTES = 18
MESSAGE_BYTES_MAX = 8192


@dataclass(frozen=True, slots=True)
class Verifier:
    """What PostgreSQL keeps of a password: `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`."""

    iterations: int
    salt: bytes = field(repr=False)
    stored_key: bytes = field(repr=False)
    server_key: bytes = field(repr=False)

    @classmethod
    def read(cls, text: str) -> "Verifier | None":
        """Read pg_authid.rolpassword; None when it is not a SCRAM verifier."""
        scheme, _, rest = text.partition("$")
        if scheme != SCRAM:
            return None
        head, _, keys = rest.partition("$")
        iterations, _, salt = head.partition(":")
        stored, _, server = keys.partition(":")
        try:
            verifier = cls(
                int(iterations),
                b64decode(salt, validate=True),
                b64decode(stored, validate=True),
                b64decode(server, validate=True),
            )
        except ValueError:  # binascii.Error is one
            return None
        whole = len(verifier.stored_key) == len(verifier.server_key) == KEY_BYTES
        return verifier if whole and verifier.iterations > 0 and verifier.salt else None

    @classmethod
    def build(cls, password: bytes, salt: bytes, iterations: int) -> "Verifier":
        """Compute the verifier of a password."""
        client_key, server_key = password_keys(password, salt, iterations)
        return cls(iterations, salt, hashlib.sha256(client_key).digest(), server_key)

    @classmethod
    def mock(cls, user: str, secret: bytes) -> "Verifier":
        """Make up a verifier that nobody fulfils, always the same for one user.

        An unknown user gets the same questions as a known one, as often as it asks.
        """
        salt = hmac.digest(secret, user.encode("utf-8", "surrogateescape"), "sha256")
        return cls(ITERATIONS_DEFAULT, salt[:SALT_BYTES], bytes(KEY_BYTES), bytes(KEY_BYTES))

    def __str__(self) -> str:
        salt, stored, server = (
            b64encode(x).decode() for x in (self.salt, self.stored_key, self.server_key)
        )
        return f"{SCRAM}${self.iterations}:{salt}${stored}:{server}"


def password_keys(password: bytes, salt: bytes, iterations: int) -> tuple[bytes, bytes]:
    """Return (ClientKey, ServerKey) of a password; slow by design."""
    salted = hashlib.pbkdf2_hmac("sha256", saslprep(password), salt, iterations)
    return hmac.digest(salted, b"Client Key", "sha256"), hmac.digest(
        salted, b"Server Key", "sha256"
    )


def password_fits(password: bytes, verifier: Verifier) -> bool:
    """Whether a password in clear is the one of a verifier."""
    _, server_key = password_keys(password, verifier.salt, verifier.iterations)
    return hmac.compare_digest(server_key, verifier.server_key)


def _xor(one: bytes | memoryview, other: bytes) -> bytes:
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).to_bytes(KEY_BYTES, "big")


class ServerExchange:
    """The server's half of one login.

    `finish` returns None when the proof is wrong, and always when `doomed`, after the same work.
    `client_key` is set by a `finish` that succeeded; the caller takes it from there and clears it.

    Args:
        verifier: the role's, or a mock.
        doomed: never accept, whatever the proof.
        nonce: fresh random bytes.
        end_point: this server's certificate hash when SCRAM-SHA-256-PLUS was offered, else None.
    """

    def __init__(
        self, verifier: Verifier, *, doomed: bool, nonce: bytes, end_point: bytes | None
    ) -> None:
        self._verifier = verifier
        self._doomed = doomed
        self._nonce = b64encode(nonce)
        self._end_point = end_point
        self._binding = b""
        self._first = b""
        self.client_key = b""

    def __repr__(self) -> str:
        return "ServerExchange(…)"

    def begin(self, mechanism: str, data: bytes) -> bytes:
        """Read client-first-message; return server-first-message."""
        if mechanism not in (SCRAM, SCRAM_PLUS) or (
            mechanism == SCRAM_PLUS and self._end_point is None
        ):
            raise Refusal(
                PROTOCOL_VIOLATION, "client selected an invalid SASL authentication mechanism"
            )
        _check_message(data)
        flag, rest = self._read_flag(data, plus=mechanism == SCRAM_PLUS)
        if rest[:1] == b"a":
            raise Refusal(
                FEATURE_NOT_SUPPORTED,
                "client uses authorization identity, but it is not supported",
            )
        if rest[:1] != b",":
            raise malformed_scram("Unexpected attribute in client-first-message.")
        bare = rest[1:]
        header = data[: len(data) - len(bare)]
        self._binding = b64encode(header + (self._end_point or b"" if flag == b"p" else b""))
        client_nonce = _read_client_first_bare(bare)
        self._nonce = client_nonce + self._nonce
        salt = b64encode(self._verifier.salt)
        answer = b"r=%b,s=%b,i=%d" % (self._nonce, salt, self._verifier.iterations)
        self._first = bare + b"," + answer
        return answer

    def _read_flag(self, data: bytes, *, plus: bool) -> tuple[bytes, bytes]:
        """Check the channel-binding flag against the mechanism; return it and what follows."""
        flag = data[:1]
        if flag in (b"n", b"y"):
            if plus:
                raise malformed_scram(
                    "The client selected SCRAM-SHA-256-PLUS, but the SCRAM message does not include channel binding data."
                )
            if flag == b"y" and self._end_point is not None:
                raise Refusal(
                    INVALID_AUTHORIZATION,
                    "SCRAM channel binding negotiation error",
                    "The client supports SCRAM channel binding but thinks the server does not.  "
                    "However, this server does support channel binding.",
                )
            if data[1:2] != b",":
                raise malformed_scram("Comma expected, but found something else.")
            return flag, data[2:]
        if flag == b"p":
            if not plus:
                raise malformed_scram(
                    "The client selected SCRAM-SHA-256 without channel binding, but the SCRAM message includes channel binding data."
                )
            name, _, rest = data.partition(b",")
            if name != b"p=tls-server-end-point":
                kind = name[2:].decode("ascii", "replace")
                raise Refusal(
                    PROTOCOL_VIOLATION, f'unsupported SCRAM channel-binding type "{kind}"'
                )
            return flag, rest
        raise malformed_scram("Unexpected channel-binding flag.")

    def finish(self, data: bytes) -> bytes | None:
        """Read client-final-message; return server-final-message, or None if the proof is wrong."""
        _check_message(data)
        without_proof, mark, proof_text = data.rpartition(b",p=")
        if not mark or not without_proof.startswith(b"c="):
            raise malformed_scram("Unexpected attribute in client-final-message.")
        binding, _, rest = without_proof[2:].partition(b",")
        if not hmac.compare_digest(binding, self._binding):
            message = (
                "SCRAM channel binding check failed"
                if self._end_point is not None and self._binding.startswith(b"cD")
                else "unexpected SCRAM channel-binding attribute in client-final-message"
            )
            code = INVALID_AUTHORIZATION if message.startswith("SCRAM") else PROTOCOL_VIOLATION
            raise Refusal(code, message)
        nonce, _, _extensions = rest.partition(b",")
        if nonce != b"r=" + self._nonce:
            raise Refusal(PROTOCOL_VIOLATION, "invalid SCRAM response", "Nonce does not match.")
        try:
            proof = b64decode(proof_text, validate=True)
        except NotBase64:
            proof = b""
        if len(proof) != KEY_BYTES:
            raise malformed_scram("Malformed proof in client-final-message.")
        signed = self._first + b"," + without_proof
        verifier = self._verifier
        client_key = _xor(proof, hmac.digest(verifier.stored_key, signed, "sha256"))
        fits = hmac.compare_digest(hashlib.sha256(client_key).digest(), verifier.stored_key)
        if not fits or self._doomed:
            return None
        self.client_key = client_key
        return b"v=" + b64encode(hmac.digest(verifier.server_key, signed, "sha256"))


def _check_message(data: bytes) -> None:
    if not data:
        raise malformed_scram("The message is empty.")
    if b"\0" in data or len(data) > MESSAGE_BYTES_MAX:
        raise malformed_scram("Message length does not match input length.")


def _read_client_first_bare(bare: bytes) -> bytes:
    """Return the client's nonce. The user name in it is ignored: the startup's counts."""
    if bare[:1] == b"m":
        raise Refusal(FEATURE_NOT_SUPPORTED, "client requires an unsupported SCRAM extension")
    name, _, rest = bare.partition(b",")
    nonce = rest.partition(b",")[0]
    if not name.startswith(b"n=") or not nonce.startswith(b"r="):
        raise malformed_scram("Unexpected attribute in client-first-message.")
    if any(not 0x21 <= byte <= 0x7E for byte in nonce[2:]):
        raise Refusal(PROTOCOL_VIOLATION, "non-printable characters in SCRAM nonce")
    return nonce[2:]


class KeysOutdated(Exception):
    """The host has another verifier than the one these keys were recovered from."""


class ClientExchange:
    """The client's half of one login to a host.

    Args:
        nonce: fresh random bytes.
    """

    __slots__ = ("_nonce", "_server_signature")

    def __init__(self, nonce: bytes) -> None:
        self._nonce = b64encode(nonce)
        self._server_signature = b""

    def __repr__(self) -> str:
        return "ClientExchange(…)"

    def first(self) -> bytes:
        """Return client-first-message. Channel binding to hosts is not offered."""
        return b"n,,n=,r=" + self._nonce

    def final(
        self, server_first: bytes, *, keys: tuple[bytes | memoryview, bytes, bytes, int]
    ) -> bytes:
        """Read server-first-message; return client-final-message.

        Args:
            server_first: what the host sent.
            keys: (ClientKey, ServerKey, salt, iterations).

        Raises:
            KeysOutdated: salt or iterations are not those of the keys.
            BackendViolation: the host does not speak SCRAM.
        """
        nonce, salt, iterations = _read_server_first(server_first)
        if not nonce.startswith(self._nonce) or nonce == self._nonce:
            raise BackendViolation("invalid SCRAM nonce")
        client_key, server_key, own_salt, own_iterations = keys
        if (own_salt, own_iterations) != (salt, iterations):
            raise KeysOutdated
        without_proof = b"c=biws,r=" + nonce
        signed = b"n=,r=%b,%b,%b" % (self._nonce, server_first, without_proof)
        stored_key = hashlib.sha256(client_key).digest()
        proof = _xor(client_key, hmac.digest(stored_key, signed, "sha256"))
        self._server_signature = hmac.digest(server_key, signed, "sha256")
        return without_proof + b",p=" + b64encode(proof)

    def check(self, server_final: bytes) -> None:
        """Read server-final-message; BackendViolation if the host did not know the verifier."""
        signature = server_final.partition(b",")[0]
        if not signature.startswith(b"v="):
            raise BackendViolation("malformed SCRAM message")
        expected = b"v=" + b64encode(self._server_signature)
        if not self._server_signature or not hmac.compare_digest(signature, expected):
            raise BackendViolation("incorrect server signature")


def salt_and_iterations(server_first: bytes) -> tuple[bytes, int]:
    """Read what a password's keys are computed with."""
    _, salt, iterations = _read_server_first(server_first)
    return salt, iterations


def _read_server_first(data: bytes) -> tuple[bytes, bytes, int]:
    parts = data.split(b",")
    if len(parts) < 3 or [p[:2] for p in parts[:3]] != [b"r=", b"s=", b"i="]:
        raise BackendViolation("malformed SCRAM message")
    try:
        salt, iterations = b64decode(parts[1][2:], validate=True), int(parts[2][2:])
    except ValueError:
        raise BackendViolation("malformed SCRAM message") from None
    if not 0 < iterations <= ITERATIONS_MAX or not salt:
        raise BackendViolation("malformed SCRAM message")
    return parts[0][2:], salt, iterations
