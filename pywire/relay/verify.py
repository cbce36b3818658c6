"""Read a role's verifier from a host, over one service connection per host.

Logins of the same user at the same moment share one question. Verifiers are kept for a limited
time (auth/verifiers.py); this module keeps nothing else and decides nothing.
"""

import trio

from pywire.auth.verifiers import UNKNOWN_ROLE, RoleSecret, VerifierCache
from pywire.config.model import VERIFIER_QUERY
from pywire.errors import HostUnreachable
from pywire.relay.port import Backend, Directory, LinkClosed, StatementFailed
from pywire.session.host import Host
from pywire.session.startup import Startup
from pywire.wire import messages

# What the default really asks: the host itself is told of nothing but the role's name.
_QUERY = (
    "SELECT rolname, rolpassword, rolcanlogin, coalesce(rolvaliduntil < now(), false)"
    " FROM pg_catalog.pg_authid WHERE rolname = $1"
)
REREAD_SECONDS_MIN = 1.0
_ROW, _ERROR = b"DE"


class VerifierReader:
    """Finds role secrets.

    Args:
        directory: knows the hosts and how to log in to them as the service user.
        seconds_max: how long an answer may be used again.
        query: what to ask; `$1` is the user. Its first two columns are name and verifier.
    """

    def __init__(self, directory: Directory, seconds_max: float, query: str) -> None:
        self._directory = directory
        self._cache = VerifierCache(seconds_max)
        self._query = _QUERY if query == VERIFIER_QUERY else query
        self._backends: dict[tuple[str, str], Backend] = {}
        self._locks: dict[tuple[str, str], trio.Lock] = {}
        self._asking: dict[tuple[str, str], trio.Event] = {}

    def configure(self, seconds_max: float, query: str) -> None:
        """Take over a reloaded configuration."""
        self._cache.seconds_max = seconds_max
        self._query = _QUERY if query == VERIFIER_QUERY else query
        self._cache.clear()

    async def find(self, startup: Startup) -> RoleSecret:
        """Return what is known of the role a client wants to be.

        Raises:
            HostError: no host could be asked.
        """
        host = await self._directory.verifier_host(startup)
        place = (host.cluster, startup.user)
        while True:
            known = self._cache.get(*place, trio.current_time())
            if known is not None:
                return known
            asking = self._asking.get(place)
            if asking is None:
                break
            await asking.wait()
            if self._cache.seconds_max <= 0:
                break
        done = self._asking[place] = trio.Event()
        try:
            secret = await self._ask(host, startup.user)
            self._cache.put(*place, secret, trio.current_time())
            return secret
        finally:
            if self._asking.get(place) is done:
                del self._asking[place]
            done.set()

    def doubt(self, startup: Startup, *, sure: bool = False) -> None:
        """What was kept may be outdated: ask again next time.

        Args:
            startup: whose login failed.
            sure: it is outdated; otherwise what was read a moment ago is still believed.
        """
        younger_than = 0.0 if sure else REREAD_SECONDS_MIN
        now = trio.current_time()
        for cluster in {cluster for cluster, _ in self._backends}:
            self._cache.forget(cluster, startup.user, now, younger_than=younger_than)

    async def _ask(self, host: Host, user: str) -> RoleSecret:
        place = (host.cluster, host.name)
        lock = self._locks.setdefault(place, trio.Lock())
        async with lock:
            backend = self._backends.pop(place, None)
            if backend is not None:
                try:
                    return await self._read(place, backend, user)
                except LinkClosed:
                    pass  # it went away while nobody looked; a fresh one decides
            backend = await self._directory.service(host.cluster, host.name)
            try:
                return await self._read(place, backend, user)
            except LinkClosed as closed:
                raise HostUnreachable(closed.reason, host=host.name) from None

    async def _read(self, place: tuple[str, str], backend: Backend, user: str) -> RoleSecret:
        frames = (
            messages.parse(b"", self._query)
            + messages.bind(b"", [user])
            + messages.execute()
            + messages.SYNC
        )
        replies = await backend.request(frames)
        self._backends[place] = backend  # only now: one that failed is not used again
        row: tuple[str | None, ...] | None = None
        for tag, body in replies:
            if tag == _ERROR:
                raise StatementFailed(place[1], messages.message(b"E", body))
            if tag == _ROW and row is None:
                row = messages.read_row(body)
        return _read_secret(row)

    def close(self) -> None:
        """Close the service connections."""
        for backend in self._backends.values():
            backend.close()
        self._backends.clear()


def _read_secret(row: tuple[str | None, ...] | None) -> RoleSecret:
    """Read name, verifier, and where they are given: may log in, is expired."""
    if row is None or not row or row[0] is None:
        return UNKNOWN_ROLE
    return RoleSecret(
        exists=True,
        verifier=row[1] if len(row) > 1 else None,
        can_login=len(row) < 3 or row[2] != "f",
        expired=len(row) > 3 and row[3] == "t",
    )
