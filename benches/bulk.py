"""Bulk loads in a process of their own: `python -m benches.bulk PORT WORKLOAD CLIENTS SECONDS`.

Prints one JSON object: bytes moved and seconds taken. Results are read, not parsed.
"""

from __future__ import annotations

import json
import struct
import sys
import threading
import time

from benches.wire import Connection
from benches.workloads import WORKLOADS

ROW = b"y" * 999 + b"\n"
COPY_DATA = b"d" + struct.pack("!i", 8 * len(ROW) + 4) + 8 * ROW
BLOCK = 32 * COPY_DATA
COPY_DONE = b"c\0\0\0\x04"


def copy_in(connection: Connection, statement: str, end: float) -> int:
    """One COPY FROM STDIN of about 50 MiB, or less if the time is up; the bytes sent."""
    connection.send_query(statement)
    connection.until(b"G")
    total = 0
    for _ in range(200):
        connection.socket.sendall(BLOCK)
        total += len(BLOCK)
        if time.monotonic() >= end:
            break
    connection.socket.sendall(COPY_DONE)
    connection.until_ready()
    return total


def client(port: int, name: str, seconds: float, totals: list[int]) -> None:
    connection = Connection(port)
    statement = WORKLOADS[name].script
    buffer = bytearray(1 << 18)
    end = time.monotonic() + seconds
    total = 0
    while time.monotonic() < end:
        if name == "copy-in":
            total += copy_in(connection, statement, end)
        else:
            connection.send_query(statement)
            total += connection.skip_result(buffer)
    connection.close()
    totals.append(total)


def main(port: int, name: str, clients: int, seconds: float) -> int:
    totals: list[int] = []
    threads = [
        threading.Thread(target=client, args=(port, name, seconds, totals)) for _ in range(clients)
    ]
    start = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps({"bytes": sum(totals), "seconds": time.monotonic() - start}))
    return 0 if len(totals) == clients else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
