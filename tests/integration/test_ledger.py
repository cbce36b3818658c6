"""The ledger against real servers: random programs, and after every request the two are asked the same questions."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import psycopg
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult

from pywire.session.advisory import Lock
from pywire.session.ledger import Doubt, Ledger
from pywire.session.settings import Words, setting_sql
from pywire.wire.classifier import Classifier
from pywire.wire.classify import classify
from pywire.wire.effects import Statement
from tests.reference.session_programs import sql, strategy

from .harness import Flavour, Postgres, give, make_scratch

PROGRAMS = int(os.environ.get("LEDGER_PROGRAMS", "100"))
STATUS = {
    TransactionStatus.IDLE: "I",
    TransactionStatus.INTRANS: "T",
    TransactionStatus.INERROR: "E",
}
FAILED = (ExecStatus.FATAL_ERROR, ExecStatus.BAD_RESPONSE)
# After RESET, SET LOCAL and COMMIT the server calls the reset value the session's own (guc.c restores what SET LOCAL
# had masked as if SET had set it), so a value is told from the reset value by comparing.
SETTINGS = """
select json_build_object('settings', (select json_object_agg(name, setting) from pg_settings
  where source = 'session' and setting is distinct from reset_val and name not in ('transaction_isolation', 'transaction_read_only',
   'transaction_deferrable', 'session_authorization', 'role', 'is_superuser', 'seed')),
 'identity', array[session_user::text, current_user::text, current_setting('role')],
 'custom', (select json_object_agg(name, nullif(current_setting(name, true), ''))
            from unnest(array['app.user_id']) name))::text
"""
THINGS = """
select json_build_object(
 'prepared', (select json_agg(name order by name) from pg_prepared_statements where from_sql),
 'cursors', (select json_agg(name order by name) from pg_cursors where is_holdable),
 'channels', (select json_agg(c order by c) from pg_listening_channels() c),
 'locks', (select json_agg(json_build_array(classid::bigint, objid::bigint, objsubid, mode) order by classid, objid, objsubid, mode)
   from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and granted),
 'temporary', (select json_agg(relname order by relname) from pg_class
   where relnamespace = pg_my_temp_schema() and relkind = 'r'))
"""


@dataclass
class Session:
    """A session on a real server, the ledger that follows it, and a twin made from the ledger alone."""

    connection: psycopg.Connection
    twin: psycopg.Connection
    classifier: Classifier

    def __post_init__(self) -> None:
        self.ledger = Ledger()

    def run(self, text: str) -> str:
        """Send one simple Query and tell the ledger what came of it; the transaction status."""
        libpq = self.connection.pgconn
        classification = self.classifier.classify(text)
        assert classification.parsed, text
        libpq.send_query(text.encode())
        index = 0
        while (result := libpq.get_result()) is not None:
            self.tell(classification.statement(index), result)
            index += 1
        status = STATUS[libpq.transaction_status]
        self.ready(status)
        return status

    def run_pipeline(self, texts: list[str]) -> str:
        """Send each text as an extended query of its own, and one Sync behind all of them."""
        libpq = self.connection.pgconn
        libpq.enter_pipeline_mode()
        for text in texts:
            libpq.send_query_params(text.encode(), [])
        libpq.pipeline_sync()
        for text in texts:
            result = libpq.get_result()
            if result.status != ExecStatus.PIPELINE_ABORTED:
                self.tell(self.classifier.classify(text).statement(0), result)
            assert libpq.get_result() is None
        assert libpq.get_result().status == ExecStatus.PIPELINE_SYNC
        libpq.exit_pipeline_mode()
        status = STATUS[libpq.transaction_status]
        self.ready(status)
        return status

    def ready(self, status: str) -> None:
        """Tell the ledger of ReadyForQuery, and of the parameters reported until then."""
        self.ledger.ready(status)
        reported = ("DateStyle", "TimeZone", "client_encoding", "application_name")
        told = {name: self.connection.pgconn.parameter_status(name.encode()) for name in reported}
        self.ledger.settle({name: value.decode() for name, value in told.items()})

    def tell(self, statement: Statement, result: PGresult) -> None:
        """Tell the ledger of one statement's end."""
        if result.status in FAILED:
            self.ledger.failed(statement)
            return
        values = [result.get_value(0, column) for column in range(result.nfields)]
        row = [None if v is None else v.decode() for v in values] if result.ntuples else None
        self.ledger.completed(statement, result.command_status.decode(), row=row)

    def compare(self) -> None:
        """Ask the server, and the twin."""
        things = self.connection.execute(THINGS).fetchone()[0]
        locks = sorted(list(lock.in_view) for lock in self.ledger.advisory.held)
        assert {name: value or [] for name, value in things.items()} == {
            "prepared": sorted(self.ledger.prepared),
            "cursors": sorted(self.ledger.cursors.names),
            "channels": sorted(self.ledger.channels),
            "locks": locks,
            "temporary": sorted(self.ledger.temporary),
        }
        in_force = dict(self.ledger.settings.in_force)
        last = [in_force.pop(name, None) for name in ("session_authorization", "role")]
        orders = ["reset session authorization", "reset role", "reset all"]
        orders += [setting_sql(name, value) for name, value in in_force.items()]
        for name, value in zip(("session_authorization", "role"), last, strict=True):
            orders += [] if value is None else [setting_sql(name, value)]
        for order in orders:
            self.twin.execute(order)
        mine = self.connection.execute(SETTINGS).fetchone()[0]
        assert mine == self.twin.execute(SETTINGS).fetchone()[0], orders

    def drain(self) -> None:
        """Release every lock as often as it is believed to be held; then none may be left."""
        for lock, count in self.ledger.advisory.held.items():
            suffix = "_shared" if lock.shared else ""
            key = ", ".join(map(str, lock.key))
            for _ in range(count):
                assert self.run(f"select pg_advisory_unlock{suffix}({key})") == "I"
        assert not self.ledger.advisory.held
        self.compare()


