"""Names of things: sessions, hosts, generations, epochs.

Value types only, so that mypy keeps a session's number from being taken for a link's. Nothing here
hands out numbers: the engine numbers sessions, the operator names hosts.
"""

from typing import NewType

SessionId = NewType("SessionId", int)
"""What a client believes it has. It survives backends, and is the engine's client link."""

LinkId = NewType("LinkId", int)
"""One socket of the engine: a client's or a backend's."""

HostId = NewType("HostId", str)
"""A PostgreSQL instance, by the name the configuration gives it."""

ClusterId = NewType("ClusterId", str)
"""A set of hosts of which one is primary, by the name the configuration gives it."""

Generation = NewType("Generation", int)
"""Under which decision a command was given; a stale one is refused, never obeyed."""

Epoch = NewType("Epoch", int)
"""The order of primaries: who writes under an old one is fenced."""

GENERATION_FIRST = Generation(1)
EPOCH_FIRST = Epoch(1)


def next_generation(generation: Generation) -> Generation:
    """The generation that makes every command given under `generation` stale."""
    return Generation(generation + 1)


def next_epoch(epoch: Epoch) -> Epoch:
    """The epoch that makes every primary of `epoch` an old one."""
    return Epoch(epoch + 1)
