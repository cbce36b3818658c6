"""Fixtures of the conformance tests: servers, routes, and the comparison of one driver on both routes."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.integration.harness import Manager, flavours, make_scratch

from .hosts import Host, Target, configure_manager

FLAVOURS = flavours()
ROUTES = ("direct", "pywire")
CLIENT_SECONDS_MAX = 45.0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything here is a conformance test."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.conformance)
            item.add_marker(pytest.mark.integration)


@pytest.fixture(
    scope="session",
    params=FLAVOURS or [None],
    ids=lambda flavour: getattr(flavour, "name", "none"),
)
def host(request: pytest.FixtureRequest) -> Iterator[Host]:
    """A running server of each kind."""
    if request.param is None:
        pytest.skip("no PostgreSQL on this machine")
    directory = make_scratch()
    server = Host(request.param, directory)
    yield server
    server.server.stop("immediate")
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def manager(host: Host, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Manager]:
    """Pywire in front of that server; it must end well."""
    made = configure_manager(host, tmp_path_factory.mktemp("manager"))
    made.start()
    yield made
    code = made.stop()
    assert code == 0, f"pywire ended with {code}:\n{made.log.read_text()[-4000:]}"


@pytest.fixture(params=ROUTES)
def target(request: pytest.FixtureRequest, host: Host) -> Target:
    """A driver's way to an empty database: direct or through pywire."""
    if request.param == "direct":
        found = host.target()
    else:
        if importlib.util.find_spec("pywire._rust") is None:
            pytest.skip("pywire's extension is not built (make build)")
        found = Target("pywire", request.getfixturevalue("manager").port, host.ca)
    host.fresh_database()
    return found


@pytest.fixture(scope="session")
def transcripts() -> dict[tuple[str, str], str]:
    """What each program printed on the direct route, by server and program."""
    return {}


Compare = Callable[..., str]


@pytest.fixture
def same(
    request: pytest.FixtureRequest,
    host: Host,
    target: Target,
    transcripts: dict[tuple[str, str], str],
) -> Compare:
    """Run a driver's program; through pywire it must print what it printed without it."""

    def run(
        *command: str | Path,
        environment: dict[str, str] | None = None,
    ) -> str:
        key = (host.flavour.name, request.node.name.replace(target.route, ""))
        if target.route != "direct" and key not in transcripts:
            transcripts[key] = run_client(command, host.target(), environment)
            host.fresh_database()
        printed = run_client(command, target, environment)
        if target.route == "direct":
            transcripts[key] = printed
        else:
            assert printed == transcripts[key]
        return printed

    return run


def run_client(
    command: tuple[str | Path, ...], target: Target, environment: dict[str, str] | None = None
) -> str:
    """Return what a driver's program prints; it must end well."""
    completed = subprocess.run(
        [str(word) for word in command],
        env=target.environment() | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=CLIENT_SECONDS_MAX,
        check=False,
        cwd=os.path.dirname(__file__),
    )
    printed = completed.stdout.replace(str(target.port), "PORT")
    printed = re.sub(r"(Backend PID +\| )\d+( *)", r"\1PID", printed)
    assert completed.returncode == 0, f"exit code {completed.returncode}:\n{printed[-4000:]}"
    return printed