@pytest.fixture(scope="module")
def server(flavour: Flavour) -> Iterator[Postgres]:
    directory = make_scratch()
    give(directory)
    made = Postgres.initdb("alone", flavour, directory, settings="max_prepared_transactions = 10")
    made.start()
    made.query("create role app")
    yield made
    made.stop("immediate")
    shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture
def session(server: Postgres) -> Iterator[Session]:
    server.query("rollback prepared 'x'") if server.query(
        "select gid from pg_prepared_xacts"
    ) else None
    with server.connect() as connection, server.connect() as twin:
        connection.prepare_threshold = twin.prepare_threshold = (
            None  # only statements of the programs
        )
        yield Session(connection, twin, Classifier())


def start_afresh(session: Session) -> None:
    session.run("rollback")
    session.run("discard all")
    assert session.ledger.block.value == "none"
    session.compare()


@pytest.mark.parametrize("pipelined", [False, True], ids=["simple", "pipelined"])
def test_the_ledger_believes_what_the_server_has(session, pipelined):
    @given(strategy())
    @settings(
        max_examples=PROGRAMS,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    def programs(program):
        start_afresh(session)
        for request in program:
            texts = [sql(operation) for operation in request]
            status = session.run_pipeline(texts) if pipelined else session.run("; ".join(texts))
            if status != "E":
                session.compare()
        session.run("rollback")
        session.compare()
        session.drain()

    programs()


SCRIPTS = {
    "a parameter set for the session inside one set for the transaction": [
        "begin",
        "set local work_mem to 64; set work_mem to 128; set local work_mem to 256",
        "savepoint a",
        "set work_mem to 512",
        "rollback to a",
        "release a",
        "commit",
    ],
    "RESET ALL passes by what is at its reset value until COMMIT": [
        "set work_mem to 64",
        "begin; set local work_mem to default",
        "reset all",
        "commit",
    ],
    "session authorization takes the role along": [
        "set role app",
        "begin; set local session authorization app",
        "commit",
        "set session authorization app; set role none",
        "reset session authorization",
    ],
    "session characteristics and spellings": [
        "set session characteristics as transaction isolation level serializable, read only",
        "set session characteristics as transaction read write, deferrable",
        "set time zone 'Europe/Paris'; set names 'latin1'; set schema 'app'; set xml option document",
        "set time zone -3.5",
        "set time zone local; set client_encoding to default",
        "set Work_Mem = '1MB'; reset WORK_MEM; set sort_mem = 128",
        "set search_path = 'a, b', \"C d\", pg_catalog",
        "select set_config('search_path', 'a, \"C d\"', false)",
        "set \"App\".\"User_Id\" = 'x''\\y'",
    ],
    "an implicit transaction ends where COMMIT says": [
        "set work_mem to 64; commit; set local work_mem to 128; select 1/0",
        "set work_mem to 128; rollback; set statement_timeout to 90000",
        "set work_mem to 256; begin; select 1/0",
        "commit",
    ],
    "what no rollback undoes": [
        "begin; prepare a as select 1; select pg_advisory_lock(3), pg_advisory_lock(3); declare c cursor with hold for select 1",
        "savepoint s; close c; deallocate a; select pg_advisory_unlock(3)",
        "rollback to s",
        "rollback",
    ],
    "cursors of savepoints": [
        "begin; savepoint s; declare c cursor with hold for select 1; release s; savepoint t",
        "declare d cursor with hold for select 1",
        "rollback to t; declare e cursor with hold for select 1",
        "commit",
        "begin; close e; rollback",
    ],
    "prepared transactions commit parameters": [
        "set work_mem to 64",
        "begin; set work_mem to 128; set local statement_timeout to 90000",
        "prepare transaction 'x'",
    ],
    "a constraint that fails at COMMIT": [
        "create temp table p (a int primary key); create temp table f (a int references p deferrable initially deferred)",
        "begin; set work_mem to 64; listen a; insert into f values (1)",
        "commit",
        "drop table f, p",
    ],
    "execute does what was prepared": [
        "prepare a as select set_config('work_mem', '64kB', true), pg_try_advisory_lock(1, 2)",
        "begin; execute a",
        "commit",
        "begin; execute a; rollback",
    ],
    "chains": [
        "begin; set local work_mem to 64; set statement_timeout to 90000",
        "commit and chain",
        "set work_mem to 128; savepoint a; select 1/0",
        "rollback and chain",
        "set work_mem to 256",
        "commit",
    ],
    "temporary tables": [
        "create temp table a (x int) on commit drop",
        "begin; create temp table b (x int) on commit drop; create temp table c as select 1; select 1 into temp d",
        "savepoint s; drop table c; create table pg_temp.e ()",
        "rollback to s",
        "commit",
        "drop table pg_temp.c",
        "discard temp",
    ],
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script(session, script):
    for request in SCRIPTS[script]:
        if session.run(request) != "E":
            session.compare()
    session.drain()
    assert not {doubt.name for doubt in session.ledger.doubts} - {"ADVISORY_LOCKS"}


def test_statements_of_the_protocol_are_of_the_same_kind(session):
    libpq, ledger = session.connection.pgconn, session.ledger
    names = "select array_agg(name order by name) from pg_prepared_statements"
    text = "select set_config('work_mem', '64kB', false), pg_advisory_lock($1)"
    (statement,) = classify(text).statements
    session.run("begin; set local search_path to a")
    assert libpq.prepare(b"q", text.encode()).status == ExecStatus.COMMAND_OK
    ledger.parsed("q", text, statement)
    session.run("prepare p as select 1")
    session.run("rollback")
    assert session.connection.execute(names).fetchone() == (sorted(ledger.prepared),)
    assert ledger.prepared["q"].search_path == Words(("a",))
    result = libpq.exec_prepared(b"q", [b"7"])
    ledger.completed(statement, result.command_status.decode(), bound=("7",))
    ledger.ready("I")
    session.run("execute q(7)")
    assert ledger.doubts == {Doubt.ADVISORY_LOCKS}  # what an EXECUTE binds is not looked at
    ledger.advisory.lock(Lock((7,)))
    session.run("deallocate q")
    assert session.connection.execute(names).fetchone() == (sorted(ledger.prepared),)
    session.run("deallocate all")
    session.drain()


def test_what_is_not_literal_is_read_back(session):
    session.run("begin; select set_config('work_mem', (64 + 64)::text, true)")
    session.run("select set_config('app.user_id', upper('x'), false)")
    unread = session.ledger.settings.unread
    assert unread == {"work_mem", "app.user_id"}
    for name in unread:
        (value,) = session.connection.execute("select current_setting(%s)", (name,)).fetchone()
        session.ledger.settings.read_back(name, value)
    session.compare()
    session.run("commit")
    assert not session.ledger.settings.unread
    session.compare()


def test_a_parameter_known_by_nobody_but_the_session_stays_known(session):
    session.run("begin; set app.user_id to 'x'; rollback")
    assert session.ledger.settings.custom == {"app.user_id"}
    assert session.connection.execute("select current_setting('app.user_id')").fetchone() == ("",)
