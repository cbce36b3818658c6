"""Session programs, and a slow, obvious server for them: what the ledger has to conclude from the messages alone.

The model keeps whole copies of its state for every savepoint and decides which statements fail. It shares no code with
the ledger. The same programs run on real servers in tests/integration/test_ledger.py.
"""

from __future__ import annotations

import copy
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import strategies as st

Operation = tuple
CLOSED = {
    "begin": "BEGIN",
    "commit": "COMMIT",
    "rollback": "ROLLBACK",
    "prepare_transaction": "PREPARE TRANSACTION",
}
PARAMETERS = {
    "work_mem": ["64", "'1MB'"],
    "statement_timeout": ["'20min'", "1200000"],
    "application_name": ["'it''s'", "b"],
    "search_path": ["public", "'a b', \"C\", public", "''"],
    "DateStyle": ["German, DMY", "'ISO'"],
    "app.user_id": ["'7'", "x"],
    "default_transaction_deferrable": ["on"],
}
TEXTS = {
    "work_mem": ["128kB", None],
    "statement_timeout": ["20min", None],
    "application_name": ["c"],
    "search_path": ['x, "Y z"', None],
    "DateStyle": ["iso", "ymd"],
    "app.user_id": ["9", "", None],
    "default_transaction_deferrable": ["off", None],
}


def sql(operation: Operation) -> str:
    """The operation as a statement."""
    match operation:
        case ("set", name, value, local):
            return f"set {'local ' if local else ''}{name} to {value}"
        case ("reset", name, local):
            return f"set local {name} to default" if local else f"reset {name}"
        case ("reset_all",):
            return "reset all"
        case ("set_config", name, value, local):
            quoted = "null" if value is None else f"'{value}'"
            return f"select set_config('{name}', {quoted}, {str(local).lower()})"
        case ("role", role, local):
            return f"set {'local ' if local else ''}role {role}"
        case ("authorization", role, local):
            return f"set {'local ' if local else ''}session authorization {role}"
        case ("commit" | "rollback" as word, chain):
            return word + (" and chain" if chain else "")
        case ("rollback_to", name):
            return f"rollback to savepoint {name}"
        case ("error",):
            return "select 1/0"
        case ("prepare", name, inner):
            return f"prepare {name} as {sql(inner)}"
        case ("deallocate" | "close" as word, name):
            return f"{word} {name or 'all'}"
        case ("unlisten", channel):
            return f"unlisten {channel or '*'}"
        case ("declare", name):
            return f"declare {name} cursor with hold for select 1"
        case ("lock", key, shared, attempt):
            function = f"pg_{'try_' if attempt else ''}advisory_lock{'_shared' if shared else ''}"
            return f"select {function}({', '.join(map(str, key))})"
        case ("unlock", key, shared):
            suffix = "_shared" if shared else ""
            return f"select pg_advisory_unlock{suffix}({', '.join(map(str, key))})"
        case ("unlock_all",):
            return "select pg_advisory_unlock_all()"
        case ("temporary", name, drop):
            return f"create temp table {name} (a int){' on commit drop' if drop else ''}"
        case ("drop", name):
            return f"drop table {name}"
        case ("discard", what):
            return f"discard {what}"
        case (word, *names):
            return " ".join([word, *names])
    raise AssertionError(operation)


def strategy() -> st.SearchStrategy[list[list[Operation]]]:
    """Programs: requests of one to three statements, about few parameters, so that they meet."""
    names = st.lists(st.sampled_from(sorted(PARAMETERS)), min_size=1, max_size=3, unique=True)
    return names.flatmap(_programs)


