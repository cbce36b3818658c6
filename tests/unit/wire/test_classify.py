"""What texts do, as the classifier reads them."""

import pytest

from pywire._rust.wire import flag_names
from pywire.wire import effects as e
from pywire.wire.classify import TEXT_BYTES_MAX, classify, repeatable


def effects(text, **options):
    """The effects of a text of one statement."""
    (statement,) = classify(text, **options).statements
    return list(statement.effects)


def literals(*values):
    return tuple(e.Literal(value) for value in values)


@pytest.mark.parametrize(
    ("text", "effect"),
    [
        ("SET Work_Mem = '1MB'", e.SetParameter("work_mem", ("1MB",))),
        ("set session x.Y to 1", e.SetParameter("x.y", ("1",))),
        ("set local sort_mem to -1.5", e.SetParameter("work_mem", ("-1.5",), True)),
        ("set search_path to a, \"B c\", 'd'", e.SetParameter("search_path", ("a", "B c", "d"))),
        ("set geqo to on", e.SetParameter("geqo", ("on",))),
        ("set schema 'a'", e.SetParameter("search_path", ("a",))),
        ("set names 'latin1'", e.SetParameter("client_encoding", ("latin1",))),
        ("set names", e.ResetParameter("client_encoding")),
        ("set time zone 'Asia/Tokyo'", e.SetParameter("timezone", ("Asia/Tokyo",))),
        ("set time zone local", e.ResetParameter("timezone")),
        ("set time zone interval '-8' hour", e.SetParameter("timezone", None)),
        ("set x.y from current", e.SetParameter("x.y", None)),
        ("set role a", e.SetParameter("role", ("a",))),
        ("set local role none", e.SetParameter("role", ("none",), True)),
        ("reset role", e.ResetParameter("role")),
        ("set session authorization a", e.SetParameter("session_authorization", ("a",))),
        ("set session authorization default", e.ResetParameter("session_authorization")),
        ("set local x to default", e.ResetParameter("x", True)),
        ("reset all", e.ResetAll()),
        ("set transaction isolation level serializable", e.SetTransaction()),
        ("set transaction_read_only to on", e.SetTransaction()),
        ("set seed to 0.5", e.SetSeed()),
        ("select setseed(0.5)", e.SetSeed()),
        ("select nextval('s')", e.UsesSequence()),
        ("deallocate prepare a", e.Deallocate("a")),
        ("deallocate all", e.Deallocate(None)),
        ("discard plans", e.Discard(e.DiscardKind.PLANS)),
        ("discard temporary", e.Discard(e.DiscardKind.TEMPORARY)),
        ("listen A", e.Listen("a")),
        ("unlisten *", e.Unlisten(None)),
        ("close \"C\"", e.CloseCursor("C")),
        ("close all", e.CloseCursor(None)),
        ("declare c no scroll cursor with hold for select 1", e.DeclareHold("c")),
        ("load 'x'", e.Load("x")),
        ("execute p(1)", e.Execute("p")),
        ("explain analyze execute p", e.Execute("p")),
        ("do language plperl 'x'", e.RunsCode("plperl", "x")),
        ("do 'begin end'", e.RunsCode("plpgsql", "begin end")),
        ("start transaction read only", e.Begin()),
        ("end and chain", e.Commit(True)),
        ("abort", e.Rollback()),
        ("savepoint A", e.Savepoint("a")),
        ("rollback to \"A\"", e.RollbackTo("A")),
        ("release a", e.Release("a")),
        ("prepare transaction 'g'", e.PrepareTransaction()),
        ("commit prepared 'g'", e.MayWrite()),
        ("insert into a.t select 1", e.MayWrite((("a", "t"),))),
        ("select 1 from t for share", e.MayWrite()),
        ("copy t from stdin", e.MayWrite(((None, "t"),))),
        ("vacuum", e.MayWrite()),
        ("create table t ()", e.MayWrite()),
        ("select a.f(1), g() over ()", e.CallsUnknown(((None, "g"), ("a", "f")))),
        ("explain analyze select f()", e.CallsUnknown(((None, "f"),))),
        ("copy (select f()) to stdout", e.CallsUnknown(((None, "f"),))),
    ],
)  # fmt: skip
def test_one_effect(text, effect):
    assert effects(text) == [effect]


@pytest.mark.parametrize(
    "text",
    [
        "select 1",
        "select count(*), lower(a), pg_catalog.now() from t where b = $1",
        "explain select f()",
        "show all",
        "fetch 10 from c",
        "move c",
        "notify a, 'b'",
        "lock table t",
        "set constraints all deferred",
        "declare c cursor for select 1",
        "select pg_advisory_xact_lock(1)",
        "checkpoint",
        "explain analyze declare c cursor with hold for select 1",
    ],
)
def test_what_leaves_nothing_behind(text):
    assert classify(text).harmless


def test_session_characteristics_are_parameters():
    text = "set session characteristics as transaction isolation level serializable, read only"
    assert effects(text) == [
        e.SetParameter("default_transaction_isolation", ("serializable",)),
        e.SetParameter("default_transaction_read_only", ("1",)),
    ]


