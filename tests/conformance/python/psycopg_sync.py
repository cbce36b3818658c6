"""psycopg 3, synchronous: types, transactions, prepared statements, COPY, cursors, LISTEN, cancel, pipelines."""

import contextlib
import datetime
import decimal
import logging
import threading
import time

import psycopg
from psycopg import sql
from psycopg.rows import dict_row
from report import failure, show


def types(connection, binary):
    rows = connection.execute(
        "select %b::int8, %t::text, %b::bytea, %t::numeric, %t::timestamptz, %t::int[], null, %t::jsonb"
        if binary
        else "select %s::int8, %s::text, %s::bytea, %s::numeric, %s::timestamptz, %s::int[], null, %s::jsonb",
        (
            2**62,
            "snow \u2603",
            bytes(range(256)) * 5000,
            decimal.Decimal("12345678901234567890.5"),
            datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
            [1, 2, None],
            '{"a": [1, null]}',
        ),
        binary=binary,
    ).fetchone()
    show(f"types binary={binary}", rows)


def transactions(connection):
    connection.execute("create table account (id int primary key, balance int not null)")
    with connection.transaction():
        connection.execute("insert into account values (1, 10), (2, 20)")
        with contextlib.suppress(psycopg.errors.UniqueViolation), connection.transaction():
            connection.execute("insert into account values (1, 99)")
        show("status", connection.info.transaction_status.name)
    try:
        with connection.transaction():
            connection.execute("update account set balance = null")
    except psycopg.Error as error:
        show("not null", failure(error))
    show("balances", connection.execute("table account order by id").fetchall())
    show("status", connection.info.transaction_status.name)
    connection.execute("begin isolation level serializable read only")
    try:
        connection.execute("delete from account")
    except psycopg.Error as error:
        show("read only", failure(error))
    show("status", connection.info.transaction_status.name)
    connection.rollback()


def prepared(connection):
    for number in range(12):
        connection.execute("select balance from account where id = %s", (number,), prepare=True)
    show("prepared", connection.execute("select count(*) from pg_prepared_statements").fetchone())
    connection.execute("alter table account add column note text")
    for number in range(3):
        connection.execute("select * from account where id = %s", (number,), prepare=True)
    connection.execute("deallocate all")
    show(
        "after deallocate",
        connection.execute("select * from account where id = 1", prepare=True).fetchone(),
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into account values (%s, %s) returning id",
            [(i, i) for i in range(10, 60)],
            returning=True,
        )
        show("executemany", sum(1 for _ in cursor.results()))


def copying(connection):
    connection.execute("create table copied (id int, name text, at timestamptz)")
    with connection.cursor() as cursor:
        with cursor.copy("copy copied from stdin") as copy:
            for number in range(20_000):
                copy.write_row((number, f"name\t{number}\\", None))
        show("copied", cursor.rowcount)
        with cursor.copy("copy copied (id, name) from stdin (format binary)") as copy:
            copy.set_types(["int4", "text"])
            for number in range(1000):
                copy.write_row((number, "binary"))
        with cursor.copy("copy copied to stdout (format binary)") as copy:
            show("out", sum(len(block) for block in copy))
        with cursor.copy("copy (select id from copied order by id limit 5) to stdout") as copy:
            show("rows", list(copy.rows()))
        try:
            with cursor.copy("copy copied from stdin") as copy:
                copy.write("not a number\n")
        except psycopg.Error as error:
            show("copy error", failure(error))
        try:
            with cursor.copy("copy copied from stdin") as copy:
                copy.write("1\tone\t\\N\n")
                raise ZeroDivisionError
        except ZeroDivisionError:
            show("copy given up")
        with (
            contextlib.suppress(ZeroDivisionError),
            cursor.copy("copy (select generate_series(1, 3000000)) to stdout") as copy,
        ):
            next(iter(copy))
            raise ZeroDivisionError  # in the middle: psycopg cancels the statement
    show("after copies", connection.execute("select count(*) from copied").fetchone())


def cursors(connection):
    with connection.transaction(), connection.cursor(name="walk", row_factory=dict_row) as cursor:
        cursor.itersize = 100
        cursor.execute("select i, repeat('x', 100) as x from generate_series(1, 1000) i")
        show("fetchmany", [row["i"] for row in cursor.fetchmany(3)])
        show("rest", sum(row["i"] for row in cursor))
    with connection.cursor(name="held", withhold=True, scrollable=True) as cursor:
        cursor.execute("select generate_series(1, 10)")
        cursor.scroll(5)
        show("held", cursor.fetchone())
    with connection.cursor() as cursor:
        show(
            "stream",
            sum(row[0] for row in cursor.stream("select generate_series(1, 5000)", size=1)),
        )


