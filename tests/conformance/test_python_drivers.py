"""psycopg 3, asyncpg and pg8000: a program for each, run with and without pywire."""

import importlib.util
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "python"


@pytest.mark.parametrize(
    ("program", "driver"),
    [
        ("psycopg_sync.py", "psycopg"),
        ("psycopg_async.py", "psycopg"),
        ("asyncpg_client.py", "asyncpg"),
        ("pg8000_client.py", "pg8000"),
    ],
)
def test_python_driver(same, program, driver):
    if importlib.util.find_spec(driver) is None:
        pytest.skip(f"{driver} is not installed")
    printed = same(sys.executable, "-W", "error", HERE / program)
    assert printed
