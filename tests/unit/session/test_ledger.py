"""What the ledger concludes, and what it does not claim to know."""

import pytest

from pywire.session.advisory import AdvisoryLocks, Lock
from pywire.session.cursors import HeldCursors
from pywire.session.ledger import Block, Doubt, Ledger
from pywire.session.settings import UNREAD, Settings, Text, Words, setting_sql
from pywire.session.undo import Undoable
from pywire.wire.classify import classify


def run(ledger, text, tags=(), status="I", *, rows=(), bound=None):
    """A simple Query that is completed with these tags."""
    for index, statement in enumerate(classify(text).statements):
        ledger.completed(
            statement,
            tags[index] if index < len(tags) else "",
            row=rows[index] if index < len(rows) else None,
            bound=bound,
        )
    ledger.ready(status)
    return ledger


def failing(ledger, text, status="I"):
    (statement,) = classify(text).statements
    ledger.failed(statement)
    ledger.ready(status)
    return ledger


def test_commit_that_ends_as_rollback():
    ledger = run(Ledger(), "begin; set work_mem to 64; listen a", status="T")
    ledger.failed()
    ledger.ready("E")
    assert ledger.block is Block.FAILED
    run(ledger, "commit", ["ROLLBACK"])
    assert ledger.settings.in_force == {}
    assert ledger.channels == set()
    assert not ledger.doubts


def test_a_commit_that_fails_is_a_rollback():
    ledger = run(Ledger(), "begin; set work_mem to 64", status="T")
    failing(ledger, "commit")
    assert ledger.settings.in_force == {}
    assert ledger.block is Block.NONE
    assert not ledger.doubts


def test_an_implicit_transaction_is_undone_whole():
    ledger = Ledger()
    (first,) = classify("set work_mem to 64").statements
    ledger.completed(first, "SET")
    failing(ledger, "select 1/0")
    assert ledger.settings.in_force == {}


def test_what_a_failed_statement_may_have_done():
    assert failing(Ledger(), "select pg_advisory_lock(1)").doubts == {Doubt.ADVISORY_LOCKS}
    assert failing(Ledger(), "load 'x'").doubts == {Doubt.LIBRARIES}
    assert failing(Ledger(), "select f()").functions == {(None, "f")}
    assert failing(Ledger(), "do ''").doubts == {Doubt.FUNCTIONS}
    assert failing(Ledger(), "set x to 1").doubts == set()
    assert failing(Ledger(), "select setseed(1), nextval('s')").seeded
    assert not failing(Ledger(), "selec 1").doubts
    assert Doubt.ADVISORY_LOCKS in failing(Ledger(), "x; select pg_advisory_lock(1)").doubts
    ledger = run(Ledger(), "prepare p as select pg_advisory_lock(1)")
    assert failing(ledger, "execute p").doubts == {Doubt.ADVISORY_LOCKS}


def test_a_lock_that_was_tried_for():
    text = "select 1, pg_try_advisory_lock(7)"
    assert run(Ledger(), text, rows=[("1", "t")]).advisory.held == {Lock((7,)): 1}
    assert run(Ledger(), text, rows=[("1", "f")]).advisory.held == {}
    assert run(Ledger(), text).doubts == {Doubt.ADVISORY_LOCKS}
    ledger = run(Ledger(), "explain analyze " + text, rows=[("Result",)])
    assert ledger.doubts == {Doubt.ADVISORY_LOCKS}
    assert run(ledger, "select pg_advisory_unlock_all()").doubts == set()


def test_a_portal_does_what_it_does_once():
    text = "select pg_advisory_lock(7), set_config('x', '1', false)"
    ledger = run(Ledger(), text, ["SELECT 1"])
    run(ledger, "reset x")
    run(ledger, text, ["SELECT 0"])
    assert ledger.advisory.held == {Lock((7,)): 1}
    assert ledger.settings.in_force == {}