def notifications(connection, connect):
    notices = []
    connection.add_notice_handler(lambda diagnostic: notices.append(diagnostic.message_primary))
    connection.execute("do $$ begin raise notice 'one'; raise warning 'two'; end $$")
    show("notices", notices)
    connection.execute("listen news")
    with connect() as other:
        other.execute("select pg_notify('news', 'hello')")
        other.execute(sql.SQL("notify news, {}").format("x" * 7000))
    received = list(connection.notifies(timeout=10, stop_after=2))
    show("notified", [(item.channel, item.payload) for item in received])
    show("pid of the notifier is a backend's", all(item.pid > 0 for item in received))
    connection.execute("unlisten *")
    show(
        "parameters",
        [connection.info.parameter_status(name) for name in ("client_encoding", "TimeZone")],
    )
    connection.execute("set timezone to 'Asia/Tokyo'")
    show("reported", connection.info.parameter_status("TimeZone"))
    show(
        "pid",
        connection.info.backend_pid == connection.execute("select pg_backend_pid()").fetchone()[0],
    )


def cancelling(connection):
    for how in ("cancel", "cancel_safe"):
        timer = threading.Timer(0.3, getattr(connection, how))
        timer.start()
        started = time.monotonic()
        try:
            connection.execute("select pg_sleep(30)")
        except psycopg.errors.QueryCanceled as error:
            show(how, failure(error))
        show("soon", time.monotonic() - started < 10)
        timer.join()
        getattr(connection, how)()  # nothing runs: it must hit nothing
        time.sleep(0.05)
        show("after", connection.execute("select 1").fetchone())


def pipelines(connection):
    connection.execute("create table piped (id int primary key)")
    with connection.pipeline() as pipeline:
        cursors = [
            connection.execute("insert into piped values (%s) returning id", (i,))
            for i in range(300)
        ]
        pipeline.sync()
        show("piped", sum(cursor.fetchone()[0] for cursor in cursors))
    try:
        with connection.pipeline():
            connection.execute("insert into piped values (1000)")
            connection.execute("insert into piped values (1)")
            connection.execute("insert into piped values (1001)")
    except psycopg.Error as error:
        show("pipeline error", failure(error))
    with connection.pipeline() as pipeline:
        first = connection.execute("select 1 / 0")
        pipeline_errors = []
        try:
            pipeline.sync()
            first.fetchone()
        except psycopg.Error as error:
            pipeline_errors.append(failure(error))
        show("errors", pipeline_errors)
        second = connection.execute("select count(*) from piped")
        show("second", second.fetchone())
    with connection.pipeline(), connection.transaction():
        connection.execute("delete from piped where id < 100")
    show("left", connection.execute("select count(*) from piped").fetchone())


def two_phase(connect):
    with connect(autocommit=False) as connection:
        connection.tpc_begin(connection.xid(1, "global", "branch"))
        connection.execute("insert into account values (7777, 1)")
        connection.tpc_prepare()
        connection.tpc_rollback()
        show(
            "two-phase",
            connection.execute("select count(*) from account where id = 7777").fetchone(),
        )


def main():
    # What it warns of while it cleans up depends on what it has read by then.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)

    def connect(**options):
        return psycopg.connect("", **{"autocommit": True, **options})

    with connect() as connection:
        show("application", connection.execute("show application_name").fetchone())
        for binary in (False, True):
            types(connection, binary)
        transactions(connection)
        prepared(connection)
        copying(connection)
        cursors(connection)
        notifications(connection, connect)
        cancelling(connection)
        pipelines(connection)
    two_phase(connect)
    with connect(
        options="-c search_path=pg_catalog -c statement_timeout=12345", application_name="other"
    ) as other:
        show(
            "options",
            other.execute(
                "select current_setting('search_path'), current_setting('statement_timeout')"
            ).fetchone(),
        )
        show("name", other.execute("show application_name").fetchone())
    for wrong in ({"password": "wrong"}, {"user": "nobody_knows"}, {"dbname": "nowhere"}):
        try:
            connect(**wrong).close()
        except psycopg.OperationalError as error:
            show(f"refused {list(wrong)}", str(error).rpartition("FATAL:")[2].strip())
    with connect() as victim, connect() as killer:
        killer.execute("select pg_terminate_backend(%s)", (victim.info.backend_pid,))
        try:
            victim.execute("select 1")
        except psycopg.Error as error:
            show("terminated", failure(error))
        show("closed", victim.closed)


main()
