"""Log in to a host: for a client with what its login gave us, or as the service user.

Returns a backend that is ReadyForQuery, or says who would not have us and why; a host's own
refusal is kept verbatim, for the client it concerns. Nothing is retried here.
"""

import secrets

import trio

from pywire.auth import md5, scram
from pywire.auth.credentials import Credentials, Md5Verifier, Password, ScramKeys
from pywire.auth.secrets import SecretStore
from pywire.errors import BackendViolation, HostRejected, HostUnreachable
from pywire.relay.backend import HostBackend
from pywire.relay.hello import Hello
from pywire.relay.port import Link, LinkClosed, LoginRefused, Relay, VerifierChanged
from pywire.relay.resolve import Resolver
from pywire.session.host import Host
from pywire.session.session import Session
from pywire.wire import messages

_AUTHENTICATION, _ERROR, _NEGOTIATE, _NOTICE = b"REvN"


class Connector:
    """Logs in to hosts.

    Args:
        relay: what carries the bytes.
        store: where keys derived from a service password are kept.
    """

    def __init__(self, relay: Relay, store: SecretStore) -> None:
        self._relay = relay
        self._store = store
        self._resolver = Resolver()

    async def connect(
        self,
        host: Host,
        body: bytes,
        credentials: Credentials,
        *,
        user: str,
        timeout_seconds: float,
        protocol: int = messages.PROTOCOL_3_0,
        near: int | None = None,
        link: Link | None = None,
    ) -> HostBackend:
        """Log in.

        Args:
            host: where.
            body: the startup parameters as they stand in a StartupMessage.
            credentials: what proves the user.
            user: the user named in `body`.
            timeout_seconds: for everything, login included.
            protocol: the protocol version to ask for.
            near: the client link that will get the backend; both must share a worker.
            link: one that has been dialled with this startup already, if there is one.

        Raises:
            HostUnreachable: no connection came about in time.
            LoginRefused: the host answered with an ErrorResponse.
            HostRejected: the host asks for a proof that we do not have.
        """
        backend: HostBackend | None = None
        with trio.move_on_after(timeout_seconds):
            try:
                if link is None:
                    link = await self._dial(host, near, messages.startup_message(protocol, body))
                login = _Login(self, host, link, credentials, user)
                backend = HostBackend(host, link, await login.run())
                return backend
            except LinkClosed as closed:
                raise HostUnreachable(closed.reason, host=host.name) from None
            finally:
                if backend is None and link is not None:
                    link.close()
        raise HostUnreachable("timeout expired", host=host.name)

    def dial_now(self, host: Host, hello: bytes, near: int) -> Link | None:
        """Dial, where that needs no waiting: one address, and it is known."""
        address = self._resolver.known(host.address)
        if address is None:
            return None
        try:
            return self._relay.dial(address, near=near, tls=host.tls, hello=hello)
        except OSError:
            return None

    async def reopen(self, session: Session, host: Host, *, timeout_seconds: float) -> HostBackend:
        """Log a session in on another host, exactly as its client did; raises as `connect`."""
        return await self.connect(
            host,
            session.startup.host_body(),
            session.credentials,
            user=session.user,
            timeout_seconds=timeout_seconds,
            protocol=min(session.startup.protocol, messages.PROTOCOL_3_2),
            near=session.id,
        )

    async def service(
        self,
        host: Host,
        *,
        user: str,
        database: str,
        credentials: Credentials,
        timeout_seconds: float,
    ) -> HostBackend:
        """Log in for pywire itself; raises as `connect`."""
        parameters = {
            "user": user,
            "database": database,
            "application_name": "pywire",
            "client_encoding": "UTF8",
        }
        return await self.connect(
            host,
            messages.startup_body(parameters),
            credentials,
            user=user,
            timeout_seconds=timeout_seconds,
        )

    async def _dial(self, host: Host, near: int | None, hello: bytes) -> Link:
        """Dial the first address that answers; with only one, do not wait for it to."""
        reason = "no address"
        try:
            addresses = await self._resolver.resolve(host.address)
        except OSError as error:
            raise HostUnreachable(str(error), host=host.name) from None
        for address in addresses:
            try:
                link = self._relay.dial(address, near=near, tls=host.tls, hello=hello)
            except OSError as error:
                reason = str(error)
                continue
            if len(addresses) == 1:
                return link
            try:
                await link.connected()
            except LinkClosed as closed:
                reason = closed.reason
                continue
            except BaseException:
                link.close()
                raise
            return link
        raise HostUnreachable(reason, host=host.name)

    def derive(self, password: Password, salt: bytes, iterations: int) -> ScramKeys:
        """Return the keys of a password, computed once per verifier."""
        keys = password.derived
        if keys is None or (keys.salt, keys.iterations) != (salt, iterations):
            secret = bytes(password.secret.reveal())
            client_key, server_key = scram.password_keys(secret, salt, iterations)
            keys = ScramKeys(self._store.keep(client_key), server_key, salt, iterations)
            password.derived = keys
        return keys