def test_bound_values():
    ledger = run(Ledger(), "select pg_advisory_lock($1)", bound=("5",))
    assert ledger.advisory.held == {Lock((5,)): 1}
    run(ledger, "select pg_advisory_lock($1)", bound=(None,))
    assert ledger.advisory.held == {Lock((5,)): 1}
    assert not ledger.doubts
    run(ledger, "select set_config('App.x', $1, false)", bound=("é",))
    assert ledger.settings.in_force == {"app.x": Text("é")}
    assert run(ledger, "select pg_advisory_lock($1)").doubts == {Doubt.ADVISORY_LOCKS}
    assert Doubt.SETTINGS in run(ledger, "select set_config($1, '', true)").doubts


def test_parameters_of_the_transaction_are_nobodys():
    ledger = run(Ledger(), "set transaction_read_only to on")
    run(ledger, "select set_config('transaction_isolation', 'serializable', false)")
    assert ledger.settings.in_force == {}
    run(ledger, "select set_config('seed', '0.5', false)")
    assert ledger.seeded
    assert ledger.settings.in_force == {}


def test_a_prepared_statement_remembers_where_its_names_were_looked_up():
    ledger = run(Ledger(), "set search_path to a; set role r; prepare p as select 1")
    run(ledger, "reset search_path; reset role")
    (statement,) = classify("select set_config('a.b', '1', false)").statements
    ledger.parsed("q", "select set_config('a.b', '1', false)", statement)
    p, q = ledger.prepared["p"], ledger.prepared["q"]
    assert (p.search_path, p.role, p.by_sql) == (Words(("a",)), Words(("r",)), True)
    assert (q.search_path, q.role, q.by_sql) == (None, None, False)
    run(ledger, "execute q")
    assert ledger.settings.in_force == {"a.b": Text("1")}
    ledger.closed("q")
    assert run(ledger, "execute q").doubts == {Doubt.PREPARED, Doubt.FUNCTIONS}


def test_discard_all():
    ledger = run(
        Ledger(),
        "set a.b to 1; set role r; prepare p as select 1; listen a; load 'x'; "
        "select pg_advisory_lock(1), nextval('s'), setseed(1); create temp table t ();"
        "declare c cursor with hold for select 1; select f()",
    )
    assert ledger.sequences_used
    run(ledger, "discard all")
    assert ledger.settings.in_force == {}
    assert ledger.settings.custom == {"a.b"}
    assert not (ledger.prepared)
    assert not (ledger.channels)
    assert not (ledger.advisory.held)
    assert not (ledger.temporary)
    assert not (ledger.cursors.names)
    assert not (ledger.sequences_used)
    assert ledger.libraries == ["x"]
    assert ledger.seeded
    assert ledger.doubts == {Doubt.FUNCTIONS}
    ledger.confirm(Doubt.FUNCTIONS)
    assert not (ledger.doubts)
    assert not (ledger.functions)


def test_dropping_a_table_that_is_perhaps_another():
    ledger = run(
        Ledger(), "create temp table t (); set search_path to public, pg_temp; drop table t"
    )
    assert ledger.temporary == {"t"}
    assert Doubt.TEMPORARY in ledger.doubts
    assert run(Ledger(), "create temp table t (); drop table public.t").temporary == {"t"}
    assert run(Ledger(), "create temp table t (); drop table pg_temp.t").temporary == set()


def test_creating_where_temporary_objects_come_first():
    ledger = run(Ledger(), "set search_path to pg_temp; create table t ()")
    assert ledger.doubts == {Doubt.TEMPORARY}


@pytest.mark.parametrize("status", ["T", "E"])
def test_a_block_nobody_saw_begin(status):
    ledger = Ledger()
    ledger.ready(status)
    assert Doubt.SETTINGS in ledger.doubts
    assert ledger.block.value == {"T": "explicit", "E": "failed"}[status]


def test_a_block_nobody_saw_end():
    ledger = run(Ledger(), "begin; set work_mem to 64", status="T")
    ledger.ready("I")
    assert Doubt.SETTINGS in ledger.doubts
    assert ledger.block is Block.NONE


