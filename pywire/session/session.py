"""A session: what a client believes it has, which survives the backends that serve it.

Pure, and small: thousands of idle ones are kept. Sessions that report the same parameters share one copy of them,
and nothing is decoded before it is asked for. This module never talks to the relay and never reads a clock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pywire.wire.messages import parameter_statuses

if TYPE_CHECKING:
    from pywire.auth.credentials import Credentials
    from pywire.session.startup import Startup

NO_PINS: frozenset[str] = frozenset()


class Session:
    """One client's session and the backend it has at the moment.

    `id` is the client link's id, `backend` the backend link's. `process_id` and `cancel_key` are what the client was
    told at login and never change; `backend_process_id` and `backend_key` belong to the present backend.
    """

    __slots__ = (
        "__weakref__",
        "_changed",
        "_reported",
        "backend",
        "backend_key",
        "backend_process_id",
        "cancel_key",
        "cluster",
        "credentials",
        "flags",
        "generation",
        "host",
        "id",
        "moves",
        "opened_at",
        "peer",
        "pins",
        "process_id",
        "startup",
    )

    def __init__(
        self,
        id: int,  # noqa: A002 - the relay's word for it
        *,
        startup: Startup,
        credentials: Credentials,
        cluster: str,
        host: str,
        backend: int,
        process_id: int,
        backend_key: bytes,
        cancel_key: bytes,
        reported: bytes,
        peer: str,
        opened_at: float,
        pins: frozenset[str] = NO_PINS,
    ) -> None:
        """Begin a session that has just logged in; `reported` are its ParameterStatus messages, verbatim."""
        self.id = id
        self.startup = startup
        self.credentials = credentials
        self.cluster = cluster
        self.host = host
        self.backend = backend
        self.process_id = process_id
        self.backend_process_id = process_id
        self.backend_key = backend_key
        self.cancel_key = cancel_key
        self.peer = peer
        self.opened_at = opened_at
        self.pins = pins
        self.flags = 0
        self.generation = 1
        self.moves = 0
        self._reported = reported
        self._changed: dict[bytes, bytes] | None = None

    @property
    def user(self) -> str:
        """The role the client logged in as."""
        return self.startup.user

    @property
    def database(self) -> str:
        """The database the client asked for."""
        return self.startup.database

    @property
    def parameters(self) -> dict[str, str]:
        """Every parameter the client has been told of, with the value it was last told."""
        told = parameter_statuses(self._reported)
        if self._changed is not None:
            for name, value in self._changed.items():
                told[name.decode("utf-8", "replace")] = value.decode("utf-8", "replace")
        return told

    def parameter_changed(self, name: bytes, value: bytes) -> None:
        """Note a ParameterStatus the client has been sent since its login."""
        if self._changed is None:
            self._changed = {}
        self._changed[name] = value

    def pin(self, reason: str) -> None:
        """Note a reason why this session cannot move."""
        if reason not in self.pins:
            self.pins |= {reason}

    def unpin(self, reason: str) -> None:
        """Forget a reason that no longer holds."""
        if reason in self.pins:
            self.pins -= {reason}

    def next_generation(self) -> int:
        """Begin a new series of commands to the relay; commands decided earlier become stale."""
        self.generation += 1
        return self.generation

    def moved(
        self, *, host: str, backend: int, process_id: int, key: bytes, reported: bytes | None = None
    ) -> None:
        """Note that the session now lives on another backend.

        Args:
            host: the new host's name.
            backend: the new backend link's id.
            process_id: the new backend's process id; the client keeps the one it was told.
            key: the new backend's cancel key.
            reported: the new backend's ParameterStatus messages, if the client has been told all of them.
        """
        self.host = host
        self.backend = backend
        self.backend_process_id = process_id
        self.backend_key = key
        self.moves += 1
        if reported is not None:
            self._reported = reported
            self._changed = None

    def __repr__(self) -> str:
        return f"Session({self.id}, user={self.user!r}, database={self.database!r}, host={self.host!r})"
