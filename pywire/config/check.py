"""What contradicts what in a configuration whose single values are all right.

Each rule yields the problems it finds, with their places; none stops another.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from typing import TYPE_CHECKING

from pywire.config.model import ClusterConfig, HostConfig, ListenConfig, LoginConfig
from pywire.errors import Problem

if TYPE_CHECKING:
    from pywire.config.parse import Config

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,62}")
_NAME_RULE = "a name has letters, digits, _ and -, begins with a letter, and is at most 63 long"


def contradictions(config: Config) -> list[Problem]:
    """Every problem that takes more than one field to see."""
    return [
        *_listen(config.listen),
        *_login(config.login, config.listen),
        *_admin(config),
        *_clusters(config),
    ]


def is_loopback(address: str) -> bool:
    """Whether only this machine can reach that address of ours."""
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def _listen(listen: ListenConfig) -> Iterator[Problem]:
    if listen.address not in ("*", "localhost"):
        try:
            ip_address(listen.address)
        except ValueError:
            yield Problem(
                "listen.address", f'not an IP address, "*" or "localhost": {listen.address!r}'
            )
    files = ("tls_certificate_file", "tls_key_file")
    if listen.tls_mode == "disable":
        for name in (*files, "tls_client_ca_file"):
            if getattr(listen, name) is not None:
                yield Problem(f"listen.{name}", 'has no use while tls_mode is "disable"')
    else:
        for name in files:
            if getattr(listen, name) is None:
                yield Problem(f"listen.{name}", f'must be given if tls_mode is "{listen.tls_mode}"')


def _login(login: LoginConfig, listen: ListenConfig) -> Iterator[Problem]:
    if login.auth == "trust" and not login.trust_anywhere and not is_loopback(listen.address):
        yield Problem(
            "login.auth",
            f'"trust" on {listen.address} lets anybody in; '
            "set trust_anywhere = true if that is what you want",
        )
    if login.auth == "cert":
        if listen.tls_mode != "require":
            yield Problem("login.auth", '"cert" needs listen.tls_mode = "require"')
        if listen.tls_client_ca_file is None:
            yield Problem("login.auth", '"cert" needs listen.tls_client_ca_file')
    for name in ("sessions_per_user_max", "sessions_per_host_max"):
        if 0 < login.sessions_max < getattr(login, name):
            yield Problem(f"login.{name}", f"is more than sessions_max ({login.sessions_max})")
    if "$1" not in login.verifier_query:
        yield Problem("login.verifier_query", "must have $1 where the user's name goes")


def _admin(config: Config) -> Iterator[Problem]:
    if len(set(config.admin.users)) != len(config.admin.users):
        yield Problem("admin.users", "names somebody twice")
    if "" in config.admin.users:
        yield Problem("admin.users", "has an empty name")


def _clusters(config: Config) -> Iterator[Problem]:
    if len(config.clusters) > 1:
        # Nothing says yet which cluster a client means; the first would be a guess.
        names = ", ".join(config.clusters)
        yield Problem("cluster", f"only one cluster can be served so far, not {names}")
    for cluster in config.clusters.values():
        yield from _cluster(cluster)


def _cluster(cluster: ClusterConfig) -> Iterator[Problem]:
    place = f"cluster.{cluster.name}"
    if not _NAME.fullmatch(cluster.name):
        yield Problem(place, _NAME_RULE)
    if cluster.sslmode in ("verify-ca", "verify-full") and cluster.tls_ca_file is None:
        yield Problem(f"{place}.tls_ca_file", f'must be given if sslmode is "{cluster.sslmode}"')
    if (cluster.tls_certificate_file is None) != (cluster.tls_key_file is None):
        missing = "tls_key_file" if cluster.tls_key_file is None else "tls_certificate_file"
        yield Problem(f"{place}.{missing}", "certificate and key must be given together")
    names: dict[str, int] = {}
    addresses: dict[str, int] = {}
    for index, host in enumerate(cluster.hosts):
        at = f"{place}.host[{index}]"
        first = names.setdefault(host.name, index)
        if first != index:
            yield Problem(f"{at}.name", f'"{host.name}" is the name of host[{first}] already')
        first = addresses.setdefault(str(host.address), index)
        if first != index:
            yield Problem(f"{at}.address", f"is the address of host[{first}] already")
        yield from _host(host, at)


def _host(host: HostConfig, place: str) -> Iterator[Problem]:
    if not _NAME.fullmatch(host.name):
        yield Problem(f"{place}.name", _NAME_RULE)
    if host.unix_socket is not None and host.address.is_unix:
        yield Problem(f"{place}.unix_socket", "has no use where address is a Unix socket already")
    if host.data_directory is not None and host.bin_directory is None:
        yield Problem(f"{place}.bin_directory", "must be given with data_directory")
    for name in ("bin_directory", "run_as"):
        if host.data_directory is None and getattr(host, name) is not None:
            yield Problem(f"{place}.{name}", "has no use without data_directory")
