"""A whole relay over the fake engine: two hosts, a router, an acceptor."""

from contextlib import asynccontextmanager

import pytest
import trio

from pywire.auth.credentials import TRUST, Password
from pywire.auth.policy import LoginPolicy
from pywire.auth.scram import Verifier
from pywire.auth.secrets import SecretStore
from pywire.config.model import VERIFIER_QUERY
from pywire.events import EventLog
from pywire.relay.accept import Acceptor
from pywire.relay.authenticate import Authenticator
from pywire.relay.cancel import Canceller
from pywire.relay.connect import Connector
from pywire.relay.verify import VerifierReader
from pywire.session.host import Host, HostAddress
from pywire.session.registry import SessionRegistry
from pywire.testing.fake_postgres import FakePostgres, rows
from pywire.testing.fake_relay import FakeEngine

PASSWORD = b"pencil"
VERIFIER = str(Verifier.build(PASSWORD, b"0123456789abcdef", 64))
VERIFIER_SQL = (
    "SELECT rolname, rolpassword, rolcanlogin, coalesce(rolvaliduntil < now(), false)"
    " FROM pg_catalog.pg_authid WHERE rolname = $1"
)


class World:
    """What a test needs, put together as the supervisor does."""

    def __init__(self, nursery, **policy):
        self.engine = FakeEngine()
        self.store = SecretStore()
        self.relay = self.engine.relay()
        self.events = EventLog(clock=lambda: 0.0)
        self.registry = SessionRegistry()
        self.connector = Connector(self.relay, self.store)
        self.hosts = {}
        self.postgres = {}
        for name, port in (("a", 15001), ("b", 15002)):
            verifiers = {"ann": VERIFIER, "bob": None, "service": VERIFIER}
            host = FakePostgres(verifiers=verifiers, next_process_id=port)
            host.answers[VERIFIER_SQL] = self.answer_verifier(host)
            self.postgres[name] = self.engine.listen_at("127.0.0.1", port, host)
            self.hosts[name] = Host("main", name, HostAddress("127.0.0.1", port))
        self.primary = "a"
        self.paused = trio.Event()
        self.paused.set()
        self.service_credentials = Password(self.store.keep(PASSWORD))
        self.verifiers = VerifierReader(self, 60.0, VERIFIER_QUERY)
        self.authenticator = Authenticator(self.verifiers, self.store)
        self.canceller = Canceller(self.relay, self.registry, self, self.events)
        self.admin_links = []
        self.acceptor = Acceptor(
            self.relay,
            nursery,
            registry=self.registry,
            router=self,
            authenticator=self.authenticator,
            connector=self.connector,
            canceller=self.canceller,
            events=self.events,
            policy=LoginPolicy(**policy),
            admin=self,
        )

    @staticmethod
    def answer_verifier(host):
        def answer(_sql, values):
            name = values[0]
            if name not in host.verifiers:
                return rows(["rolname", "rolpassword", "rolcanlogin", "expired"])
            return rows(
                ["rolname", "rolpassword", "rolcanlogin", "expired"],
                [name, host.verifiers[name], "t", "f"],
            )

        return answer

    # Router, Directory and AdminHandler

    async def route(self, _startup):
        await self.paused.wait()
        return self.hosts[self.primary]

    def route_now(self, _startup):
        return self.hosts[self.primary] if self.paused.is_set() else None

    def host(self, _cluster, name):
        return self.hosts.get(name)

    async def verifier_host(self, _startup):
        return self.hosts[self.primary]

    async def service(self, _cluster, host):
        return await self.connector.service(
            self.hosts[host],
            user="service",
            database="postgres",
            credentials=self.service_credentials,
            timeout_seconds=5,
        )

    async def serve(self, link, startup):
        self.admin_links.append((link, startup.user))
        link.send(b"console")
        await link.closed()

    # short cuts

    async def login(self, **parameters):
        """Log in as a client that is trusted; return it and its session."""
        client = self.engine.client(**({"user": "ann", "database": "shop"} | parameters))
        await trio.testing.wait_all_tasks_blocked()
        return client, self.registry.get(client.link)


@asynccontextmanager
async def running(**policy):
    async with trio.open_nursery() as nursery:
        world = World(nursery, **policy)
        nursery.start_soon(world.relay.run, world.acceptor, world.acceptor)
        yield world
        nursery.cancel_scope.cancel()


@pytest.fixture
def world():
    """`async with world(auth="trust") as it:`."""
    return running


__all__ = ["TRUST"]
