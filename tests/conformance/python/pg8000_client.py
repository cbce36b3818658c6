"""pg8000: a driver that shares no code with libpq; both of its interfaces."""

import io
import os
import ssl

import pg8000.dbapi
import pg8000.native
from report import show


def arguments():
    """pg8000 reads no environment."""
    context = False
    if os.environ["PGSSLMODE"] != "disable":
        context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    return {
        "user": os.environ["PGUSER"],
        "host": os.environ["PGHOST"],
        "port": int(os.environ["PGPORT"]),
        "database": os.environ["PGDATABASE"],
        "password": os.environ["PGPASSWORD"],
        "ssl_context": context,
    }


def native():
    with pg8000.native.Connection(**arguments()) as connection:
        connection.run("create table book (id serial primary key, title text, data bytea)")
        for title in ("one", "two \u2603", None):
            connection.run(
                "insert into book (title, data) values (:title, :data)",
                title=title,
                data=b"\x00\xff" * 40_000,
            )
        show("books", connection.run("select id, title, length(data) from book order by id"))
        show("columns", [column["name"] for column in connection.columns])
        statement = connection.prepare("select :a::int + 1")
        show("prepared", [statement.run(a=number) for number in range(5)])
        statement.close()
        connection.run("start transaction")
        try:
            connection.run("insert into book (id) values (1)")
        except pg8000.native.DatabaseError as error:
            show("duplicate", error.args[0]["C"])
        try:
            connection.run("select 1")
        except pg8000.native.DatabaseError as error:
            show("failed block", error.args[0]["C"])
        connection.run("rollback")
        stream = io.BytesIO(b"1000,ten,\\x00\n1001,eleven,\\x01\n")
        connection.run("copy book from stdin with (format csv)", stream=stream)
        out = io.BytesIO()
        connection.run("copy (select id, title from book order by id) to stdout", stream=out)
        show("copied", out.getvalue().decode().split("\n"))
        connection.run("listen news")
        connection.run("notify news, 'hello'")
        connection.run("select 1")
        show(
            "notifications",
            [(channel, payload) for _, channel, payload in connection.notifications],
        )
        connection.run("do $$ begin raise notice 'noticed'; end $$")
        show("notices", [notice[b"M"] for notice in connection.notices])
        show("parameters", connection.parameter_statuses["client_encoding"])
        show("many", len(connection.run("select generate_series(1, 30000), repeat('x', 50)")))


def dbapi():
    connection = pg8000.dbapi.connect(**arguments())
    cursor = connection.cursor()
    cursor.execute("select %s, %s::text, current_user", (1, "two"))
    show("dbapi", cursor.fetchone())
    cursor.executemany("insert into book (title) values (%s)", [(f"t{i}",) for i in range(50)])
    connection.commit()
    cursor.execute("select count(*) from book")
    show("count", cursor.fetchone())
    cursor.execute("delete from book")
    connection.rollback()
    cursor.execute("select count(*) from book")
    show("count after rollback", cursor.fetchone())
    connection.close()


def refused():
    for wrong in ({"password": "wrong"}, {"database": "nowhere"}):
        try:
            pg8000.native.Connection(**arguments() | wrong)
        except pg8000.native.DatabaseError as error:
            show(
                f"refused {list(wrong)}",
                [error.args[0]["S"], error.args[0]["C"], error.args[0]["M"]],
            )


native()
dbapi()
refused()
