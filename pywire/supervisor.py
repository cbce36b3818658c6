"""`pywire run`: builds everything from the configuration, keeps it running, and ends it in order.

The nursery tree, from the outside in: signals and the log; the relay's pump; logins; the watch over the hosts; paused
sessions. SIGTERM (or SIGINT, or SHUTDOWN) takes no new clients, lets transactions end, tells the rest 57P01 and exits
with 0; a second one does not wait. SIGHUP (or RELOAD) reads the configuration and the certificates again.
"""

from __future__ import annotations

import resource
import signal
import socket
import sys
import time
from pathlib import Path

import trio

from pywire.admin.console import Console
from pywire.admin.operator import Operations, Process
from pywire.admin.show import Sources
from pywire.auth.credentials import TRUST, Credentials, Password
from pywire.auth.policy import LoginPolicy
from pywire.auth.secrets import SecretStore
from pywire.check import load
from pywire.cli import ExitCode, version
from pywire.cluster.fleet import Fleet
from pywire.cluster.pause import Pauses
from pywire.cluster.state import ClusterState
from pywire.config import ClusterConfig, Config, ConfigError, MigrationConfig, diff
from pywire.errors import Problem, PywireError, ShuttingDown
from pywire.events import (
    ConfigChanged,
    ConfigRefused,
    DrainStarted,
    EventLog,
    Failed,
    Level,
    Started,
    Stopped,
)
from pywire.log import LEVELS, Log
from pywire.metrics import Metrics
from pywire.migration.tools import Tools
from pywire.relay.accept import Acceptor
from pywire.relay.authenticate import Authenticator
from pywire.relay.cancel import Canceller
from pywire.relay.connect import Connector
from pywire.relay.engine import start_relay
from pywire.relay.port import CommandRefused, LinkClosed, ServerTls
from pywire.relay.verify import VerifierReader
from pywire.session.host import Host, HostAddress, HostTls
from pywire.session.registry import SessionRegistry
from pywire.session.session import Session
from pywire.wire import messages

__all__ = ["Supervisor", "main"]

FAREWELL_SECONDS_MAX = 5.0
WAIT_POLL_SECONDS = 0.1


def main(path: Path) -> int:
    """Run until told to stop; returns the exit code. Raises ConfigError."""
    config = load(path)
    _raise_descriptor_limit()
    supervisor = Supervisor(path, config)
    try:
        trio.run(supervisor.run)
    except (BaseExceptionGroup, PywireError, OSError) as problem:
        first = _first(problem)
        if isinstance(first, OSError):
            print(f"pywire: {first}", file=sys.stderr)
            return ExitCode.FAILED
        if isinstance(first, PywireError):
            raise first from None
        raise
    return ExitCode.OK


