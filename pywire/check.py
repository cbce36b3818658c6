"""`pywire check`: says what is right and wrong with a configuration and the files it names.

It opens files to see whether they can be read, and prints none of their content. It connects to
nothing, changes nothing, and finds the same problems `pywire run` would stop at.
"""

import os
import ssl
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pywire.cli import ExitCode
from pywire.config import ClusterConfig, Config, ConfigError, HostConfig, Problem
from pywire.config.setting import settings


def load(path: Path) -> Config:
    """Read and parse a configuration file.

    Raises:
        ConfigError: it cannot be read or used; with every problem found.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([Problem("", f"cannot be read: {error.strerror}")]) from None
    except UnicodeDecodeError as error:
        raise ConfigError([Problem(f"byte {error.start}", "is not UTF-8")]) from None
    return Config.parse(text, path.absolute().parent)


def main(path: Path, stream: TextIO) -> int:
    """Print what was found and return the exit code."""
    config = load(path)
    problems = list(file_problems(config))
    for problem in problems:
        print(f"{path}: {problem}", file=stream)
    if problems:
        return ExitCode.CONFIGURATION
    for warning in warnings(config):
        print(f"{path}: warning: {warning}", file=stream)
    for line in summary(config):
        print(line, file=stream)
    return ExitCode.OK


def file_problems(config: Config) -> Iterator[Problem]:
    """What is wrong with the files and directories the configuration names."""
    yield from _section_problems(config.listen, "listen")
    listen = config.listen
    if listen.tls_certificate_file and listen.tls_key_file:
        yield from _pair_problem(listen.tls_certificate_file, listen.tls_key_file, "listen")
    for cluster in config.clusters.values():
        place = f"cluster.{cluster.name}"
        yield from _section_problems(cluster, place)
        if cluster.tls_certificate_file and cluster.tls_key_file:
            yield from _pair_problem(cluster.tls_certificate_file, cluster.tls_key_file, place)
        for index, host in enumerate(cluster.hosts):
            yield from _host_problems(host, f"{place}.host[{index}]")


def _section_problems(section: object, place: str) -> Iterator[Problem]:
    for item, _ in settings(section):
        if not item.name.endswith("_file"):
            continue
        path: Path | None = getattr(section, item.name)
        if path is None:
            continue
        where = f"{place}.{item.name}"
        if reason := _unreadable(path):
            yield Problem(where, f"{path} {reason}")
        elif item.name == "service_password_file" and not _first_line(path):
            yield Problem(where, f"the first line of {path} is empty")


def _unreadable(path: Path) -> str | None:
    """Why a file cannot be read, or None."""
    try:
        with path.open("rb"):
            return None
    except OSError as error:
        return f"cannot be read: {error.strerror}"


def _first_line(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.readline(4096).strip(b"\r\n")


def _pair_problem(certificate: Path, key: Path, place: str) -> Iterator[Problem]:
    if _unreadable(certificate) or _unreadable(key):
        return  # said already
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        # An empty passphrase, since the default asks the terminal for one.
        context.load_cert_chain(certificate, key, password=b"")
    except ssl.SSLError as error:
        reason = error.reason or "they cannot be used"
        yield Problem(f"{place}.tls_key_file", f"with its certificate: {reason.lower()}")


def _host_problems(host: HostConfig, place: str) -> Iterator[Problem]:
    if host.unix_socket is not None and not host.unix_socket.is_dir():
        yield Problem(f"{place}.unix_socket", f"{host.unix_socket} is no directory")
    if host.data_directory is not None and not host.data_directory.is_dir():
        yield Problem(f"{place}.data_directory", f"{host.data_directory} is no directory")
    if host.bin_directory is not None:
        for program in ("pg_ctl", "pg_controldata"):
            if not os.access(host.bin_directory / program, os.X_OK):
                yield Problem(f"{place}.bin_directory", f"{host.bin_directory} has no {program}")


def warnings(config: Config) -> Iterator[Problem]:
    """What works and is worth a second look."""
    for cluster in config.clusters.values():
        place, path = f"cluster.{cluster.name}", cluster.service_password_file
        if path is not None and path.stat().st_mode & (stat.S_IWGRP | stat.S_IRWXO):
            yield Problem(f"{place}.service_password_file", f"others can use {path}: chmod 600 it")
        for index, host in enumerate(cluster.hosts):
            if host.controlled and host.run_as is None and os.geteuid() == 0:
                where = f"{place}.host[{index}].run_as"
                yield Problem(where, "PostgreSQL refuses to be started by root")


def summary(config: Config) -> Iterator[str]:
    """What the configuration says, in a few lines, for somebody who wants to be sure."""
    listen, login = config.listen, config.login
    tls = {"disable": "no TLS", "allow": "TLS if they like", "require": "TLS"}[listen.tls_mode]
    yield f"clients: {listen.address} port {listen.port}, {tls}, login by {login.auth}"
    for cluster in config.clusters.values():
        yield _cluster_line(cluster)
        for host in cluster.hosts:
            control = "controlled by pywire" if host.controlled else "not controlled by pywire"
            way = host.unix_path or str(host.address)
            yield f"  host {host.name}: {way}, {control}"
    users = ", ".join(config.admin.users) or "nobody"
    yield f'admin console: database "{config.admin.database}" for {users}'
    yield "the configuration is fine"


def _cluster_line(cluster: ClusterConfig) -> str:
    return (
        f"cluster {cluster.name}: {len(cluster.hosts)} host(s), sslmode {cluster.sslmode}, "
        f'service user "{cluster.service_user}"'
    )
