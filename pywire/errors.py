"""What can go wrong, in one hierarchy that says what the client may do about it.

Every class has the SQLSTATE the client gets, whose fault it is, whether the same thing may safely
be tried again, and one message template. Expected outcomes (a migration that was refused) are
return values, not errors. No message ever contains a secret, a statement or its parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import ClassVar


class Source(Enum):
    """Whose fault an error is."""

    CLIENT = "client"
    HOST = "host"
    PEER = "peer"
    SELF = "self"


class _Values(dict[str, object]):
    """Fills a template; what the raiser did not say reads "unknown" and hides no other error."""

    def __missing__(self, key: str) -> str:
        return "unknown"


class PywireError(Exception):
    """Anything pywire reports as its own error.

    Args:
        detail: one more sentence for people, sent as the DETAIL of an ErrorResponse.
        hint: what to do about it, sent as the HINT.
        values: what the class's template names.
    """

    sqlstate: ClassVar[str] = "XX000"
    source: ClassVar[Source] = Source.SELF
    safe_to_retry: ClassVar[bool] = False
    template: ClassVar[str] = "internal error"

    def __init__(self, detail: str = "", *, hint: str = "", **values: object) -> None:
        self.message = self.template.format_map(_Values(values))
        self.detail = detail
        self.hint = hint
        self.values = values
        super().__init__(self.message)

    def __str__(self) -> str:
        return f"{self.message}: {self.detail}" if self.detail else self.message

    def response_fields(self, severity: str = "FATAL") -> list[tuple[str, str]]:
        """The fields of the ErrorResponse that tells a client about this, in PostgreSQL's order."""
        return response_fields(
            severity, self.sqlstate, self.message, detail=self.detail, hint=self.hint
        )


def response_fields(
    severity: str, sqlstate: str, message: str, *, detail: str = "", hint: str = ""
) -> list[tuple[str, str]]:
    """The (type, value) pairs of an ErrorResponse or NoticeResponse; empty ones are left out."""
    fields = [("S", severity), ("V", severity), ("C", sqlstate), ("M", message)]
    fields += [(key, text) for key, text in (("D", detail), ("H", hint)) if text]
    return fields


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a configuration, and its place: `cluster.main.host[1].address`."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}" if self.place else self.text


class ConfigError(PywireError):
    """The configuration cannot be used; every problem found is listed."""

    sqlstate = "F0000"
    template = "the configuration has {count} problem(s)"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, problems)), count=len(self.problems))


class ProtocolViolation(PywireError):
    """Somebody did not speak the protocol."""

    sqlstate = "08P01"
    source = Source.PEER
    template = "protocol violation"


class FrontendViolation(ProtocolViolation):
    """The client did not speak the protocol."""

    source = Source.CLIENT
    template = "protocol violation by the client"


class BackendViolation(ProtocolViolation):
    """The host did not speak the protocol."""

    source = Source.HOST
    template = "protocol violation by the host"


class LoginError(PywireError):
    """The client may not log in this way."""

    sqlstate = "28000"
    source = Source.CLIENT
    template = 'role "{user}" is not permitted to log in'


class PasswordRefused(LoginError):
    """The client did not prove that it knows the password."""

    sqlstate = "28P01"
    template = 'password authentication failed for user "{user}"'


class HostError(PywireError):
    """The connection to a host broke."""

    sqlstate = "08006"
    source = Source.HOST
    template = 'the connection to host "{host}" failed'


class HostUnreachable(HostError):
    """A host does not answer; nothing was sent to it."""

    sqlstate = "08001"
    safe_to_retry = True
    template = 'host "{host}" cannot be reached'


class HostRejected(HostError):
    """A host answered and did not let us in."""

    sqlstate = "08004"
    template = 'host "{host}" rejected the connection'


class NoPrimary(HostError):
    """No host can take writes now; later one may."""

    sqlstate = "57P03"
    safe_to_retry = True
    template = 'cluster "{cluster}" has no primary now'


class MigrationError(PywireError):
    """A session could not be brought to another host unharmed."""

    sqlstate = "58000"
    template = 'session {session} could not be moved to host "{host}"'


class ReplayDiverged(MigrationError):
    """The open transaction came out differently on the new host, so it was rolled back."""

    sqlstate = "40001"
    safe_to_retry = True
    template = "could not serialize access: the transaction was rolled back by a change of host"


class CommitOutcomeUnknown(MigrationError):
    """A COMMIT was sent, its answer never came, and nobody can say what became of it."""

    sqlstate = "08007"
    template = "the outcome of the transaction is unknown"


class SessionLost(MigrationError):
    """The session's host is gone, and with it something that cannot be recreated."""

    sqlstate = "57P02"
    source = Source.HOST
    template = "terminating connection because its host was lost"


class FencingError(PywireError):
    """Somebody acts under an order that is no longer in force; never sent to a client."""

    sqlstate = "57P02"
    source = Source.PEER
    template = "fenced off"


class StaleEpoch(FencingError):
    """A primary of an old epoch was met."""

    template = 'host "{host}" acts under epoch {epoch}, which is over'


class LeaseLost(FencingError):
    """Another manager owns the sessions now."""

    template = "the lease on the sessions was lost"


class LimitExceeded(PywireError):
    """A limit of the configuration was reached."""

    sqlstate = "53300"
    source = Source.CLIENT
    safe_to_retry = True
    template = "sorry, too many clients already"


class ShuttingDown(PywireError):
    """pywire is stopping, and this session was not gone in time."""

    sqlstate = "57P01"
    safe_to_retry = True
    template = "terminating connection due to administrator command"


class CommandError(PywireError):
    """An admin command that pywire does not understand."""

    sqlstate = "42601"
    source = Source.CLIENT
    template = "syntax error in command"


class CommandForbidden(CommandError):
    """The user may not give admin commands."""

    sqlstate = "42501"
    template = 'permission denied for user "{user}"'


class InvariantViolated(PywireError):
    """A bug in pywire was noticed; it takes no new sessions from here on."""

    template = "internal error: {invariant}"
