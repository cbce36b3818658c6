"""What a statement text does to its session, read from its syntax tree; the only module that imports pglast.

Pure, and no text makes it raise: what the parser cannot read is `Unknown`, with the words a search found in it. A
statement is classified by what stands in it. Triggers, operators, casts, rules and views may call functions that are
not seen here. Parsing holds the interpreter for long on long texts, so a caller with others to serve does it in a
thread.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeAlias

import pglast
from pglast.enums import (
    DiscardMode,
    ObjectType,
    OnCommitAction,
    TransactionStmtKind,
    VariableSetKind,
)

from pywire._rust.wire import scan
from pywire.wire import effects as e
from pywire.wire.functions import (
    ADVISORY_LOCKS,
    ADVISORY_UNLOCKS,
    HARMLESS,
    RETURNS_SETS,
    SEQUENCE,
    own,
)

# pglast declares nearly every attribute as perhaps None, whatever the grammar says.
ast: Any = pglast.ast
Node: TypeAlias = Any

__all__ = ["TEXT_BYTES_MAX", "classify", "repeatable", "unknown"]

TEXT_BYTES_MAX = 16_384
"""Longer texts are not parsed: a syntax tree of them takes many milliseconds."""

_CURSOR_HOLD = 0x0020
_FALSE = ("false", "off", "0", "no")
_TRANSACTION = TransactionStmtKind
_DISCARDS = {
    DiscardMode.DISCARD_ALL: e.DiscardKind.ALL,
    DiscardMode.DISCARD_PLANS: e.DiscardKind.PLANS,
    DiscardMode.DISCARD_SEQUENCES: e.DiscardKind.SEQUENCES,
    DiscardMode.DISCARD_TEMP: e.DiscardKind.TEMPORARY,
}
_DROPPED_KINDS = {
    ObjectType.OBJECT_TABLE,
    ObjectType.OBJECT_VIEW,
    ObjectType.OBJECT_SEQUENCE,
    ObjectType.OBJECT_FOREIGN_TABLE,
}
_PLAIN = HARMLESS - RETURNS_SETS
_EXACT = frozenset(
    {
        "set_config",
        "setseed",
        "pg_advisory_unlock_all",
        *SEQUENCE,
        *ADVISORY_LOCKS,
        *ADVISORY_UNLOCKS,
    }
)
_INTEGERS = {"int2", "int4", "int8"}
_OF_TRANSACTION = {"transaction_isolation", "transaction_read_only", "transaction_deferrable"}
_OLD_NAMES = {"sort_mem": "work_mem", "vacuum_mem": "maintenance_work_mem"}
_HARMLESS = (
    ast.CheckPointStmt,
    ast.ConstraintsSetStmt,
    ast.FetchStmt,
    ast.LockStmt,
    ast.NotifyStmt,
    ast.VariableShowStmt,
)
_QUERIES = (ast.SelectStmt, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt)


def classify(text: str, *, conforming: bool = True) -> e.Classification:
    """Read what `text` does.

    Args:
        text: one request's text, of any number of statements.
        conforming: the session's standard_conforming_strings; off, a backslash may hide the end of a string, and
            such a text is not parsed.
    """
    # The parser, like all of C, takes a zero byte for the end.
    if len(text) > TEXT_BYTES_MAX or "\0" in text or (not conforming and "\\" in text):
        return unknown(text)
    try:
        return e.Classification(
            tuple(
                e.Statement(tuple(_effects(raw.stmt, _cut(text, raw))))
                for raw in pglast.parse_sql(text)
            )
        )
    except Exception:
        # Not only ParseError: whatever a text makes the parser stumble over, the answer is that it is not known.
        return unknown(text)


def unknown(text: str) -> e.Classification:
    """The classification of a text that is not parsed."""
    flags = scan(text.encode("utf-8", "surrogatepass"))
    return e.Classification((e.Statement((e.Unknown(flags),)),))


def repeatable(classification: e.Classification) -> bool:
    """Whether every text that differs only in constants does the same: it shows no effect a constant takes part in."""
    return all(
        isinstance(effect, e.CallsUnknown | e.MayWrite | e.UsesSequence)
        for statement in classification.statements
        for effect in statement.effects
    )


def _cut(text: str, raw: Node) -> str:
    """The part of `text` that is this statement."""
    start = raw.stmt_location or 0
    return text[start : start + raw.stmt_len if raw.stmt_len else None].strip()


def _effects(node: Node, text: str, *, exact: bool = True) -> Iterator[e.Effect]:
    """The effects of one statement.

    Args:
        node: its syntax tree.
        text: its text.
        exact: whether its result columns reach the client as they are, and it runs once and at once.
    """
    match node:
        case ast.SelectStmt() | ast.InsertStmt() | ast.UpdateStmt() | ast.DeleteStmt():
            yield from _query(node, exact=exact)
        case ast.MergeStmt():
            yield from _query(node, exact=exact)
        case ast.VariableSetStmt():
            yield from _variable_set(node)
        case ast.TransactionStmt():
            yield from _transaction(node)
        case ast.PrepareStmt(name=name, query=query):
            yield e.Prepare(name, text, tuple(_effects(query, text)))
        case ast.ExecuteStmt(name=name, params=parameters):
            yield from _calls(parameters or ())
            yield e.Execute(name)
        case ast.DeclareCursorStmt(portalname=name, options=options, query=query):
            yield from _effects(query, text, exact=False)
            if options & _CURSOR_HOLD:
                yield e.DeclareHold(name)
        case ast.ExplainStmt(query=query, options=options):
            if _analyzes(options or ()):
                # Of DECLARE, only the query is run; no cursor is made.
                run = query.query if isinstance(query, ast.DeclareCursorStmt) else query
                yield from _effects(run, text, exact=False)
        case ast.CreateTableAsStmt(query=query):
            yield from _effects(query, text, exact=False)
            yield from _created(node)
            yield e.MayWrite()
        case ast.CopyStmt(relation=relation, query=query, is_from=is_from):
            if query is not None:
                yield from _effects(query, text, exact=False)
            if is_from:
                yield from _calls((node.whereClause,))
                yield _may_write((relation,))
        case _:
            yield from _command(node)


def _command(node: Node) -> Iterator[e.Effect]:
    """The effects of the smaller utility commands."""
    match node:
        case ast.DeallocateStmt(name=name, isall=isall):
            yield e.Deallocate(None if isall else name)
        case ast.DiscardStmt(target=target):
            yield e.Discard(_DISCARDS[DiscardMode(target)])
        case ast.ListenStmt(conditionname=name):
            yield e.Listen(name)
        case ast.UnlistenStmt(conditionname=name):
            yield e.Unlisten(name)
        case ast.ClosePortalStmt(portalname=name):
            yield e.CloseCursor(name)
        case ast.LoadStmt(filename=name):
            yield e.Load(name)
        case ast.DoStmt(args=arguments):
            yield _code(arguments)
        case ast.CallStmt(funccall=call):
            yield from _calls((call,))
            yield e.MayWrite()
        case ast.DropStmt():
            yield from _dropped(node)
            yield e.MayWrite()
        case _ if isinstance(node, _HARMLESS):
            return
        case _:
            yield from _created(node)
            if isinstance(node, ast.AlterTableStmt):
                yield from _calls((node,))
            yield e.MayWrite()


def _query(node: Node, *, exact: bool) -> Iterator[e.Effect]:
    """The effects of SELECT, INSERT, UPDATE, DELETE and MERGE."""
    if exact and _runs_once(node):
        yield from _exact_calls(node.targetList or ())
    else:
        yield from _calls((node,))
    if isinstance(node, ast.SelectStmt):
        yield from _created(node)
    targets, writes = [], False
    for part in _parts(node):
        if isinstance(part, ast.SelectStmt):
            writes |= bool(part.lockingClause or part.intoClause)
        else:
            targets.append(part.relation)
    if writes or targets:
        yield _may_write(targets)


def _runs_once(node: Node) -> bool:
    """Whether it is a SELECT of expressions only, which are evaluated once each, in order."""
    return isinstance(node, ast.SelectStmt) and all(
        not getattr(node, name)
        for name in node
        if name not in ("targetList", "limitOption", "op", "all", "groupDistinct")
    )


def _parts(node: Node) -> Iterator[Node]:
    """The query and every query inside it."""
    return (part for part in _walk((node,)) if isinstance(part, _QUERIES))


def _may_write(relations: Iterable[object]) -> e.MayWrite:
    named = {(r.schemaname, r.relname) for r in relations if isinstance(r, ast.RangeVar)}
    return e.MayWrite(tuple(sorted(named, key=lambda name: (name[0] or "", name[1]))))


def _transaction(node: Node) -> Iterator[e.Effect]:
    """The effects of what begins, divides and ends transactions."""
    name, chain = node.savepoint_name, bool(node.chain)
    match _TRANSACTION(node.kind):
        case _TRANSACTION.TRANS_STMT_BEGIN | _TRANSACTION.TRANS_STMT_START:
            yield e.Begin()
        case _TRANSACTION.TRANS_STMT_COMMIT:
            yield e.Commit(chain)
        case _TRANSACTION.TRANS_STMT_ROLLBACK:
            yield e.Rollback(chain)
        case _TRANSACTION.TRANS_STMT_SAVEPOINT:
            yield e.Savepoint(name)
        case _TRANSACTION.TRANS_STMT_RELEASE:
            yield e.Release(name)
        case _TRANSACTION.TRANS_STMT_ROLLBACK_TO:
            yield e.RollbackTo(name)
        case _TRANSACTION.TRANS_STMT_PREPARE:
            yield e.PrepareTransaction()
        case _:
            yield e.MayWrite()


def _analyzes(options: tuple[Node, ...]) -> bool:
    """Whether EXPLAIN runs what it explains."""
    analyzes = False
    for option in options:
        if option.defname == "analyze":
            value = getattr(option.arg, "sval", getattr(option.arg, "ival", "true"))
            analyzes = str(value).lower() not in _FALSE
    return analyzes


def _code(arguments: tuple[Node, ...]) -> e.RunsCode:
    given = {argument.defname: argument.arg.sval for argument in arguments}
    return e.RunsCode(given.get("language", "plpgsql"), given.get("as", ""))


# --- parameters ---


def _variable_set(node: Node) -> Iterator[e.Effect]:
    """The effects of SET and RESET in all their spellings."""
    kind, local = VariableSetKind(node.kind), bool(node.is_local)
    if kind is VariableSetKind.VAR_RESET_ALL:
        yield e.ResetAll()
        return
    if kind is VariableSetKind.VAR_SET_MULTI:
        if node.name != "SESSION CHARACTERISTICS":
            yield e.SetTransaction()
            return
        for item in node.args:
            yield e.SetParameter(f"default_{item.defname}", _values((item.arg,)), local)
        return
    name = _parameter(node.name)
    if name in _OF_TRANSACTION:
        yield e.SetTransaction()
    elif name == "seed":
        yield e.SetSeed()
    elif kind is VariableSetKind.VAR_SET_VALUE:
        yield e.SetParameter(name, _values(node.args), local)
    elif kind is VariableSetKind.VAR_SET_CURRENT:
        yield e.SetParameter(name, None, local)
    else:
        yield e.ResetParameter(name, local)


def _parameter(name: str) -> str:
    """A parameter's name as the server compares it: ASCII letters without regard to case."""
    lowered = "".join(c.lower() if c.isascii() else c for c in name)
    return _OLD_NAMES.get(lowered, lowered)


