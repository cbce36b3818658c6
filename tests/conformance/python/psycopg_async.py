"""psycopg 3, asynchronous: concurrent sessions, pipelines, COPY, LISTEN, cancellation by the task."""

import asyncio

import psycopg
from report import failure, show


async def main():
    connect = psycopg.AsyncConnection.connect
    async with await connect("", autocommit=True) as connection:
        await connection.execute("create table counted (id int primary key, hits int)")
        await connection.execute("insert into counted select i, 0 from generate_series(1, 10) i")

    async def worker(number):
        async with await connect("") as connection:
            for _ in range(20):
                async with connection.transaction():
                    await connection.execute(
                        "update counted set hits = hits + 1 where id = %s", (number % 5 + 1,)
                    )
            return (await (await connection.execute("select %s::int", (number,))).fetchone())[0]

    show("workers", await asyncio.gather(*(worker(number) for number in range(10))))

    async with await connect("", autocommit=True) as connection:
        show("hits", await (await connection.execute("select sum(hits) from counted")).fetchone())
        async with connection.pipeline():
            cursors = [await connection.execute("select %s::int", (i,)) for i in range(200)]
            show("piped", sum([(await cursor.fetchone())[0] for cursor in cursors]))
        async with connection.cursor() as cursor:
            async with cursor.copy("copy counted from stdin") as copy:
                for number in range(100, 5100):
                    await copy.write_row((number, 0))
            async with cursor.copy("copy counted to stdout") as copy:
                show("out", sum([len(block) async for block in copy]))

        task = asyncio.create_task(connection.execute("select pg_sleep(30)"))
        await asyncio.sleep(0.3)
        task.cancel()
        try:
            await task
        except (asyncio.CancelledError, psycopg.Error) as error:
            show("cancelled", type(error).__name__)
        show("usable", await (await connection.execute("select 1")).fetchone())

        try:
            await asyncio.wait_for(connection.execute("select pg_sleep(30)"), timeout=0.3)
        except TimeoutError:
            show("timed out")
        show("usable", await (await connection.execute("select 2")).fetchone())

        await connection.execute("listen news")
        async with await connect("", autocommit=True) as other:
            for number in range(5):
                await other.execute("select pg_notify('news', %s)", (str(number),))
        show(
            "heard", [item.payload async for item in connection.notifies(timeout=10, stop_after=5)]
        )

        async with connection.transaction():
            async with connection.cursor(name="walk") as cursor:
                await cursor.execute("select generate_series(1, 1000)")
                show("cursor", sum([row[0] async for row in cursor]))
        try:
            await connection.execute("select 1 / 0")
        except psycopg.Error as error:
            show("error", failure(error))


asyncio.run(main())
