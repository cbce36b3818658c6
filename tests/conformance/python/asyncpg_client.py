"""asyncpg: binary protocol, prepared statements, COPY, LISTEN, transactions, cancellation by timeout, pool."""

import asyncio
import io
import os
import ssl

import asyncpg
from report import failure, show


def connection_arguments():
    """asyncpg reads libpq's variables, but for the authority file it wants the default place."""
    if os.environ["PGSSLMODE"] == "disable":
        return {"ssl": False}
    context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    return {"ssl": context}


async def statements(connection):
    statement = await connection.prepare("select $1::int + $2::int as sum, $3::text[] as words")
    show("parameters", [item.name for item in statement.get_parameters()])
    show("attributes", [item.name for item in statement.get_attributes()])
    for number in range(20):
        row = await statement.fetchrow(number, number, ["a", None])
    show("row", row)
    show("types", await connection.fetchrow(
        "select 1.5::numeric, now() > '2020-01-01', '{1,2}'::int8[], 'x'::bytea, 'infinity'::float8, null,"
        " '10.0.0.0/8'::cidr, int4range(1, 5), interval '1 day'"))  # fmt: skip
    await connection.execute("create type pair as (a int, b text)")
    show("composite", await connection.fetchval("select row(1, 'x')::pair"))
    await connection.execute("create table item (id serial primary key, name text unique)")
    await connection.executemany(
        "insert into item (name) values ($1)", [(f"n{i}",) for i in range(500)]
    )
    show("count", await connection.fetchval("select count(*) from item"))
    try:
        await connection.executemany("insert into item (name) values ($1)", [("new",), ("n1",)])
    except asyncpg.PostgresError as error:
        show("duplicate", failure(error))
    show(
        "script", await connection.execute("create table a (); create table b (); drop table a, b")
    )
    try:
        await connection.fetch("select nosuch")
    except asyncpg.PostgresError as error:
        show("undefined", failure(error))


async def transactions(connection):
    async with connection.transaction(isolation="repeatable_read"):
        await connection.execute("delete from item")
        try:
            async with connection.transaction():
                await connection.execute("insert into item values (1, 'x')")
                raise ZeroDivisionError
        except ZeroDivisionError:
            show("savepoint", await connection.fetchval("select count(*) from item"))
        rows = [
            row[0] async for row in connection.cursor("select generate_series(1, 500)", prefetch=50)
        ]
        show("cursor", sum(rows))
    show("committed", await connection.fetchval("select count(*) from item"))


async def copying(connection):
    records = [(i, f"name {i}") for i in range(10_000)]
    show("in", await connection.copy_records_to_table("item", records=records))
    out = io.BytesIO()
    show("out", await connection.copy_from_table("item", output=out, format="csv"))
    show("size", len(out.getvalue()))
    source = io.BytesIO(b"20000,x\nnot,a number,too many\n")
    try:
        await connection.copy_to_table("item", source=source, format="csv")
    except asyncpg.PostgresError as error:
        show("copy error", failure(error))
    out = io.BytesIO()
    await connection.copy_from_query("select $1::int", 7, output=out)
    show("query", out.getvalue())


async def listening(connection, connect):
    heard = asyncio.Queue()
    await connection.add_listener(
        "news", lambda _, pid, channel, payload: heard.put_nowait((channel, payload))
    )
    log = []
    connection.add_log_listener(lambda _, message: log.append(message.message))
    other = await connect()
    for number in range(3):
        await other.execute(f"notify news, '{number}'")
    show("heard", [await asyncio.wait_for(heard.get(), 10) for _ in range(3)])
    await connection.execute("do $$ begin raise notice 'noticed'; end $$")
    await asyncio.sleep(0.05)
    show("log", log)
    await other.close()
    await connection.reset()


async def cancelling(connection):
    for timeout in (0.2, 0.3):
        try:
            await connection.fetch("select pg_sleep(30)", timeout=timeout)
        except TimeoutError:
            show("timed out")
        show("after", await connection.fetchval("select 1"))
    task = asyncio.create_task(connection.execute("select pg_sleep(30)"))
    await asyncio.sleep(0.2)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        show("task cancelled")
    show("after", await connection.fetchval("select 2"))


async def main():
    async def connect(**options):
        return await asyncpg.connect(**connection_arguments(), **options)

    connection = await connect()
    show("version", connection.get_server_version()[:1])
    show("settings", connection.get_settings().application_name)
    show("pid", connection.get_server_pid() == await connection.fetchval("select pg_backend_pid()"))
    await statements(connection)
    await transactions(connection)
    await copying(connection)
    await cancelling(connection)
    await listening(connection, connect)
    await connection.close()
    async with asyncpg.create_pool(min_size=5, max_size=5, **connection_arguments()) as pool:
        show(
            "pool",
            sum(await asyncio.gather(*(pool.fetchval("select $1::int", i) for i in range(100)))),
        )
    try:
        await connect(password="wrong")
    except asyncpg.PostgresError as error:
        show("wrong password", failure(error))
    try:
        await connect(database="nowhere")
    except asyncpg.PostgresError as error:
        show("no database", failure(error))


asyncio.run(main())
