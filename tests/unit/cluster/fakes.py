"""Two servers and some sessions, made of nothing: what a switchover does to them, and in which order.

The fakes keep the rules that matter: a stopped server takes no logins and answers nothing, its backends are gone, a
standby replays what its primary wrote, a promoted one is a primary. Every step is written down in `log`.
"""

import json
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import trio

from pywire.auth.credentials import TRUST
from pywire.cluster.control import ServerControlFailed
from pywire.cluster.controldata import ControlData
from pywire.cluster.state import ClusterState
from pywire.config import Address, ClusterConfig, HostConfig, MigrationConfig
from pywire.errors import HostUnreachable
from pywire.lsn import Lsn
from pywire.migration.tools import Tools
from pywire.relay.port import LinkClosed, Result, StatementFailed
from pywire.session.host import Host, HostAddress
from pywire.session.registry import SessionRegistry
from pywire.session.session import Session
from pywire.session.startup import Startup
from pywire.wire import messages


def row(**told):
    """The answer to the capture query of a session without any state, but for what is told."""
    full = {
        "session_user": "ann",
        "current_user": "ann",
        "role": "none",
        "database": "shop",
        "settings": None,
        "prepared": None,
        "sql_prepared": 0,
        "cursors": 0,
        "channels": 0,
        "advisory_locks": 0,
        "temporary": 0,
        **told,
    }
    return messages.data_row([json.dumps(full).encode().hex()])


def result(*values):
    return [Result(tuple("c" for _ in values), [tuple(values)], "SELECT 1")]


@dataclass
class FakeServer:
    """A server and its controller: the methods of LocalServer, and what SQL would say of it."""

    name: str
    world: "World"
    in_recovery: bool
    running: bool = True
    standby_signal: bool = False
    names: str = ""
    lsn: int = 1000
    timeline: int = 1
    slot: str = ""
    slots: set = field(default_factory=set)
    fails: set = field(default_factory=set)

    def _do(self, what):
        self.world.log.append(f"{what} {self.name}")
        if what in self.fails:
            raise ServerControlFailed("as the test wants", host=self.name, what=what)

    async def start(self, *, seconds_max):
        self._do("start")
        self.running = True
        self.in_recovery = self.standby_signal

    async def stop(self, mode, *, seconds_max):
        if not self.running:
            return
        self._do(f"stop {mode}")
        self.running = False
        self.lsn += 100
        other = self.world.servers["b" if self.name == "a" else "a"]
        if "replicate" not in self.fails:
            other.lsn = self.lsn + 8

    async def fence(self):
        assert not self.running
        self._do("fence")
        self.standby_signal = True

    async def make_standby(self, conninfo, *, slot):
        assert not self.running
        self._do("make_standby")
        self.slot = slot or ""

    async def make_primary(self):
        self._do("make_primary")
        self.standby_signal = False

    async def promote(self, *, seconds_max):
        self._do("pg_ctl promote")
        self.become_primary()

    async def control_data(self):
        self._do("control_data")
        state = "in production" if "shutdown" in self.fails else "shut down"
        return ControlData(
            system_identifier=1, state=state, checkpoint_lsn=Lsn(self.lsn), timeline=1
        )

    def become_primary(self):
        self.in_recovery = False
        self.standby_signal = False
        self.timeline += 1

    def answer(self, sql):
        if not self.running:
            raise LinkClosed("the host has closed")
        if sql.startswith("select pg_catalog.json_build_object"):
            return result(self.probe())
        if "pg_promote" in sql:
            self.world.log.append(f"promote {self.name}")
            if "promote" in self.fails:
                raise StatementFailed(
                    self.name, messages.error_response([("C", "42501"), ("M", "no")])
                )
            if "ignore promote" not in self.fails:
                self.become_primary()
            return result("t")
        if sql == "checkpoint":
            self._do("checkpoint")
            return result()
        if "pg_is_in_recovery" in sql:
            return result("t" if self.in_recovery else "f")
        if "pg_last_wal_replay_lsn" in sql:
            return result(str(Lsn(self.lsn)))
        if "pg_settings where name = 'synchronous" in sql:
            return result(self.names, "t")
        if sql.startswith("alter system set synchronous_standby_names"):
            self.names = sql.split("E'", 1)[1].rstrip("'")
            self.world.log.append(f"names {self.name} {self.names or '(none)'}")
            return result()
        if "'synchronous_standby_names'" in sql:
            return result(self.names)
        if "'primary_slot_name'" in sql:
            return result(self.slot)
        if "slot_type = 'physical'" in sql:
            return [Result(("slot_name",), [(name,) for name in sorted(self.slots)], "SELECT")]
        if "pg_create_physical" in sql:
            self.slots.add(sql.split("E'", 1)[1].split("'")[0])
            return result()
        if "pg_drop_replication_slot" in sql:
            self.slots.discard(sql.split("E'", 1)[1].split("'")[0])
            return result()
        if "'primary_conninfo'" in sql:
            return result("user=repl host=x port=1")
        if "pg_stat_replication" in sql:
            return result("1")
        return result(None)

    def probe(self):
        other = self.world.servers["b" if self.name == "a" else "a"]
        streams = other.running and other.in_recovery and not self.in_recovery
        return json.dumps(
            {
                "in_recovery": self.in_recovery,
                "system_identifier": "1",
                "server_version_num": "180006",
                "timeline": self.timeline,
                "started_at": "then",
                "insert_lsn": None if self.in_recovery else str(Lsn(self.lsn)),
                "receive_lsn": None,
                "replay_lsn": str(Lsn(self.lsn)) if self.in_recovery else None,
                "replay_paused": False,
                "receiver_status": "streaming" if self.in_recovery and other.running else None,
                "sender": None,
                "synchronous_standby_names": self.names,
                "backends": 1,
                "connections_max": 100,
                "standbys": [[other.name, "streaming", "async", None]] if streams else None,
            }
        )


