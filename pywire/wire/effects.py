"""What a statement does to its session, as plain data: the words `classify` writes and the ledger reads.

Pure. Effects say what the statement will have done once the server has completed it; whether it was completed, and
whether a transaction undoes it, is the reader's to find out. Nothing here parses, and nothing here raises.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

__all__ = [
    "COMPUTED",
    "AdvisoryLock",
    "AdvisoryUnknown",
    "AdvisoryUnlock",
    "AdvisoryUnlockAll",
    "Argument",
    "Begin",
    "Bound",
    "CallsUnknown",
    "Classification",
    "CloseCursor",
    "Commit",
    "Computed",
    "CreateTemporary",
    "Deallocate",
    "DeclareHold",
    "Discard",
    "DiscardKind",
    "DropRelations",
    "Effect",
    "Execute",
    "Listen",
    "Literal",
    "Load",
    "MayWrite",
    "Prepare",
    "PrepareTransaction",
    "Release",
    "ResetAll",
    "ResetParameter",
    "Rollback",
    "RollbackTo",
    "RunsCode",
    "Savepoint",
    "SetConfig",
    "SetParameter",
    "SetSeed",
    "SetTransaction",
    "Statement",
    "Unknown",
    "Unlisten",
    "UsesSequence",
]


@dataclass(frozen=True, slots=True)
class Literal:
    """A value that stands in the text; None is NULL."""

    value: str | None


@dataclass(frozen=True, slots=True)
class Bound:
    """A value that comes with Bind: `$number`."""

    number: int


@dataclass(frozen=True, slots=True)
class Computed:
    """A value only the server knows; it has to be read back."""


COMPUTED = Computed()
Argument: TypeAlias = Literal | Bound | Computed


@dataclass(frozen=True, slots=True)
class SetParameter:
    """SET, also of the role, the session authorization and SESSION CHARACTERISTICS, which set parameters.

    Attributes:
        name: in lower case; `timezone`, `role`, `session_authorization` and so on for the special spellings.
        values: what to write behind TO, as string constants; None if that has to be read back.
        local: whether it was SET LOCAL.
    """

    name: str
    values: tuple[str, ...] | None
    local: bool = False


@dataclass(frozen=True, slots=True)
class ResetParameter:
    """RESET name, or SET [LOCAL] name TO DEFAULT."""

    name: str
    local: bool = False


@dataclass(frozen=True, slots=True)
class ResetAll:
    """RESET ALL."""


@dataclass(frozen=True, slots=True)
class SetTransaction:
    """SET TRANSACTION or a parameter of the like: gone with the transaction."""


@dataclass(frozen=True, slots=True)
class SetConfig:
    """A call of `set_config()`.

    Attributes:
        name, value, local: the arguments.
        exact: whether it is certain to be called exactly once; else the parameter has to be read back.
    """

    name: Argument
    value: Argument
    local: Argument
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Prepare:
    """PREPARE: `text` is that one statement, cut out of what may be many; `effects` are those of an EXECUTE."""

    name: str
    text: str
    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Execute:
    """EXECUTE: the effects are those of the prepared statement of that name."""

    name: str


@dataclass(frozen=True, slots=True)
class Deallocate:
    """DEALLOCATE; None is ALL."""

    name: str | None


class DiscardKind(Enum):
    """What DISCARD discards."""

    ALL = "all"
    PLANS = "plans"
    SEQUENCES = "sequences"
    TEMPORARY = "temporary"


@dataclass(frozen=True, slots=True)
class Discard:
    """DISCARD."""

    kind: DiscardKind


@dataclass(frozen=True, slots=True)
class Listen:
    """LISTEN, from commit on."""

    channel: str


@dataclass(frozen=True, slots=True)
class Unlisten:
    """UNLISTEN, from commit on; None is `*`."""

    channel: str | None


@dataclass(frozen=True, slots=True)
class DeclareHold:
    """DECLARE … CURSOR WITH HOLD: from commit on the session's, with rows that exist only on its host."""

    name: str


@dataclass(frozen=True, slots=True)
class CloseCursor:
    """CLOSE; None is ALL."""

    name: str | None


@dataclass(frozen=True, slots=True)
class CreateTemporary:
    """A temporary object was made.

    Attributes:
        name: without its schema.
        kind: table, view, sequence, or another object's SQL name.
        drop: whether ON COMMIT DROP takes it away with the transaction.
    """

    name: str
    kind: str = "table"
    drop: bool = False


@dataclass(frozen=True, slots=True)
class DropRelations:
    """DROP of relations; some may be temporary. Each is (schema or None, name)."""

    names: tuple[tuple[str | None, str], ...]