def _values(arguments: tuple[Node, ...]) -> tuple[str, ...] | None:
    """The values, if all are constants. An INTERVAL depends on IntervalStyle, and is not."""
    found = [_constant(argument) for argument in arguments]
    values = [value.value for value in found if isinstance(value, e.Literal)]
    known = tuple(value for value in values if value is not None)
    return known if len(known) == len(found) else None


def _constant(node: Node) -> e.Argument:
    """A constant or a bound value, or that it has to be computed."""
    match node:
        case ast.ParamRef(number=number):
            return e.Bound(number)
        case ast.A_Const(isnull=True):
            return e.Literal(None)
        case ast.A_Const(val=ast.Boolean(boolval=value)):
            return e.Literal("true" if value else "false")
        case ast.A_Const(val=ast.Integer(ival=value)):
            return e.Literal(str(value))
        case ast.A_Const(val=ast.Float(fval=value)):
            return e.Literal(value)
        case ast.A_Const(val=ast.String(sval=value)):
            return e.Literal(value)
    return e.COMPUTED


# --- functions ---


def _walk(nodes: Iterable[object]) -> Iterator[Node]:
    """Every node at or below `nodes`, in the order of the text as far as the tree keeps it."""
    waiting = list(nodes)
    waiting.reverse()
    while waiting:
        node = waiting.pop()
        if isinstance(node, list | tuple):
            waiting.extend(reversed(node))
        elif isinstance(node, ast.Node):
            yield node
            waiting.extend(getattr(node, name) for name in reversed(list(node)))