class FakeBackend:
    """A backend of a fake server, for the service user or for a session."""

    def __init__(self, world, host):
        self.world, self.host = world, host
        self.server = world.servers[host.name]
        self.link = type("Link", (), {"id": world.number()})()
        self.process_id, self.key, self.hello, self.reported = self.link.id, b"key!", b"", b""
        self.parameters = {"in_hot_standby": "on" if self.server.in_recovery else "off"}
        self.open = True
        self.dies = False
        world.backends.append(self)

    async def query(self, sql):
        await trio.lowlevel.checkpoint()
        return self.server.answer(sql)

    async def request(self, frames, *, ready=1):
        await trio.lowlevel.checkpoint()
        if not self.server.running or self.dies:
            raise LinkClosed("the host has closed")
        if frames == messages.SYNC:
            return [] if self.server.in_recovery else [(0x53, b"in_hot_standby\0off\0")]
        return messages.split(row())

    def close(self):
        self.open = False


class FakeHeld:
    def __init__(self, world, session):
        self.world, self.session = world, session
        self.note = type(
            "Note",
            (),
            {
                "quiescent": True,
                "status": ord("I"),
                "flags": 0,
                "statements": [],
                "unnamed": None,
                "requests": 0,
            },
        )()

    async def request(self, frames, *, ready=1):
        await trio.lowlevel.checkpoint()
        return messages.split(self.world.states.get(self.session.id, row()))

    async def cut_over(self, backend, hello=b""):
        await trio.lowlevel.checkpoint()
        self.world.told[self.session.id] = messages.parameter_statuses(hello)
        self.world.log.append(f"cut_over {self.session.id} {backend.host.name}")


class World:
    """Everything a switchover touches."""

    def __init__(self, sessions=3):
        self._number = 100
        self.log, self.backends, self.events, self.told, self.closed = [], [], [], {}, {}
        self.states, self.busy = {}, set()
        self.servers = {"a": FakeServer("a", self, False), "b": FakeServer("b", self, True)}
        config = ClusterConfig(
            name="main",
            hosts=tuple(
                HostConfig(name=name, address=Address("127.0.0.1", 15432)) for name in "ab"
            ),
        )
        self.hosts = {name: Host("main", name, HostAddress("127.0.0.1", 15432)) for name in "ab"}
        self.cluster = ClusterState(config, self.hosts, self.events.append)
        self.cluster.servers = dict(self.servers)
        self.registry = SessionRegistry()
        self.policy = MigrationConfig()
        for _ in range(sessions):
            self.open_session()
        self.tools = Tools(self, self.registry, self, self.events.append, lambda: self.policy)

    def number(self):
        self._number += 1
        return self._number

    def open_session(self, host="a"):
        self.registry.reserve("ann")
        session = Session(
            self.number(),
            startup=Startup(messages.PROTOCOL_3_0, b"user\0ann\0database\0shop\0\0"),
            credentials=TRUST,
            cluster="main",
            host=host,
            backend=self.number(),
            process_id=1,
            backend_key=b"",
            cancel_key=b"",
            reported=messages.parameter_status(b"in_hot_standby", b"off"),
            peer="",
            opened_at=0.0,
        )
        self.registry.open(session)
        return session

    # ---- Hosts

    async def service(self, cluster, host):
        await trio.lowlevel.checkpoint()
        if not self.servers[host].running:
            raise HostUnreachable(host=host)
        return FakeBackend(self, self.hosts[host])

    async def reopen(self, session, host):
        return await self.service("main", host.name)

    # ---- Relay

    @asynccontextmanager
    async def holding(self, session, *, timeout_seconds, requests_only=False):
        await trio.lowlevel.checkpoint()
        if session.id in self.busy:
            await trio.sleep(timeout_seconds)
            raise trio.TooSlowError
        try:
            yield FakeHeld(self, session)
        finally:
            self.log.append(f"release {session.id}")

    def close(self, link, farewell=b""):
        self.closed[link] = farewell
        self.registry.close(link)
