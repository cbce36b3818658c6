"""The demonstration: pgbench through pywire while the primary changes sides.

It starts everything it needs in a temporary directory and leaves nothing behind. It is a program to look at, not a
part of the manager: no other module of pywire imports it.
"""

from pywire.demo.demo import main as main

__all__ = ["main"]