class _Login:
    """One login's conversation with a host."""

    __slots__ = ("_connector", "_credentials", "_exchange", "_host", "_link", "_user")

    def __init__(
        self, connector: Connector, host: Host, link: Link, credentials: Credentials, user: str
    ) -> None:
        self._connector = connector
        self._host = host
        self._link = link
        self._credentials = credentials
        self._user = user
        self._exchange: scram.ClientExchange | None = None

    async def run(self) -> Hello:
        """Answer what the host asks; return what it says when it lets us in."""
        while True:
            data = await self._link.receive()
            if data.startswith(messages.AUTHENTICATION_OK):
                return await self._rest(data)
            for tag, start, end in messages.spans(data):
                if tag == _AUTHENTICATION:
                    body = data[start + 5 : end]
                    if body == b"\0\0\0\0":
                        return await self._rest(data[start:])
                    self._answer(body)
                elif tag == _ERROR:
                    self._refused(data[start:end])
                elif tag not in (_NEGOTIATE, _NOTICE):
                    raise BackendViolation(f"unexpected message {tag:#04x} during authentication")

    async def _rest(self, data: bytes) -> Hello:
        """Wait until ReadyForQuery; nothing in between is ours to judge, but an error is."""
        while True:
            hello = Hello(data)
            if hello.refusal:
                self._refused(hello.refusal)
            if hello.ready:
                return hello
            data += await self._link.receive()

    def _refused(self, response: bytes) -> None:
        self._link.close()
        raise LoginRefused(self._host.name, response)

    def _answer(self, body: bytes) -> None:
        """Answer one Authentication message."""
        code = messages.authentication_code(body)
        credentials = self._credentials
        if code == messages.AUTH_SASL:
            self._begin_scram(messages.sasl_mechanisms(body))
        elif code == messages.AUTH_SASL_CONTINUE and self._exchange is not None:
            self._continue_scram(body[4:])
        elif code == messages.AUTH_SASL_FINAL and self._exchange is not None:
            self._exchange.check(body[4:])
        elif code == messages.AUTH_MD5 and isinstance(credentials, Md5Verifier | Password):
            answer = md5.response(self._md5_digest(), body[4:8])
            self._link.send(messages.password_message(answer))
        elif code == messages.AUTH_CLEARTEXT and isinstance(credentials, Password):
            answer = bytes(credentials.secret.reveal()) + b"\0"
            self._link.send(messages.password_message(answer))
        else:
            raise self._no_proof(code)

    def _md5_digest(self) -> bytes:
        if isinstance(self._credentials, Md5Verifier):
            return bytes(self._credentials.secret.reveal())
        assert isinstance(self._credentials, Password)
        secret = bytes(self._credentials.secret.reveal())
        return md5.digest_password(secret, self._user).encode("ascii")

    def _begin_scram(self, mechanisms: list[str]) -> None:
        credentials = self._credentials
        if scram.SCRAM not in mechanisms or not isinstance(credentials, ScramKeys | Password):
            raise self._no_proof(messages.AUTH_SASL)
        nonce = secrets.token_bytes(scram.NONCE_BYTES)
        self._exchange = scram.ClientExchange(nonce)
        first = self._exchange.first()
        self._link.send(messages.sasl_initial_response(scram.SCRAM, first))

    def _continue_scram(self, server_first: bytes) -> None:
        assert self._exchange is not None
        keys = self._credentials
        if isinstance(keys, Password):
            salt, iterations = scram.salt_and_iterations(server_first)
            keys = self._connector.derive(keys, salt, iterations)
        assert isinstance(keys, ScramKeys)
        try:
            final = self._exchange.final(
                server_first,
                keys=(keys.client_key.reveal(), keys.server_key, keys.salt, keys.iterations),
            )
        except scram.KeysOutdated:
            raise VerifierChanged(self._host.name) from None
        self._link.send(messages.password_message(final))

    def _no_proof(self, code: int) -> HostRejected:
        asked = _ASKED.get(code, f"authentication method {code}")
        return HostRejected(
            f"it asks for {asked}, which pywire cannot give for this user",
            hint='Let clients log in with auth = "scram-sha-256", or let the host trust pywire in pg_hba.conf.',
            host=self._host.name,
        )


_ASKED = {
    messages.AUTH_CLEARTEXT: "a password in clear",
    messages.AUTH_MD5: "an md5 password",
    messages.AUTH_SASL: "SASL authentication",
    7: "GSSAPI",
    9: "SSPI",
}