def _exact_calls(targets: Iterable[Node]) -> Iterator[e.Effect]:
    """The effects of functions called in the result columns of a SELECT that has nothing else."""
    values = [_without_cast(target.val) for target in targets]
    for part in _walk(values):
        # A function that returns a set makes its neighbours be called again and again; one unknown may.
        top = any(part is value for value in values)
        if isinstance(part, ast.FuncCall) and not _in(part, _PLAIN | _EXACT if top else _PLAIN):
            yield from _calls(values)
            return
    others: set[tuple[str | None, str]] = set()
    for column, value in enumerate(values):
        if isinstance(value, ast.FuncCall):
            yield from _call(value, others, column)
    if others:
        yield _calls_unknown(others)


def _calls(nodes: Iterable[object]) -> Iterator[e.Effect]:
    """The effects of functions called anywhere below `nodes`, perhaps never, perhaps often."""
    others: set[tuple[str | None, str]] = set()
    for part in _walk(nodes):
        if isinstance(part, ast.FuncCall):
            yield from _call(part, others, None)
    if others:
        yield _calls_unknown(others)


def _call(
    node: Node, others: set[tuple[str | None, str]], column: int | None
) -> Iterator[e.Effect]:
    """The effects of one call.

    Args:
        node: the call.
        others: where the function's name goes if it is not known.
        column: the result column it fills, if it is called exactly once; else None.
    """
    schema, name = _function(node)
    arguments = tuple(node.args or ())
    if not own(schema):
        others.add((schema, name))
    elif name == "set_config":
        given = [*map(_constant, arguments), e.COMPUTED, e.COMPUTED, e.COMPUTED]
        yield e.SetConfig(given[0], given[1], given[2], exact=column is not None)
    elif name in SEQUENCE:
        yield e.UsesSequence()
    elif name == "setseed":
        yield e.SetSeed()
    elif name in ADVISORY_LOCKS or name in ADVISORY_UNLOCKS or name == "pg_advisory_unlock_all":
        yield _advisory(name, arguments, column)
    elif name not in HARMLESS:
        others.add((schema, name))


