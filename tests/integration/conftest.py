"""Fixtures: one pair of servers per version and session, one manager per module that asks for it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from .harness import Flavour, Manager, Pair, flavours, make_scratch


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Everything in this folder needs PostgreSQL."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(
    scope="session",
    params=flavours() or [None],
    ids=lambda flavour: getattr(flavour, "name", "none"),
)
def flavour(request: pytest.FixtureRequest) -> Flavour:
    """A version of PostgreSQL."""
    if request.param is None:
        pytest.skip("no PostgreSQL on this machine")
    return request.param


@pytest.fixture
def scratch() -> Iterator[Path]:
    """A directory of the test's own, reachable for the servers."""
    directory = make_scratch()
    yield directory
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def pair(flavour: Flavour) -> Iterator[Pair]:
    """A primary and its asynchronous standby, shared by a module's tests; which is which may change."""
    directory = make_scratch()
    made = Pair.make(flavour, directory)
    yield made
    made.destroy()
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="module")
def manager(pair: Pair) -> Iterator[Manager]:
    """A manager for that pair."""
    directory = make_scratch()
    made = Manager.configured(pair, directory)
    made.start()
    yield made
    made.stop()
    shutil.rmtree(directory, ignore_errors=True)
