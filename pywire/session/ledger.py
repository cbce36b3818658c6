"""What a session has, concluded from what it was seen to do: the inventory for a host that dies without warning.

Pure: the messages' meaning comes in (statements classified, tags, statuses), a belief comes out. It is exact as far as
the texts go. Where they do not go far enough it says so, as a `Doubt`, until the server has been asked. It never asks
anything itself, and it never guesses that nothing happened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from pywire.session.advisory import AdvisoryLocks, Lock
from pywire.session.cursors import HeldCursors
from pywire.session.settings import UNREAD, Settings, Text, Value, Words
from pywire.session.undo import Undoable
from pywire.wire import effects as e

__all__ = ["Block", "Doubt", "Ledger", "Prepared"]

Row = Sequence[str | None]
# What is written is added to what was: SET datestyle TO 'ISO' leaves the order of day and month as it is.
_CUMULATIVE = {"datestyle"}
_NOTHING = "SELECT 0"
# They end with the transaction; a session has none of them.
_OF_TRANSACTION = {"transaction_isolation", "transaction_read_only", "transaction_deferrable"}


class Block(Enum):
    """In which kind of transaction the session is."""

    NONE = "none"
    IMPLICIT = "implicit"
    EXPLICIT = "explicit"
    FAILED = "failed"


class Doubt(Enum):
    """A part of the belief that the server has to be asked about; the value says why."""

    SETTINGS = "A parameter was set that the text does not name, or a transaction ended unseen."
    PREPARED = "Prepared statements may have come or gone unseen."
    ADVISORY_LOCKS = "Advisory locks were taken or released, and the text does not say which."
    CHANNELS = "Channels may have been listened to unseen."
    CURSORS = "Cursors may have been declared or closed unseen."
    TEMPORARY = "Temporary objects may have been created or dropped unseen."
    LIBRARIES = "A library may have been loaded in part."
    FUNCTIONS = "Functions or code ran whose effects are not known from the text."


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared statement.

    Attributes:
        text: the PREPARE statement alone, or what Parse was given.
        by_sql: whether PREPARE made it.
        effects: what executing it does.
        search_path, role: in force when it was made, None for the login's, UNREAD if that is not known: its names
            mean what they meant then.
    """

    text: str
    by_sql: bool
    effects: tuple[e.Effect, ...]
    search_path: Value | None
    role: Value | None