def _advisory(name: str, arguments: tuple[Node, ...], column: int | None) -> e.Effect:
    """The effect of a call that takes or releases a session-level advisory lock."""
    key = tuple(_key(argument) for argument in arguments)
    if column is None or len(key) > 2 or e.COMPUTED in key:
        return e.AdvisoryUnknown()
    if name == "pg_advisory_unlock_all":
        return e.AdvisoryUnlockAll()
    if name in ADVISORY_UNLOCKS:
        return e.AdvisoryUnlock(key, ADVISORY_UNLOCKS[name])
    shared, attempt = ADVISORY_LOCKS[name]
    return e.AdvisoryLock(key, shared, attempt, column)


def _key(node: Node) -> e.Argument:
    """One integer of a lock's key."""
    if isinstance(node, ast.TypeCast) and node.typeName.names[-1].sval in _INTEGERS:
        node = node.arg
    value = _constant(node)
    if isinstance(value, e.Literal):
        digits = (value.value or "").strip()
        if not digits.removeprefix("-").isdecimal() or not digits.isascii():
            return e.COMPUTED
        return e.Literal(str(int(digits)))
    return value


def _without_cast(node: Node) -> Node:
    while isinstance(node, ast.TypeCast):
        node = node.arg
    return node


def _function(node: Node) -> tuple[str | None, str]:
    """Schema, if it is given, and name."""
    names = [part.sval for part in node.funcname]
    return (names[-2] if len(names) > 1 else None), names[-1]


