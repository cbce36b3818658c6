"""Have a client prove who it is, the way PostgreSQL would, and keep what the proof is good for.

A user that does not exist is asked the same questions and refused with the same words as one with
a wrong password. What is returned lets pywire log in to hosts in the client's name.
"""

import secrets

import trio

from pywire.auth import md5, refusal, scram
from pywire.auth.credentials import TRUST, Credentials, Md5Verifier, Password, ScramKeys
from pywire.auth.policy import LoginPolicy, is_loopback
from pywire.auth.secrets import SecretStore
from pywire.auth.verifiers import RoleSecret
from pywire.errors import BackendViolation, HostRejected, PasswordRefused
from pywire.relay.notes import Opened
from pywire.relay.port import Link, StatementFailed
from pywire.relay.verify import VerifierReader
from pywire.session.startup import Startup
from pywire.wire import messages

PASSWORD_BYTES_MAX = 65535


class Authenticator:
    """Authenticates clients.

    Args:
        verifiers: where the roles' verifiers come from.
        store: where what has been learnt is kept.
    """

    def __init__(self, verifiers: VerifierReader, store: SecretStore) -> None:
        self._verifiers = verifiers
        self._store = store
        self._mock_secret = secrets.token_bytes(32)
        self.end_points: dict[int, bytes] = {}  # listener → its certificate's hash

    async def authenticate(
        self, note: Opened, link: Link, startup: Startup, policy: LoginPolicy
    ) -> Credentials:
        """Return what the client's proof is good for; the caller sends AuthenticationOk.

        Raises:
            LoginError: the client is to be told so and closed.
            LinkClosed: it went away.
        """
        if policy.auth == "trust":
            return _check_trust(note, startup, policy)
        if policy.auth == "cert":
            return _check_certificate(note, startup)
        role = await self._find(startup)
        try:
            if policy.auth == "password":
                return await self._ask_password(link, startup, role)
            digest = md5.read_verifier(role.verifier or "")
            if policy.auth == "md5" and digest is not None:
                return await self._ask_md5(link, startup, role, digest)
            return await self._ask_scram(note, link, startup, role)
        except PasswordRefused:
            self._verifiers.doubt(startup)
            raise

    async def _find(self, startup: Startup) -> RoleSecret:
        """Look the role up; why pywire itself was turned away is for the log, not for strangers."""
        try:
            return await self._verifiers.find(startup)
        except (HostRejected, StatementFailed, BackendViolation) as error:
            raise refusal.Refusal(
                refusal.CANNOT_CONNECT_NOW,
                "passwords cannot be checked now",
                hint="The log of pywire says why.",
            ) from error

    def password_changed(self, startup: Startup) -> PasswordRefused:
        """A host knows better than what was kept; return the refusal the client is to get."""
        self._verifiers.doubt(startup, sure=True)
        return refusal.password_failed(startup.user)

    async def _ask_scram(
        self, note: Opened, link: Link, startup: Startup, role: RoleSecret
    ) -> Credentials:
        verifier = scram.Verifier.read(role.verifier or "")
        doomed = verifier is None or role.expired
        if verifier is None:
            verifier = scram.Verifier.mock(startup.user, self._mock_secret)
        end_point = self.end_points.get(note.listener) if note.tls is not None else None
        offered = [scram.SCRAM] if end_point is None else [scram.SCRAM_PLUS, scram.SCRAM]
        exchange = scram.ServerExchange(
            verifier,
            doomed=doomed,
            nonce=secrets.token_bytes(scram.NONCE_BYTES),
            end_point=end_point,
        )
        link.send(messages.authentication_sasl(offered))
        try:
            mechanism, data = messages.read_sasl_initial_response(await _password_body(link))
        except ValueError:
            raise refusal.malformed_scram("Malformed SASLInitialResponse.") from None
        first = exchange.begin(mechanism, data)
        link.send(messages.authentication(messages.AUTH_SASL_CONTINUE, first))
        final = exchange.finish(await _password_body(link))
        if final is None:
            raise refusal.password_failed(startup.user)
        link.send(messages.authentication(messages.AUTH_SASL_FINAL, final))
        slot = self._store.keep(exchange.client_key)
        exchange.client_key = b""
        return ScramKeys(slot, verifier.server_key, verifier.salt, verifier.iterations)

    async def _ask_md5(
        self, link: Link, startup: Startup, role: RoleSecret, digest: str
    ) -> Credentials:
        salt = secrets.token_bytes(md5.SALT_BYTES)
        link.send(messages.authentication(messages.AUTH_MD5, salt))
        answer = await _password_body(link)
        if not md5.response_fits(answer, digest, salt) or role.expired:
            raise refusal.password_failed(startup.user)
        return Md5Verifier(self._store.keep(digest.encode("ascii")))

    async def _ask_password(self, link: Link, startup: Startup, role: RoleSecret) -> Credentials:
        link.send(messages.authentication(messages.AUTH_CLEARTEXT))
        body = await _password_body(link)
        password, nul, rest = body.partition(b"\0")
        if not nul or rest or len(password) > PASSWORD_BYTES_MAX:
            raise refusal.Refusal(refusal.PROTOCOL_VIOLATION, "invalid password packet size")
        if not password:
            raise refusal.Refusal(
                refusal.INVALID_PASSWORD_TEXT, "empty password returned by client"
            )
        if not await self._password_fits(password, startup.user, role):
            raise refusal.password_failed(startup.user)
        return Password(self._store.keep(password))

    async def _password_fits(self, password: bytes, user: str, role: RoleSecret) -> bool:
        """Compare, at the same cost whether or not the role exists."""
        digest = md5.read_verifier(role.verifier or "")
        if digest is not None:
            return md5.digest_password(password, user) == digest and not role.expired
        verifier = scram.Verifier.read(role.verifier or "")
        known = verifier is not None
        if verifier is None:
            verifier = scram.Verifier.mock(user, self._mock_secret)
        # Slow by design, so in a thread: the pump must not wait for it.
        fits = await trio.to_thread.run_sync(scram.password_fits, password, verifier)
        return fits and known and not role.expired


def _check_trust(note: Opened, startup: Startup, policy: LoginPolicy) -> Credentials:
    if not policy.trust_anywhere and not is_loopback(note.peer):
        failed = refusal.method_failed("trust", startup.user)
        failed.detail = "Clients are trusted only on the machine that pywire runs on."
        raise failed
    return TRUST


def _check_certificate(note: Opened, startup: Startup) -> Credentials:
    if note.tls is None or note.tls.client_subject is None:
        raise refusal.Refusal(
            refusal.INVALID_AUTHORIZATION, "connection requires a valid client certificate"
        )
    if note.tls.client_common_name != startup.user:
        raise refusal.method_failed("certificate", startup.user)
    return TRUST


async def _password_body(link: Link) -> bytes:
    """Return the body of the one PasswordMessage the client owes."""
    data = await link.receive()
    if data[:1] == b"X":
        link.close()
        raise refusal.Refusal(refusal.PROTOCOL_VIOLATION, "terminated by the client")
    parts = messages.split(data)
    if len(parts) != 1 or parts[0][0] != 0x70:
        kind = parts[0][0] if parts else 0
        raise refusal.Refusal(
            refusal.PROTOCOL_VIOLATION, f"expected password response, got message type {kind}"
        )
    return parts[0][1]
