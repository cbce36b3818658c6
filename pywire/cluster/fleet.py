"""All clusters together: which host a login goes to, and how pywire itself gets onto hosts.

The `Router` and `Directory` of relay/port.py and the `Hosts` of migration/tools.py. It watches every host for as long
as it runs. It moves no session and changes no server.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import trio

from pywire.auth.credentials import TRUST, Credentials
from pywire.cluster.probe import watch
from pywire.cluster.state import ClusterState
from pywire.cluster.topology import Report
from pywire.config import ClusterConfig
from pywire.errors import HostUnreachable, NoPrimary
from pywire.relay.connect import Connector
from pywire.relay.port import Backend
from pywire.session.host import Host
from pywire.session.session import Session
from pywire.session.startup import Startup
from pywire.wire import messages

__all__ = ["Fleet"]

SERVICE_NAME = "pywire"


class Fleet:
    """The clusters of the configuration.

    Args:
        clusters: by name.
        connector: logs in to hosts.
        service_credentials: what proves a cluster's service user.
    """

    def __init__(
        self,
        clusters: Mapping[str, ClusterState],
        connector: Connector,
        service_credentials: Callable[[ClusterConfig], Credentials],
    ) -> None:
        self.clusters = dict(clusters)
        self._connector = connector
        self._service = {
            name: service_credentials(cluster.config) for name, cluster in clusters.items()
        }

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch every host until cancelled; started once every host has been asked."""
        async with trio.open_nursery() as nursery:
            for cluster in self.clusters.values():
                for host in cluster.hosts:
                    nursery.start_soon(self._watch, cluster, host)
            for cluster in self.clusters.values():
                await cluster.until_known()
            task_status.started()

    async def _watch(self, cluster: ClusterState, host: str) -> None:
        await watch(
            host,
            lambda: self.service(cluster.name, host),
            cluster.note,
            interval_seconds=cluster.config.probe_interval_seconds,
            timeout_seconds=cluster.config.probe_timeout_seconds,
        )

    # ---- Router

    async def route(self, startup: Startup) -> Host:
        """The primary of the cluster a login is for, waiting while logins have to wait."""
        return await self._cluster_of(startup).route()

    def route_now(self, startup: Startup) -> Host | None:
        """The same, if nothing has to be waited for."""
        return self._cluster_of(startup).route_now()

    def _cluster_of(self, startup: Startup) -> ClusterState:
        # With one cluster, which is all the configuration allows so far, nothing needs to be asked of the client.
        return next(iter(self.clusters.values()))

    # ---- Directory

    def host(self, cluster: str, name: str) -> Host | None:
        """A host by name."""
        found = self.clusters.get(cluster)
        return None if found is None else found.hosts.get(name)

    async def verifier_host(self, startup: Startup) -> Host:
        """The primary if there is one; else a standby that answers, whose verifiers are as good as its replay."""
        cluster = self._cluster_of(startup)
        topology = cluster.topology
        names = [topology.primary] if topology.primary is not None else []
        names += [name for name in topology.standbys if topology.report(name) is not None]
        if not names:
            await cluster.route()
            names = [cluster.topology.primary or next(iter(cluster.hosts))]
        if names[0] is None:
            raise NoPrimary(cluster=cluster.name)
        return cluster.hosts[names[0]]

    async def service(self, cluster: str, host: str) -> Backend:
        """Log in as the cluster's service user."""
        config = self.clusters[cluster].config
        body = messages.startup_body(
            {
                "user": config.service_user,
                "database": config.service_database,
                "application_name": SERVICE_NAME,
                "client_encoding": "UTF8",
            }
        )
        return await self._connector.connect(
            self.clusters[cluster].hosts[host],
            body,
            self._service.get(cluster, TRUST),
            user=config.service_user,
            timeout_seconds=config.connect_timeout_seconds,
        )

    # ---- Hosts

    async def reopen(self, session: Session, host: Host) -> Backend:
        """Log a session in on another host with the startup parameters and the proof its client gave."""
        cluster = self.clusters[session.cluster]
        if not isinstance(cluster.topology.report(host.name), Report):
            raise HostUnreachable("it did not answer when last asked", host=host.name)
        return await self._connector.connect(
            host,
            session.startup.host_body(),
            session.credentials,
            user=session.user,
            timeout_seconds=cluster.config.connect_timeout_seconds,
            protocol=min(session.startup.protocol, messages.PROTOCOL_3_2),
            near=session.id,
        )