def test_texts_nobody_read_are_followed_by_their_tags():
    (unread,) = classify("x; y").statements
    ledger = Ledger()
    for tag in ("BEGIN", "INSERT 0 1", "COMMIT"):
        ledger.completed(unread, tag)
    ledger.ready("I")
    assert not ledger.doubts
    ledger.completed(unread, "BEGIN")
    ledger.completed(unread, "SAVEPOINT")
    ledger.ready("T")
    assert Doubt.SETTINGS in ledger.doubts
    (unread,) = classify("listen a; y").statements
    ledger.completed(unread, "COMMIT")
    ledger.ready("I")
    assert ledger.doubts == set(Doubt)


def test_an_unknown_savepoint_is_a_doubt_not_an_error():
    ledger = run(Ledger(), "begin; release a", status="T")
    assert Doubt.SETTINGS in ledger.doubts
    assert ledger.block is Block.EXPLICIT


def test_values_that_are_read_back():
    settings = Settings()
    settings.begin()
    settings.set("x", UNREAD, local=False)
    settings.read_back("x", "1")
    settings.begin()
    settings.set("x", UNREAD, local=True)
    assert settings.unread == {"x"}
    settings.read_back("x", "2")
    settings.release()
    settings.commit()
    assert settings.in_force == {"x": Text("1")}


def test_date_style_is_read_back_because_it_adds_to_what_it_was():
    ledger = run(Ledger(), "set datestyle to german, dmy; set datestyle to iso; set work_mem to 64")
    assert ledger.settings.unread == {"datestyle"}
    ledger.settle({"DateStyle": "ISO, DMY", "TimeZone": "UTC"})
    in_force = {"datestyle": Text("ISO, DMY"), "work_mem": Words(("64",))}
    assert ledger.settings.in_force == in_force


def test_two_unread_values_are_two():
    settings = Settings()
    settings.begin()
    settings.set("x", UNREAD, local=False)
    settings.set("x", UNREAD, local=True)
    settings.read_back("x", "local")
    assert settings.in_force == {"x": Text("local")}
    settings.commit()
    assert settings.unread == {"x"}


def test_what_may_have_been_local_is_read_back_again():
    ledger = run(Ledger(), "begin; select set_config('x', 'a', random() > 0.5) from t", status="T")
    ledger.settings.read_back("x", "a")
    run(ledger, "commit", ["COMMIT"])
    assert ledger.settings.unread == {"x"}
    ledger.settings.read_back("x", None)
    assert not ledger.settings.in_force


def test_reset_all_passes_by_what_will_only_be_set_again_at_commit():
    settings = Settings()
    settings.set("x", Words(("1",)), local=False)
    settings.begin()
    settings.reset("x", local=True)
    settings.reset_all()
    settings.commit()
    assert settings.in_force == {"x": Words(("1",))}
    settings.reset_all()
    assert not list(settings)


def test_levels_must_match():
    settings = Settings()
    for action in (settings.commit, settings.release, settings.undo, Undoable().keep):
        with pytest.raises(IndexError):
            action()


def test_settings_as_statements():
    assert setting_sql("a.B", Words(("x'y", "z"))) == "set \"a\".\"B\" to 'x''y', 'z'"
    assert setting_sql("x", Words(("\\",))) == "set \"x\" to E'\\\\'"
    assert setting_sql("x", Text("")) == "select pg_catalog.set_config('x', '', false)"


def test_locks_are_counted():
    locks, lock = AdvisoryLocks(), Lock((-1, 2), shared=True)
    locks.unlock(lock)
    locks.lock(lock)
    locks.lock(lock)
    locks.unlock(lock)
    assert locks.held == {lock: 1}
    locks.unlock(lock)
    assert locks.held == {}
    assert lock.in_view == (0xFFFF_FFFF, 2, 2, "ShareLock")
    assert Lock((-2,)).in_view == (0xFFFF_FFFF, 0xFFFF_FFFE, 1, "ExclusiveLock")


def test_cursors_go_with_the_savepoint_that_made_them():
    cursors = HeldCursors()
    cursors.begin()
    cursors.begin()
    cursors.declare("a")
    cursors.release()
    cursors.begin()
    cursors.declare("b")
    cursors.undo()
    assert cursors.names == {"a"}
    cursors.commit()
    cursors.begin()
    cursors.close("a")
    cursors.undo()
    assert cursors.names == set()
