"""`pywire run` that reports what Python has allocated: `python -m benches.traced FILE CONFIG`.

Writes tracemalloc's current total to FILE twice a second. It slows logins a lot; nothing but
memory is measured with it.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import time
import tracemalloc
from pathlib import Path

from pywire.cli import main


def report(path: Path) -> None:
    while True:
        gc.collect()
        fresh = path.with_suffix(".new")
        fresh.write_text(str(tracemalloc.get_traced_memory()[0]))
        os.replace(fresh, path)
        time.sleep(0.5)


if __name__ == "__main__":
    tracemalloc.start(1)
    threading.Thread(target=report, args=(Path(sys.argv[1]),), daemon=True).start()
    sys.exit(main(["run", "--config", sys.argv[2]]))
