"""What the programs of the Python drivers share: a line for each step, and nothing that differs from run to run."""

import datetime
import decimal


def show(step, value="done"):
    """Print a step and its result, in one form for all drivers."""
    print(f"{step}: {plain(value)}", flush=True)


def plain(value):
    """Return a value in a form that does not depend on the driver's classes."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        return data.hex() if len(data) <= 32 else f"{len(data)} bytes, sum {sum(data)}"
    if isinstance(value, str) and len(value) > 100:
        return f"{len(value)} characters, sum {sum(value.encode())}"
    if isinstance(value, (list, tuple)) or type(value).__name__ in ("Record", "Row"):
        return [plain(item) for item in value]
    if isinstance(value, (datetime.datetime, datetime.date, decimal.Decimal)):
        return str(value)
    return value


def failure(error):
    """Return what matters of an error: its class and SQLSTATE."""
    return f"{type(error).__name__} {getattr(error, 'sqlstate', None)}"