class Supervisor:
    """One running pywire.

    Args:
        path: the configuration file, read again on reload.
        config: what it said.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self._path = path
        self.config = config
        self.events = EventLog(time.time)
        self._log = Log(sys.stderr, config.log.format, config.log.level)
        self.events.listen(self._log.write)
        self._metrics = Metrics()
        self.events.listen(self._metrics.count)
        self._registry = SessionRegistry()
        self._store = SecretStore(
            lambda reason: self.events.emit(Failed(what="locking keys in memory", reason=reason))
        )
        self._listeners: list[int] = []
        self._stop = trio.Event()
        self._wait_for_clients = False
        self._dismissed = 0
        self._at_once: trio.CancelScope | None = None

    async def run(self) -> None:
        """Everything, from the engine's start to its stop."""
        self._relay = start_relay(self.config.relay, self.config.login)
        with trio.CancelScope() as self._at_once:
            async with trio.open_nursery() as nursery:
                await nursery.start(self._watch_signals)
                await self._serve(nursery)
                nursery.cancel_scope.cancel()
        self.events.emit(Stopped(sessions_closed=self._dismissed))

    async def _serve(self, nursery: trio.Nursery) -> None:
        """Build the parts in the order of their dependence, listen, and stay until told to stop."""
        connector = Connector(self._relay, self._store)
        clusters = {name: self._cluster(cluster) for name, cluster in self.config.clusters.items()}
        fleet = Fleet(clusters, connector, self._service_credentials)
        login = self.config.login
        self._verifiers = VerifierReader(
            fleet, login.verifier_cache_seconds_max, login.verifier_query
        )
        self._authenticator = Authenticator(self._verifiers, self._store)
        tools = Tools(self._relay, self._registry, fleet, self.events.emit, self._policy)
        self._pauses = Pauses(nursery, tools)
        self._acceptor = Acceptor(
            self._relay,
            nursery,
            registry=self._registry,
            router=fleet,
            authenticator=self._authenticator,
            connector=connector,
            canceller=Canceller(self._relay, self._registry, fleet, self.events),
            events=self.events,
            policy=self._login_policy(),
            admin=Console(self._operations(fleet, tools, clusters), version()),
            connect_timeout_seconds=min(
                cluster.connect_timeout_seconds for cluster in self.config.clusters.values()
            ),
        )
        self._acceptor.log_sessions = LEVELS[self.config.log.level] <= Level.DEBUG
        nursery.start_soon(self._relay.run, self._acceptor, self._acceptor)
        await nursery.start(fleet.run)
        self._listen()
        await self._stop.wait()
        await self._drain()

    def _operations(
        self, fleet: Fleet, tools: Tools, clusters: dict[str, ClusterState]
    ) -> Operations:
        sources = Sources(
            version=version(),
            engine=(self._relay.driver, self._relay.workers),
            relay=self._relay,
            registry=self._registry,
            clusters=clusters,
            events=self.events,
            metrics=self._metrics,
            config=lambda: self.config,
        )
        process = Process(reload=self._reload, shut_down=self._shut_down)
        return Operations(fleet, self._pauses, tools, sources, process)

    # ---- parts made from the configuration

    def _policy(self) -> MigrationConfig:
        return self.config.migration

    def _login_policy(self) -> LoginPolicy:
        required = self.config.listen.tls_mode == "require"
        return LoginPolicy.from_config(self.config.login, self.config.admin, tls_required=required)

    def _cluster(self, config: ClusterConfig) -> ClusterState:
        hosts = {}
        for host in config.hosts:
            address = HostAddress.from_config(host)
            tls = None if address.unix_path is not None else self._host_tls(config, address)
            hosts[host.name] = Host(config.name, host.name, address, tls)
        return ClusterState(config, hosts, self.events.emit)

    def _host_tls(self, config: ClusterConfig, address: HostAddress) -> HostTls | None:
        if config.sslmode == "disable":
            return None
        verify = {"verify-ca": "ca", "verify-full": "full"}.get(config.sslmode, "none")
        context = self._relay.client_tls(
            verify,
            _read(config.tls_ca_file),
            _read(config.tls_certificate_file),
            _read(config.tls_key_file),
        )
        return HostTls(context, required=config.sslmode != "prefer", server_name=address.host)

    def _service_credentials(self, config: ClusterConfig) -> Credentials:
        data = _read(config.service_password_file)
        if data is None:
            return TRUST
        return Password(self._store.keep(data.split(b"\n", 1)[0].rstrip(b"\r")))

    # ---- listening

    def _listen(self) -> None:
        listen = self.config.listen
        tls, end_point = self._server_tls()
        for sock in _bind(listen.address, listen.port, listen.backlog):
            listener = self._relay.listen(sock, tls)
            self._listeners.append(listener)
            if end_point is not None:
                self._authenticator.end_points[listener] = end_point
        address = f"{listen.address}:{listen.port}"
        self.events.emit(
            Started(address=address, driver=self._relay.driver, workers=self._relay.workers)
        )
        if self.config.log.format == "text":
            print(f"pywire: listening on {address}", file=sys.stderr, flush=True)

    def _server_tls(self) -> tuple[ServerTls | None, bytes | None]:
        listen = self.config.listen
        certificate, key = _read(listen.tls_certificate_file), _read(listen.tls_key_file)
        if listen.tls_mode == "disable" or certificate is None or key is None:
            return None, None
        required = self.config.login.auth == "cert"
        try:
            context = self._relay.server_tls(
                certificate,
                key,
                _read(listen.tls_client_ca_file),
                client_certificate_required=required,
            )
            return context, self._relay.end_point_hash(certificate)
        except ValueError as problem:
            raise ConfigError([Problem("listen.tls_certificate_file", str(problem))]) from None

    # ---- signals, reload

    async def _watch_signals(
        self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
    ) -> None:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as received:
            task_status.started()
            async for number in received:
                if number == signal.SIGHUP:
                    try:
                        self._reload()
                    except PywireError:
                        continue  # an event has said it
                elif self._stop.is_set():
                    assert self._at_once is not None
                    self._at_once.cancel()
                else:
                    self._shut_down(False)

    def _shut_down(self, wait_for_clients: bool) -> None:
        self._wait_for_clients = wait_for_clients
        self._stop.set()

    def _reload(self) -> list[str]:
        """Read the configuration again; returns what changed. The old one stays in force if the new one is bad."""
        before = self.config
        try:
            self.config = load(self._path)
            tls, end_point = self._server_tls()
        except (ConfigError, OSError) as problem:
            self.config = before
            problems = (
                tuple(map(str, problem.problems))
                if isinstance(problem, ConfigError)
                else (str(problem),)
            )
            self.events.emit(ConfigRefused(problems=problems))
            if isinstance(problem, ConfigError):
                raise
            raise ConfigError([Problem("", str(problem))]) from None
        changes = diff(before, self.config)
        for listener in self._listeners:
            self._relay.set_listener_tls(listener, tls)
            if end_point is not None:
                self._authenticator.end_points[listener] = end_point
        self._acceptor.policy = self._login_policy()
        self._acceptor.log_sessions = LEVELS[self.config.log.level] <= Level.DEBUG
        self._log.configure(self.config.log.format, self.config.log.level)
        login = self.config.login
        self._verifiers.configure(login.verifier_cache_seconds_max, login.verifier_query)
        changed = tuple(str(change) for change in changes if not change.restart_needed)
        waiting = tuple(str(change) for change in changes if change.restart_needed)
        self.events.emit(ConfigChanged(changed=changed, restart_needed=waiting))
        return [*changed, *(f"{place} (needs a restart)" for place in waiting)]

    # ---- the end

    async def _drain(self) -> None:
        """No new clients; those there are may end their transactions, and are then told farewell."""
        reason = "waits for clients to leave" if self._wait_for_clients else "shutdown"
        self.events.emit(DrainStarted(sessions=len(self._registry), reason=reason))
        for listener in self._listeners:
            self._relay.unlisten(listener)
        self._acceptor.shutting_down = True
        self._pauses.resume_all()
        # The registry knows no waiters: an event per session for the one moment of the end would cost more.
        while self._wait_for_clients and len(self._registry):  # noqa: ASYNC110
            await trio.sleep(WAIT_POLL_SECONDS)
        limit = self._policy().drain_seconds_max
        async with trio.open_nursery() as nursery:
            for session in self._registry:
                nursery.start_soon(self._dismiss, session, limit)
        with trio.move_on_after(FAREWELL_SECONDS_MAX):
            while len(self._registry):  # noqa: ASYNC110
                await trio.sleep(WAIT_POLL_SECONDS / 10)

    async def _dismiss(self, session: Session, limit: float) -> None:
        """Say farewell once the session's transaction has ended, or the time is up."""
        farewell = messages.error_response(ShuttingDown().response_fields())
        self._dismissed += 1
        try:
            async with self._relay.holding(session, timeout_seconds=limit):
                self._relay.close(session.id, farewell)
        except trio.TooSlowError:
            self._relay.close(session.id, farewell)
        except (LinkClosed, CommandRefused):
            return


def _bind(address: str, port: int, backlog: int) -> list[socket.socket]:
    """Listening sockets; "*" is every address of both families."""
    if address == "*":
        dual = socket.has_dualstack_ipv6()
        family = socket.AF_INET6 if dual else socket.AF_INET
        return [
            socket.create_server(("", port), family=family, backlog=backlog, dualstack_ipv6=dual)
        ]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return [socket.create_server((address, port), family=family, backlog=backlog)]


def _read(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()


def _raise_descriptor_limit() -> None:
    """Every session takes two descriptors: take all that we are allowed."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _first(found: BaseException) -> BaseException:
    """The first plain exception in a group, or the exception itself."""
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    return found
