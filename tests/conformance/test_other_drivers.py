"""pgjdbc, pgx and node-postgres: a program for each, run with and without pywire."""

import pytest

from .toolchains import ToolchainMissing, node_postgres, pgjdbc, pgx


@pytest.fixture(
    scope="session", params=[pgjdbc, pgx, node_postgres], ids=lambda driver: driver.__name__
)
def program(request):
    """The command of a driver's program."""
    try:
        return request.param()
    except ToolchainMissing as reason:
        pytest.skip(str(reason))


@pytest.mark.timeout(400)  # the first run fetches and builds
def test_driver(same, program):
    printed = same(*program)
    assert printed.endswith("end: done\n")