def test_set_config():
    a, b, c = literals("a.b", "x", "false")
    assert effects("select set_config('a.b', 'x', false)") == [e.SetConfig(a, b, c)]
    assert effects("select pg_catalog.set_config('a.b', $1, $2) as x") == [
        e.SetConfig(a, e.Bound(1), e.Bound(2))
    ]
    assert effects("select set_config('a.b', lower('X'), false)") == [e.SetConfig(a, e.COMPUTED, c)]
    for text in (
        "select set_config('a.b', 'x', false) from t",
        "select coalesce(set_config('a.b', 'x', false), '')",
        "select set_config('a.b', 'x', false), generate_series(1, 0)",
        "select 1 where set_config('a.b', 'x', false) is null",
        "explain analyze select set_config('a.b', 'x', false)",
    ):
        assert e.SetConfig(a, b, c, exact=False) in effects(text), text
    assert effects("select app.set_config('a.b', 'x', false)") == [
        e.CallsUnknown((("app", "set_config"),))
    ]


def test_advisory_locks():
    one, pair = literals("1"), literals("-1", "2")
    assert effects("select pg_advisory_lock(1), pg_try_advisory_lock_shared(-1, '2'::int) x") == [
        e.AdvisoryLock(one),
        e.AdvisoryLock(pair, shared=True, attempt=True, column=1),
    ]
    assert effects("select pg_advisory_unlock($1::bigint)") == [e.AdvisoryUnlock((e.Bound(1),))]
    assert effects("select pg_advisory_unlock_all()") == [e.AdvisoryUnlockAll()]
    for text in (
        "select pg_advisory_lock(a) from t",
        "select pg_advisory_lock(hashtext('a'))",
        "select pg_advisory_lock(1) from t",
        "select pg_advisory_lock(1), unnest(array[1, 2])",
        "select case when pg_try_advisory_lock(1) then 1 end",
        "select pg_advisory_lock('x')",
    ):
        assert effects(text) == [e.AdvisoryUnknown()], text
    assert e.AdvisoryUnknown() in effects("select f(), pg_advisory_lock(1)")


def test_a_prepared_statement_is_cut_out_of_its_text():
    text = "select 'ä';  prepare p (int) as select set_config('a.b', $1::text, true) ; select 3"
    _, statement, _ = classify(text).statements
    (prepare,) = statement.effects
    assert prepare.text == "prepare p (int) as select set_config('a.b', $1::text, true)"
    assert prepare.name == "p"
    assert [type(effect) for effect in prepare.effects] == [e.SetConfig]


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("create temp table t (a int) on commit drop", e.CreateTemporary("t", "table", True)),
        ("create table pg_temp.t ()", e.CreateTemporary("t")),
        ("create temporary view v as select 1", e.CreateTemporary("v", "view")),
        ("create temp sequence s", e.CreateTemporary("s", "sequence")),
        ("create temp table t as execute p", e.CreateTemporary("t")),
        ("select 1 into temp t", e.CreateTemporary("t")),
        ("select 1 into temp t union select 2", e.CreateTemporary("t")),
        ("create type pg_temp.x as (a int)", e.CreateTemporary("x", "type")),
        ("create type pg_temp.x as enum ('a')", e.CreateTemporary("x", "type")),
        ("create domain pg_temp.x as int", e.CreateTemporary("x", "type")),
        (
            "create function pg_temp.f() returns int language sql as 'select 1'",
            e.CreateTemporary("f", "function"),
        ),
        ("drop table pg_temp.t, u cascade", e.DropRelations((("pg_temp", "t"), (None, "u")))),
    ],
)
def test_temporary_objects(text, made):
    assert made in effects(text)


def test_one_statement_per_command_tag():
    classification = classify("begin; set x to 1;; select 1; commit;")
    assert [len(s.effects) for s in classification.statements] == [1, 1, 0, 1]
    assert classify("").statements == classify(" ; -- nothing").statements == ()


@pytest.mark.parametrize(
    ("text", "flags"),
    [
        ("selec 1", []),
        ("set x to 1; selec", ["SET"]),
        ("select 1\0; listen a", ["LISTEN"]),
        ("\udc80", []),
        ("prepare p as " + "select 1 /*" + "x" * TEXT_BYTES_MAX + "*/", ["PREPARE"]),
        ("select " + "case when true then " * 750 + "1" + " end" * 750, []),
    ],
)
def test_what_is_not_parsed_is_searched(text, flags):
    classification = classify(text)
    assert not classification.parsed
    ((unknown,),) = [statement.effects for statement in classification.statements]
    assert flag_names(unknown.flags) == flags
    assert classification.statement(7) is classification.statement(0)


def test_a_backslash_may_hide_the_end_of_a_string():
    text = r"select 'a\'; listen b; --'"
    assert not classify(text, conforming=False).parsed
    assert classify("select 'a'", conforming=False).parsed


@pytest.mark.parametrize(
    "text",
    ["select " + "1+" * 7000 + "1", "select " + "(" * 7000 + "1" + ")" * 7000, "select a" + "[1]" * 4000],
)  # fmt: skip
def test_deep_texts_do_no_harm(text):
    assert classify(text).statements


def test_only_what_no_constant_takes_part_in_is_repeatable():
    assert repeatable(classify("update t set a = f(1)"))
    assert repeatable(classify("select 1"))
    assert not repeatable(classify("set x to 1"))
    assert not repeatable(classify("select set_config('a', 'b', true)"))
    assert not repeatable(classify("sel"))
