// node-postgres: text protocol and prepared statements, pool, cursor, COPY streams, notifications, query timeout.
"use strict";
const fs = require("node:fs");
const { Readable } = require("node:stream");
const { pipeline } = require("node:stream/promises");
const { Client, Pool, types } = require("pg");
const Cursor = require("pg-cursor");
const { from: copyFrom, to: copyTo } = require("pg-copy-streams");

const show = (step, value = "done") => console.log(`${step}: ${typeof value === "string" ? value : JSON.stringify(value)}`);
const ssl =
  process.env.PGSSLMODE === "disable" ? false : { ca: fs.readFileSync(process.env.PGSSLROOTCERT, "utf8") };
const options = (more = {}) => ({ ssl, application_name: "conformance", ...more });

async function connected(more) {
  const client = new Client(options(more));
  await client.connect();
  return client;
}

async function statements(client) {
  await client.query("create table item (id serial primary key, name text unique, data bytea)");
  for (let i = 0; i < 20; i++) {
    await client.query({ name: "insert", text: "insert into item (name, data) values ($1, $2)", values: [`name \u2603 ${i}`, Buffer.alloc(50000, i)] });
  }
  show("count", (await client.query("select count(*), sum(length(data)) from item")).rows);
  const typed = await client.query("select $1::int as i, $2::text as t, $3::jsonb as j, $4::int[] as a, null as n, 1.5::float8 as f", [1, "two", { three: [3] }, [1, 2]]);
  show("typed", typed.rows[0]);
  show("fields", typed.fields.map((field) => field.name));
  show("several", (await client.query("select 1 as a; select 2 as b")).map((result) => result.rows));
  show("array mode", (await client.query({ text: "select 1, 2", rowMode: "array" })).rows);
  try {
    await client.query("insert into item (name) values ($1)", ["name \u2603 1"]);
  } catch (error) {
    show("duplicate", [error.code, error.constraint]);
  }
  try {
    await client.query({ name: "broken", text: "select nosuch" });
  } catch (error) {
    show("undefined", error.code);
  }
  show("queued", (await Promise.all([1, 2, 3].map((i) => client.query("select $1::int as i", [i])))).map((result) => result.rows[0].i));
  const binary = await client.query({ text: "select $1::int8 as x", values: [7], binary: true });
  show("binary", String(binary.rows[0].x));
}

async function transactions(client) {
  await client.query("begin");
  await client.query("delete from item where id > 10");
  try {
    await client.query("select 1 / 0");
  } catch (error) {
    show("error", error.code);
  }
  try {
    await client.query("select 1");
  } catch (error) {
    show("failed block", error.code);
  }
  await client.query("rollback");
  const cursor = client.query(new Cursor("select generate_series(1, 1000) as i"));
  show("cursor", (await cursor.read(5)).map((row) => row.i));
  show("more", (await cursor.read(500)).length);
  await cursor.close();
  show("after", (await client.query("select count(*) from item")).rows);
}

async function copying(client) {
  const lines = Array.from({ length: 20000 }, (_, i) => `${i + 1000}\tcopied ${i}\t\\N\n`);
  await pipeline(Readable.from(lines), client.query(copyFrom("copy item from stdin")));
  let size = 0;
  for await (const chunk of client.query(copyTo("copy item to stdout"))) size += chunk.length;
  show("copy out", size);
  try {
    await pipeline(Readable.from(["wrong\n"]), client.query(copyFrom("copy item from stdin")));
  } catch (error) {
    show("copy error", error.code);
  }
  show("after", (await client.query("select count(*) from item")).rows);
}

async function listening(client) {
  const heard = [];
  const notices = [];
  client.on("notification", (message) => heard.push([message.channel, message.payload]));
  client.on("notice", (message) => notices.push(message.message));
  await client.query("listen news");
  const other = await connected();
  for (let i = 0; i < 3; i++) await other.query("select pg_notify('news', $1)", [String(i)]);
  await other.query("select pg_terminate_backend(0)").catch((error) => show("error", error.code));
  await other.end();
  await client.query("do $$ begin raise notice 'noticed'; end $$");
  while (heard.length < 3) await new Promise((resolve) => setTimeout(resolve, 10));
  show("heard", heard);
  show("notices", notices);
}

async function timeouts() {
  const client = await connected({ statement_timeout: 300 });
  await client.query("select pg_sleep(10)").catch((error) => show("statement timeout", error.code));
  show("after", (await client.query("select 1 as one")).rows);
  await client.end();
  const sleeper = await connected();
  const asleep = sleeper.query("select pg_sleep(20)").catch((error) => show("cancelled", error.code));
  await new Promise((resolve) => setTimeout(resolve, 300));
  const canceller = new Client(options());
  canceller.cancel(sleeper, sleeper.activeQuery ?? sleeper._activeQuery);
  await Promise.race([asleep, new Promise((resolve) => setTimeout(resolve, 3000, "late"))]).then(async (late) => {
    if (late === "late") {
      const killer = await connected();
      await killer.query("select pg_cancel_backend($1)", [sleeper.processID]);
      await killer.end();
      await asleep;
    }
  });
  show("after", (await sleeper.query("select 2 as two")).rows);
  await sleeper.end();
}

async function main() {
  const client = await connected();
  show("application", (await client.query("show application_name")).rows);
  show("pid", (await client.query("select pg_backend_pid() as pid")).rows[0].pid === client.processID);
  await statements(client);
  await transactions(client);
  await copying(client);
  await listening(client);
  await client.end();
  await timeouts();
  const pool = new Pool(options({ max: 5 }));
  const rows = await Promise.all(Array.from({ length: 100 }, (_, i) => pool.query("select $1::int as i", [i])));
  show("pool", rows.reduce((sum, result) => sum + result.rows[0].i, 0));
  await pool.end();
  for (const wrong of [{ password: "wrong" }, { database: "nowhere" }]) {
    const refused = new Client(options(wrong));
    await refused.connect().then(
      () => show("connected"),
      (error) => show("refused", [error.code, error.message]),
    );
    await refused.end().catch(() => {});
  }
  show("end");
}

types.setTypeParser(20, String);
main().catch((error) => {
  console.error(error);
  process.exit(1);
});