class Ledger:
    """The state of one session, from its login on.

    `completed`, `failed`, `parsed`, `closed` and `ready` are told in the order in which the server answered.
    """

    __slots__ = (
        "_listening",
        "_savepoints",
        "_temporary",
        "advisory",
        "block",
        "channels",
        "cursors",
        "doubts",
        "functions",
        "libraries",
        "prepared",
        "seeded",
        "sequences_used",
        "settings",
    )

    def __init__(self) -> None:
        self.settings = Settings()
        self.advisory = AdvisoryLocks()
        self.cursors = HeldCursors()
        self.prepared: dict[str, Prepared] = {}
        self.channels: set[str] = set()
        self.libraries: list[str] = []
        self.seeded = False
        self.sequences_used = False
        self.doubts: set[Doubt] = set()
        self.functions: set[tuple[str | None, str]] = set()
        self.block = Block.NONE
        self._temporary: Undoable[bool] = Undoable()
        self._listening: list[tuple[bool, str | None]] = []
        self._savepoints: list[tuple[str, int]] = []

    @property
    def temporary(self) -> frozenset[str]:
        """The temporary relations and other objects that have been seen made, and not dropped."""
        return frozenset(name for name, _ in self._temporary.items())

    # --- what is told ---

    def completed(
        self,
        statement: e.Statement,
        tag: str = "",
        *,
        row: Row | None = None,
        bound: Row | None = None,
    ) -> None:
        """A statement was answered with CommandComplete, or with PortalSuspended, by when it has done what it does.

        Args:
            statement: what it was.
            tag: its command tag. `SELECT 0` means that nothing was evaluated by this Execute, if an earlier one of
                the same portal has told its row.
            row: the first row of its answer as text, if it was seen.
            bound: the values it was bound to as text, if they are known.
        """
        if self.block is Block.NONE:
            self._open(Block.IMPLICIT)
        for effect in statement.effects:
            self._apply(effect, tag, row, bound)

    def failed(self, statement: e.Statement | None = None) -> None:
        """A statement, if it was one, was answered with ErrorResponse; its transaction is over or has failed."""
        for effect in statement.effects if statement is not None else ():
            self._doubt_after_failure(effect)
        if self.block is Block.EXPLICIT:
            self.block = Block.FAILED
        elif self.block is Block.IMPLICIT:
            self._roll_back()

    def ready(self, status: str) -> None:
        """ReadyForQuery with its transaction status: `I`, `T` or `E`."""
        if status == "I":
            if self.block is Block.IMPLICIT:
                self._commit()
            elif self.block is Block.EXPLICIT:
                self._lose_track()
                self._roll_back()
            elif self.block is Block.FAILED:
                self._roll_back()  # it was COMMIT that failed
            return
        if self.block in (Block.NONE, Block.IMPLICIT):
            self._lose_track()
            if self.block is Block.NONE:
                self._open(Block.EXPLICIT)
        self.block = Block.EXPLICIT if status == "T" else Block.FAILED

    def parsed(self, name: str, text: str, statement: e.Statement) -> None:
        """ParseComplete for a named statement."""
        self._prepare(name, text, statement.effects, by_sql=False)

    def closed(self, name: str) -> None:
        """CloseComplete for a named statement."""
        self.prepared.pop(name, None)

    # --- what the server was asked ---

    def settle(self, reported: Mapping[str, str]) -> None:
        """Read back what can be, from the parameters the server reports by itself, as of the last ReadyForQuery."""
        for name, value in reported.items():
            if _lowered(name) in self.settings.unread:
                self.settings.read_back(_lowered(name), value)

    def confirm(self, doubt: Doubt) -> None:
        """The server was asked about this part, and the belief has been put right."""
        self.doubts.discard(doubt)
        if doubt is Doubt.FUNCTIONS:
            self.functions.clear()

    def _lose_track(self) -> None:
        self.doubts |= {Doubt.SETTINGS, Doubt.CHANNELS, Doubt.CURSORS, Doubt.TEMPORARY}

    # --- effects ---

    def _apply(self, effect: e.Effect, tag: str, row: Row | None, bound: Row | None) -> None:
        match effect:
            case e.SetParameter(name, values, local):
                self.settings.set(name, _written(name, values), local=local)
            case e.ResetParameter(name, local):
                self.settings.reset(name, local=local)
            case e.ResetAll():
                self.settings.reset_all()
            case e.SetConfig():
                if not (effect.exact and tag == _NOTHING):
                    self._set_config(effect, bound)
            case e.Prepare(name, text, effects):
                self._prepare(name, text, effects, by_sql=True)
            case e.Execute(name):
                self._execute(name, tag, row)
            case e.Deallocate(None):
                self.prepared.clear()
            case e.Deallocate(str(name)):
                self.prepared.pop(name, None)
            case e.Discard(kind):
                self._discard(kind)
            case e.Listen(channel):
                self._listening.append((True, channel))
            case e.Unlisten(channel):
                self._listening.append((False, channel))
            case e.DeclareHold(name):
                self.cursors.declare(name)
            case e.CloseCursor(name):
                self.cursors.close(name)
            case e.CreateTemporary(name, _, drop):
                self._temporary.put(name, drop)
            case e.DropRelations(names):
                self._drop(names)
            case e.MayWrite():
                if self._creates_in_temporary_schema():
                    self.doubts.add(Doubt.TEMPORARY)
            case _:
                self._apply_more(effect, tag, row, bound)

    def _apply_more(self, effect: e.Effect, tag: str, row: Row | None, bound: Row | None) -> None:
        match effect:
            case e.AdvisoryLock() | e.AdvisoryUnlock():
                if tag != _NOTHING:
                    self._advisory(effect, row, bound)
            case e.AdvisoryUnlockAll():
                self.advisory.unlock_all()
                self.doubts.discard(Doubt.ADVISORY_LOCKS)
            case e.AdvisoryUnknown():
                self.doubts.add(Doubt.ADVISORY_LOCKS)
            case e.SetSeed():
                self.seeded = True
            case e.UsesSequence():
                self.sequences_used = True
            case e.Load(library):
                if library not in self.libraries:
                    self.libraries.append(library)
            case e.CallsUnknown(functions):
                self.doubts.add(Doubt.FUNCTIONS)
                self.functions |= set(functions)
            case e.RunsCode():
                self.doubts.add(Doubt.FUNCTIONS)
            case e.Unknown(flags):
                self._unknown(flags, tag)
            case _:
                self._transaction(effect, tag)

    def _doubt_after_failure(self, effect: e.Effect) -> None:
        """What a statement may have done before it failed, and no rollback undoes."""
        match effect:
            case e.AdvisoryLock() | e.AdvisoryUnlock() | e.AdvisoryUnlockAll():
                self.doubts.add(Doubt.ADVISORY_LOCKS)
            case e.AdvisoryUnknown():
                self.doubts.add(Doubt.ADVISORY_LOCKS)
            case e.CallsUnknown(functions):
                self.doubts.add(Doubt.FUNCTIONS)
                self.functions |= set(functions)
            case e.RunsCode():
                self.doubts.add(Doubt.FUNCTIONS)
            case e.Unknown(flags) if flags:
                self.doubts |= {Doubt.PREPARED, Doubt.ADVISORY_LOCKS, Doubt.LIBRARIES}
            case e.SetSeed():
                self.seeded = True
            case e.UsesSequence():
                self.sequences_used = True
            case e.Load():
                self.doubts.add(Doubt.LIBRARIES)
            case e.Execute(name):
                prepared = self.prepared.get(name)
                for inner in prepared.effects if prepared is not None else ():
                    self._doubt_after_failure(inner)
            case _:
                pass

    def _set_config(self, effect: e.SetConfig, bound: Row | None) -> None:
        known, name = _given(effect.name, bound)
        if not known or name is None:
            self.doubts.add(Doubt.SETTINGS)
            return
        name = _lowered(name)
        if name in _OF_TRANSACTION:
            return
        if name == "seed":
            self.seeded = True
            return
        known, value = _given(effect.value, bound)
        known = known and name not in _CUMULATIVE
        whose, local = _given(effect.local, bound)
        if not known or not effect.exact:
            if effect.exact and whose:
                self.settings.set(name, UNREAD, local=_is_true(local))
            else:
                self.settings.set_perhaps_local(name, UNREAD)
        elif not whose:
            self.settings.set_perhaps_local(name, UNREAD if value is None else Text(value))
        elif value is None:
            self.settings.reset(name, local=_is_true(local))
        else:
            self.settings.set(name, Text(value), local=_is_true(local))

    def _prepare(
        self, name: str, text: str, effects: tuple[e.Effect, ...], *, by_sql: bool
    ) -> None:
        in_force = self.settings.in_force
        self.prepared[name] = Prepared(
            text, by_sql, effects, in_force.get("search_path"), in_force.get("role")
        )

    def _execute(self, name: str, tag: str, row: Row | None) -> None:
        prepared = self.prepared.get(name)
        if prepared is None:
            self.doubts |= {Doubt.PREPARED, Doubt.FUNCTIONS}
            return
        for effect in prepared.effects:
            # What an EXECUTE binds is not looked at: the values may be expressions.
            self._apply(effect, tag, row, None)

    def _advisory(
        self, effect: e.AdvisoryLock | e.AdvisoryUnlock, row: Row | None, bound: Row | None
    ) -> None:
        key = []
        for argument in effect.key:
            known, value = _given(argument, bound)
            if not known or (value is not None and not value.removeprefix("-").isdecimal()):
                self.doubts.add(Doubt.ADVISORY_LOCKS)
                return
            if value is None:
                return  # the functions are strict: with NULL they are not called
            key.append(int(value))
        lock = Lock(tuple(key), effect.shared)
        if isinstance(effect, e.AdvisoryUnlock):
            self.advisory.unlock(lock)
            return
        answer = row[effect.column] if row is not None and effect.column < len(row) else None
        if not effect.attempt or answer in ("t", "true"):
            self.advisory.lock(lock)
        elif answer not in ("f", "false"):
            self.doubts.add(Doubt.ADVISORY_LOCKS)

    def _discard(self, kind: e.DiscardKind) -> None:
        if kind in (e.DiscardKind.ALL, e.DiscardKind.SEQUENCES):
            self.sequences_used = False
        if kind in (e.DiscardKind.ALL, e.DiscardKind.TEMPORARY):
            for name in self.temporary:
                self._temporary.put(name, None)
        if kind is not e.DiscardKind.ALL:
            return
        self.settings.reset("session_authorization", local=False)
        self.settings.reset_all()
        self.prepared.clear()
        self.cursors.close(None)
        self.advisory.unlock_all()
        self._listening.append((False, None))
        # Custom parameters set unseen, cursors, locks and the rest are gone, whatever they were.
        self.doubts -= set(Doubt) - {Doubt.LIBRARIES, Doubt.FUNCTIONS}
        self._commit()  # it commits by itself; what may still follow in a pipeline is another transaction

    def _drop(self, names: tuple[tuple[str | None, str], ...]) -> None:
        for schema, name in names:
            if (schema or "").startswith("pg_temp"):
                self._temporary.put(name, None)
            elif schema is None and self._temporary.get(name) is not None:
                # The temporary schema is searched first, unless search_path puts it elsewhere.
                if self._search_path_is_plain():
                    self._temporary.put(name, None)
                else:
                    self.doubts.add(Doubt.TEMPORARY)

    def _search_path_is_plain(self) -> bool:
        path = self.settings.in_force.get("search_path")
        return path is None or (path is not UNREAD and "pg_temp" not in str(path))

    def _creates_in_temporary_schema(self) -> bool:
        path = self.settings.in_force.get("search_path")
        return path is not None and "pg_temp" in str(path)

    # --- transactions ---

    def _transaction(self, effect: e.Effect, tag: str) -> None:
        match effect:
            case e.Begin():
                self.block = Block.EXPLICIT
            case e.Commit(chain):
                self._end(committed=tag != "ROLLBACK", chain=chain)
            case e.PrepareTransaction():
                self._end(committed=tag != "ROLLBACK", chain=False)
            case e.Rollback(chain):
                self._end(committed=False, chain=chain)
            case e.Savepoint(name):
                self._savepoints.append((name, len(self._listening)))
                self._begin_level()
            case e.Release(name):
                self._unwind(name, keep=True)
            case e.RollbackTo(name):
                if self._unwind(name, keep=False):
                    self._savepoints.append((name, len(self._listening)))
                    self._begin_level()
                self.block = Block.EXPLICIT
            case _:
                pass

    def _open(self, block: Block) -> None:
        self.block = block
        self._begin_level()

    def _begin_level(self) -> None:
        self.settings.begin()
        self._temporary.begin()
        self.cursors.begin()

    def _unwind(self, name: str, *, keep: bool) -> bool:
        """Close the levels down to and with the savepoint of that name; False if none is known."""
        if not any(name == known for known, _ in self._savepoints):
            self._lose_track()
            return False
        while True:
            known, listening = self._savepoints.pop()
            if keep:
                self._keep_level()
            else:
                self._undo_level()
                del self._listening[listening:]
            if known == name:
                return True

    def _keep_level(self) -> None:
        self.settings.release()
        self._temporary.keep()
        self.cursors.release()

    def _undo_level(self) -> None:
        self.settings.undo()
        self._temporary.undo()
        self.cursors.undo()

    def _end(self, *, committed: bool, chain: bool) -> None:
        if committed:
            self._commit()
        else:
            self._roll_back()
        if chain:
            self._open(Block.EXPLICIT)

    def _commit(self) -> None:
        for _ in self._savepoints:
            self._keep_level()
        for name, drop in self._temporary.items():
            if drop:
                self._temporary.put(name, None)
        self._temporary.keep()
        self.settings.commit()
        self.cursors.commit()
        for listens, channel in self._listening:
            if channel is None:
                self.channels.clear()
            elif listens:
                self.channels.add(channel)
            else:
                self.channels.discard(channel)
        self._over()

    def _roll_back(self) -> None:
        for _ in range(len(self._savepoints) + 1):
            self._undo_level()
        self._over()

    def _over(self) -> None:
        self._savepoints.clear()
        self._listening.clear()
        self.block = Block.NONE

    def _unknown(self, flags: int, tag: str) -> None:
        """A statement nobody read was completed: its tag tells of transactions, the words in it of the rest."""
        match tag:
            case "BEGIN" | "START TRANSACTION":
                self.block = Block.EXPLICIT
            case "COMMIT" | "PREPARE TRANSACTION":
                self._commit()
            case "ROLLBACK" | "SAVEPOINT" | "RELEASE":
                # ROLLBACK may be one to a savepoint, and no tag names the savepoint.
                self._lose_track()
            case _:
                pass
        if flags:
            self.doubts |= set(Doubt)
            self.seeded = self.sequences_used = True


def _written(name: str, words: tuple[str, ...] | None) -> Value:
    """The value that SET gives, as far as its words tell."""
    return UNREAD if words is None or name in _CUMULATIVE else Words(words)


def _given(argument: e.Argument, bound: Row | None) -> tuple[bool, str | None]:
    """Whether the argument's value is known, and the value."""
    match argument:
        case e.Literal(value):
            return True, value
        case e.Bound(number) if bound is not None and number <= len(bound):
            return True, bound[number - 1]
        case _:
            return False, None


def _is_true(value: str | None) -> bool:
    return value is not None and value.strip().lower() in ("t", "true", "1", "y", "yes", "on")


def _lowered(name: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in name)