def _programs(names: list[str]) -> st.SearchStrategy[list[list[Operation]]]:
    name = st.sampled_from(["a", "b"])
    local = st.booleans()
    key = st.sampled_from([(1,), (-2,), (1, 2), (5_000_000_000,)])
    setting = st.sampled_from(
        [(name, value) for name in names for value in PARAMETERS[name]]
    ).flatmap(lambda pair: st.tuples(st.just("set"), st.just(pair[0]), st.just(pair[1]), local))
    texts = [(name, text) for name in names for text in TEXTS[name]]
    config = st.sampled_from(texts).flatmap(
        lambda pair: st.tuples(st.just("set_config"), st.just(pair[0]), st.just(pair[1]), local)
    )
    reset = st.tuples(st.just("reset"), st.sampled_from(names), local)
    lock = st.tuples(st.just("lock"), key, st.booleans(), st.booleans())
    unlock = st.tuples(st.just("unlock"), key, st.booleans())
    roles = st.one_of(
        st.tuples(st.just("role"), st.sampled_from(["app", "none"]), local),
        st.tuples(st.just("authorization"), st.sampled_from(["app", "default"]), local),
    )
    control = st.one_of(
        st.just(("begin",)),
        st.just(("begin",)),
        st.tuples(st.sampled_from(["commit", "rollback"]), st.sampled_from([False, False, True])),
        st.tuples(st.sampled_from(["savepoint", "rollback_to", "release"]), name),
        st.tuples(st.just("savepoint"), name),
    )
    state = st.one_of(
        setting,
        setting,
        config,
        reset,
        roles,
        lock,
        unlock,
        st.tuples(st.sampled_from(["listen"]), name),
        st.tuples(st.just("unlisten"), st.one_of(st.none(), name)),
        st.tuples(st.just("declare"), name),
        st.tuples(st.just("close"), st.one_of(st.none(), name)),
        st.tuples(st.just("prepare"), name, st.one_of(config, lock)),
        st.tuples(st.just("execute"), name),
        st.tuples(st.just("deallocate"), st.one_of(st.none(), name)),
        st.tuples(st.just("temporary"), name, st.booleans()),
        st.tuples(st.just("drop"), name),
    )
    rare = st.sampled_from(
        [("reset_all",), ("unlock_all",), ("discard", "all"), ("discard", "temp"), ("error",)]
    )
    operation = st.one_of(state, state, state, control, control, rare)
    request = st.one_of(
        operation.map(lambda one: [one]), st.lists(operation, min_size=2, max_size=3)
    )
    inside = st.one_of(
        state,
        state,
        st.tuples(st.sampled_from(["savepoint", "savepoint", "rollback_to", "release"]), name),
    )
    block = st.builds(
        lambda statements, end: [[("begin",)], *([one] for one in statements), [end]],
        st.lists(inside, min_size=2, max_size=8),
        st.sampled_from([("commit", False), ("commit", False), ("rollback", False)]),
    )
    parts = st.one_of(request.map(lambda one: [one]), block)
    return st.lists(parts, max_size=6).map(lambda many: [one for part in many for one in part])


@dataclass
class Copied:
    """What a rollback brings back."""

    now: dict[str, object] = field(default_factory=dict)
    kept: dict[str, object] = field(default_factory=dict)
    temporary: dict[str, bool] = field(default_factory=dict)
    listening: list[tuple[str, str | None]] = field(default_factory=list)


class Refused(Exception):
    """The statement fails."""


@dataclass
class Reply:
    """One statement's: its tag, or None for an error."""

    tag: str | None
    row: tuple[str, ...] | None = None


