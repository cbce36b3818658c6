"""pywire in front of one host it does not control, and what a process costs, read from /proc."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from .harness import PASSWORD, Manager, Ports

DRIVER = os.environ.get("PYWIRE_TEST_DRIVER", "auto")
"""To try one of the relay's drivers with these tests: epoll or io_uring."""


def manager_before(
    port: int,
    directory: Path,
    *,
    listen: str = "",
    relay: str = "",
    login: str = "",
    cluster: str = "",
) -> Manager:
    """Configure pywire for a host at `port` of the loopback address; start nothing."""
    directory.mkdir(exist_ok=True, parents=True)
    secret = directory / "service_password"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    manager = Manager(directory, Ports.take(), directory / "pywire.toml")
    manager.configuration.write_text(
        f'[listen]\nport = {manager.port}\n{listen}\n[relay]\ndriver = "{DRIVER}"\n{relay}\n[login]\n{login}\n'
        '[admin]\nusers = ["postgres"]\n[cluster.main]\nsource = "pywire"\nservice_user = "postgres"\n'
        f'service_password_file = "service_password"\nsslmode = "disable"\n{cluster}\n'
        f'[[cluster.main.host]]\nname = "a"\naddress = "127.0.0.1:{port}"\n'
    )
    return manager


@dataclass(frozen=True)
class Costs:
    """What a process holds at one moment."""

    descriptors: int
    threads: int
    resident_bytes: int


def costs(pid: int) -> Costs:
    """Read them from /proc."""
    process = Path(f"/proc/{pid}")
    pages = int((process / "statm").read_text().split()[1])
    return Costs(
        descriptors=len(os.listdir(process / "fd")),
        threads=len(os.listdir(process / "task")),
        resident_bytes=pages * os.sysconf("SC_PAGE_SIZE"),
    )