@dataclass(frozen=True, slots=True)
class AdvisoryLock:
    """A session-level advisory lock is taken, once more if it is held already.

    Attributes:
        key: one bigint, or two integers.
        shared: whether it is a share lock.
        attempt: whether the answer in result column `column` says if it was obtained.
        column: which result column holds the answer.
    """

    key: tuple[Argument, ...]
    shared: bool = False
    attempt: bool = False
    column: int = 0


@dataclass(frozen=True, slots=True)
class AdvisoryUnlock:
    """A session-level advisory lock is released once, if it is held."""

    key: tuple[Argument, ...]
    shared: bool = False


@dataclass(frozen=True, slots=True)
class AdvisoryUnlockAll:
    """All session-level advisory locks are released."""


@dataclass(frozen=True, slots=True)
class AdvisoryUnknown:
    """Session-level advisory locks may be taken or released, it is not known which or how often."""


@dataclass(frozen=True, slots=True)
class SetSeed:
    """The series of random numbers is the session's own from here on."""


@dataclass(frozen=True, slots=True)
class UsesSequence:
    """`nextval()`, `currval()`, `lastval()` or `setval()`: what currval() answers is on this host only."""


@dataclass(frozen=True, slots=True)
class Load:
    """LOAD; a library is never unloaded."""

    library: str


@dataclass(frozen=True, slots=True)
class Begin:
    """BEGIN or START TRANSACTION."""


@dataclass(frozen=True, slots=True)
class Savepoint:
    """SAVEPOINT."""

    name: str


@dataclass(frozen=True, slots=True)
class RollbackTo:
    """ROLLBACK TO SAVEPOINT."""

    name: str


@dataclass(frozen=True, slots=True)
class Release:
    """RELEASE SAVEPOINT."""

    name: str


@dataclass(frozen=True, slots=True)
class Commit:
    """COMMIT; that it ended as ROLLBACK, only its command tag says."""

    chain: bool = False


@dataclass(frozen=True, slots=True)
class Rollback:
    """ROLLBACK."""

    chain: bool = False


@dataclass(frozen=True, slots=True)
class PrepareTransaction:
    """PREPARE TRANSACTION; that it ended as ROLLBACK, only its command tag says."""


@dataclass(frozen=True, slots=True)
class CallsUnknown:
    """Functions are called that the text alone does not explain; each is (schema or None, name), sorted."""

    functions: tuple[tuple[str | None, str], ...]


@dataclass(frozen=True, slots=True)
class RunsCode:
    """DO: code in `language`, whose effects are not known from the statement."""

    language: str
    body: str


@dataclass(frozen=True, slots=True)
class MayWrite:
    """Data or catalogs may be changed, and triggers may run.

    Attributes:
        relations: the targets as far as the text names them, each (schema or None, name), sorted.
    """

    relations: tuple[tuple[str | None, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """A text that was not parsed.

    Attributes:
        flags: what the search for words found in it (`pywire._rust.wire.scan`). With none found it touches no
            session state that a text can show; functions it calls are not known.
    """

    flags: int


Effect: TypeAlias = (
    SetParameter
    | ResetParameter
    | ResetAll
    | SetTransaction
    | SetConfig
    | Prepare
    | Execute
    | Deallocate
    | Discard
    | Listen
    | Unlisten
    | DeclareHold
    | CloseCursor
    | CreateTemporary
    | DropRelations
    | AdvisoryLock
    | AdvisoryUnlock
    | AdvisoryUnlockAll
    | AdvisoryUnknown
    | SetSeed
    | UsesSequence
    | Load
    | Begin
    | Savepoint
    | RollbackTo
    | Release
    | Commit
    | Rollback
    | PrepareTransaction
    | CallsUnknown
    | RunsCode
    | MayWrite
    | Unknown
)


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a text: its effects in the order in which they happen."""

    effects: tuple[Effect, ...] = ()


@dataclass(frozen=True, slots=True)
class Classification:
    """What a text does: one `Statement` per command tag the server will answer with, in order.

    An empty text has none. A text that was not parsed has one with an `Unknown`, which stands for all of them.
    """

    statements: tuple[Statement, ...] = ()

    @property
    def parsed(self) -> bool:
        """Whether the statements are known one by one."""
        first = self.statements[0].effects if self.statements else ()
        return not (first and isinstance(first[0], Unknown))

    @property
    def harmless(self) -> bool:
        """Whether no statement has any effect on the session, nor on data, nor calls what is not known."""
        return not any(statement.effects for statement in self.statements)

    def statement(self, index: int) -> Statement:
        """The statement that command tag number `index` of the answer belongs to.

        Raises:
            IndexError: the server has completed more statements than the text holds.
        """
        return self.statements[index if self.parsed else 0]