class ModelServer:
    """A server of one session."""

    def __init__(self) -> None:
        self.state = Copied()
        self.saved: list[tuple[str | None, Copied, set[int]]] = []
        self.cursors: dict[str, int] = {}
        self.cursors_made = 0
        self.prepared: dict[str, Operation] = {}
        self.locks: Counter = Counter()
        self.channels: set[str] = set()
        self.status = "I"
        self.alone = True

    def run(self, operations: list[Operation]) -> list[Reply]:
        """One simple Query. Ends at the first error, as the server does."""
        replies = []
        self.alone = len(operations) == 1
        for operation in operations:
            if not self.saved:
                self._save(None)
            try:
                replies.append(self._one(operation))
            except Refused:
                replies.append(Reply(None))
                if self.status == "T":
                    self.status = "E"
                elif self.status == "I":
                    self._restore(0)
                    self.saved.clear()
                return replies
        if self.status == "I" and self.saved:
            self._commit()
        return replies

    def _save(self, name: str | None) -> None:
        self.saved.append((name, copy.deepcopy(self.state), set(self.cursors.values())))

    def _restore(self, index: int) -> None:
        _, state, cursors = self.saved[index]
        self.state = copy.deepcopy(state)
        self.cursors = {name: made for name, made in self.cursors.items() if made in cursors}

    def _one(self, operation: Operation) -> Reply:
        if self.status == "E" and operation[0] not in ("commit", "rollback", "rollback_to"):
            raise Refused
        method = getattr(self, "_" + operation[0])
        answer = method(*operation[1:])
        return answer if isinstance(answer, Reply) else Reply(operation[0].upper())

    # --- transactions ---

    def _begin(self) -> None:
        self.status = "T"

    def _end(self, chain: bool) -> None:
        self.saved.clear()
        self.status = "I"
        if chain:
            self._save(None)
            self.status = "T"

    def _commit(self, chain: bool = False) -> Reply:
        if chain and self.status == "I":
            raise Refused
        if self.status == "E":
            self._rollback(chain)
            return Reply("ROLLBACK")
        self.state.now = dict(self.state.kept)
        self.state.temporary = {n: drop for n, drop in self.state.temporary.items() if not drop}
        for word, channel in self.state.listening:
            if word == "listen":
                self.channels.add(channel)
            else:
                self.channels -= {channel} if channel else self.channels
        self.state.listening = []
        self._end(chain)
        return Reply("COMMIT")

    def _rollback(self, chain: bool = False) -> Reply:
        if chain and self.status == "I":
            raise Refused
        self._restore(0)
        self._end(chain)
        return Reply("ROLLBACK")

    def _savepoint(self, name: str) -> None:
        if self.status == "I":
            raise Refused
        self._save(name)

    def _find(self, name: str) -> int:
        found = [index for index, (known, *_) in enumerate(self.saved) if known == name]
        if not found or self.status == "I":
            raise Refused
        return found[-1]

    def _release(self, name: str) -> None:
        del self.saved[self._find(name) :]

    def _rollback_to(self, name: str) -> Reply:
        index = self._find(name)
        self._restore(index)
        del self.saved[index + 1 :]
        self.status = "T"
        return Reply("ROLLBACK")

    def _error(self) -> None:
        raise Refused

    # --- parameters ---

    def _set(self, name: str, value: object, local: bool) -> None:
        name = name.lower()
        for values in (self.state.now,) if local else (self.state.now, self.state.kept):
            values.pop(name, None)
            if value is not None:
                values[name] = value
        if name == "session_authorization":
            self._set("role", None if value is None else "none", local)

    def _reset(self, name: str, local: bool) -> None:
        self._set(name, None, local)

    def _reset_all(self) -> None:
        for name in set(self.state.now) - {"role", "session_authorization"}:
            self._set(name, None, False)

    def _set_config(self, name: str, value: str | None, local: bool) -> Reply:
        self._set(name, None if value is None else ("text", value), local)
        return Reply("SELECT 1", (value or "",))

    def _role(self, role: str, local: bool) -> None:
        self._set("role", role, local)

    def _authorization(self, role: str, local: bool) -> None:
        self._set("session_authorization", None if role == "default" else role, local)

    # --- the rest ---

    def _prepare(self, name: str, inner: Operation) -> None:
        if name in self.prepared:
            raise Refused
        self.prepared[name] = inner

    def _execute(self, name: str) -> Reply:
        if name not in self.prepared:
            raise Refused
        return self._one(self.prepared[name])

    def _deallocate(self, name: str | None) -> None:
        if name is None:
            self.prepared.clear()
        elif self.prepared.pop(name, None) is None:
            raise Refused

    def _listen(self, channel: str) -> None:
        self.state.listening.append(("listen", channel))

    def _unlisten(self, channel: str | None) -> None:
        self.state.listening.append(("unlisten", channel))

    def _declare(self, name: str) -> None:
        if name in self.cursors:
            raise Refused
        self.cursors_made += 1
        self.cursors[name] = self.cursors_made

    def _close(self, name: str | None) -> None:
        if name is None:
            self.cursors.clear()
        elif self.cursors.pop(name, None) is None:
            raise Refused

    def _lock(self, key: tuple[int, ...], shared: bool, attempt: bool) -> Reply:
        self.locks[key, shared] += 1
        return Reply("SELECT 1", ("t" if attempt else "",))

    def _unlock(self, key: tuple[int, ...], shared: bool) -> Reply:
        if not (held := self.locks[key, shared]):
            return Reply("SELECT 1", ("f",))
        self.locks[key, shared] = held - 1
        return Reply("SELECT 1", ("t",))

    def _unlock_all(self) -> Reply:
        self.locks.clear()
        return Reply("SELECT 1", ("",))

    def _temporary(self, name: str, drop: bool) -> None:
        if name in self.state.temporary:
            raise Refused
        self.state.temporary[name] = drop

    def _drop(self, name: str) -> None:
        if self.state.temporary.pop(name, None) is None:
            raise Refused

    def _discard(self, what: str) -> None:
        if what == "temp":
            self.state.temporary.clear()
            return
        if self.status != "I" or not self.alone:
            raise Refused
        self.__init__()
        self._save(None)