def _in(node: Node, names: frozenset[str]) -> bool:
    schema, name = _function(node)
    return own(schema) and name in names


def _calls_unknown(names: set[tuple[str | None, str]]) -> e.CallsUnknown:
    return e.CallsUnknown(tuple(sorted(names, key=lambda name: (name[0] or "", name[1]))))


# --- temporary objects ---


def _created(node: Node) -> Iterator[e.CreateTemporary]:
    """The temporary objects a statement makes under a name that says so."""
    match node:
        case ast.SelectStmt(larg=left) if left is not None:
            yield from _created(left)
        case ast.SelectStmt(intoClause=into) if into is not None:
            yield from _relation(into.rel, "table", into.onCommit)
        case ast.CreateTableAsStmt(into=into):
            yield from _relation(into.rel, "table", into.onCommit)
        case ast.CreateStmt(relation=relation, oncommit=action):
            yield from _relation(relation, "table", action)
        case ast.ViewStmt(view=relation):
            yield from _relation(relation, "view")
        case ast.CreateSeqStmt(sequence=relation):
            yield from _relation(relation, "sequence")
        case ast.CompositeTypeStmt(typevar=relation):
            yield from _relation(relation, "type")
        case ast.CreateFunctionStmt(funcname=names):
            yield from _named(names, "function")
        case ast.CreateEnumStmt(typeName=names) | ast.CreateRangeStmt(typeName=names):
            yield from _named(names, "type")
        case ast.CreateDomainStmt(domainname=names):
            yield from _named(names, "type")
        case ast.DefineStmt(defnames=names):
            yield from _named(names, "object")


def _relation(
    relation: Node, kind: str, action: OnCommitAction = OnCommitAction.ONCOMMIT_NOOP
) -> Iterator[e.CreateTemporary]:
    if relation.relpersistence == "t" or _is_temporary(relation.schemaname):
        drop = OnCommitAction(action) is OnCommitAction.ONCOMMIT_DROP
        yield e.CreateTemporary(relation.relname, kind, drop)


def _named(names: tuple[Node, ...], kind: str) -> Iterator[e.CreateTemporary]:
    if len(names) > 1 and _is_temporary(names[-2].sval):
        yield e.CreateTemporary(names[-1].sval, kind)


def _is_temporary(schema: str | None) -> bool:
    return (schema or "").startswith("pg_temp")


def _dropped(node: Node) -> Iterator[e.DropRelations]:
    """The relations a DROP names."""
    if ObjectType(node.removeType) in _DROPPED_KINDS:
        names = [[part.sval for part in name] for name in node.objects]
        yield e.DropRelations(
            tuple((name[-2] if len(name) > 1 else None, name[-1]) for name in names)
        )
