-- Every backslash command that asks the server something. Objects first; no oids, sizes or times are printed.
\set ON_ERROR_STOP on
\set VERBOSITY verbose
\pset pager off
\conninfo
\encoding
create schema shop;
create table shop.item (id int primary key, name text not null default 'x', price numeric(10, 2) check (price >= 0));
create index item_name on shop.item (name);
create sequence shop.counter;
create view shop.cheap as select * from shop.item where price < 10;
create materialized view shop.total as select count(*) from shop.item;
create function shop.double(int) returns int language sql immutable as 'select $1 * 2';
create procedure shop.nothing() language sql as 'select 1';
create type shop.mood as enum ('good', 'bad');
create domain shop.positive as int check (value > 0);
create aggregate shop.product (int) (sfunc = int4mul, stype = int, initcond = '1');
create operator shop.@+ (leftarg = int, rightarg = int, function = int4pl);
create publication news for table shop.item;
create statistics shop.pair (dependencies) on id, price from shop.item;
create text search configuration shop.plain (copy = pg_catalog.simple);
create table shop.sale (at date, amount int) partition by range (at);
create table shop.sale_2026 partition of shop.sale for values from ('2026-01-01') to ('2027-01-01');
alter table shop.item enable row level security;
create policy everybody on shop.item using (true);
create rule quiet as on insert to shop.cheap do instead nothing;
comment on table shop.item is 'things';
grant select on shop.item to public;
alter default privileges in schema shop grant select on tables to public;
set search_path to shop, public;
\d
\d item
\d+ item
\d+ cheap
\d item_name
\dt
\dt+ nosuch*
\dv
\dm
\di
\ds
\df
\df+ double
\sf double
\sv cheap
\da
\do
\dT
\dD
\dn
\dn+ shop
\dp
\ddp
\dd item
\dRp+
\dX
\dF
\dP
\dL
\dx
\dy
\dc shop.*
\dC pg_catalog.bool
\dE
\db
\des
\du app
\drds
\dg app
\l conformance
\z item
\det
\dO public.*
\dA
\dAc btree int4
\lo_list
begin;
select lo_create(424242);
\lo_list
\lo_unlink 424242
commit;
\echo -- results in every form
insert into item select i, 'item ' || i, i / 4.0 from generate_series(1, 20) i;
select * from item where id < 4 \g
select * from item where id = 2 \gx
select 1 as one, 'two' as two \gset answer_
\echo :answer_one :answer_two
select 'select ' || i from generate_series(1, 3) i \gexec
select id % 2 as odd, id % 3 as third, count(*) from item group by 1, 2 order by 1, 2 \crosstabview
select null::mood, 1::positive \gdesc
\x on
select * from cheap order by id limit 2;
\x off
\pset format csv
table cheap;
\pset format aligned
\pset null (null)
select null;
\set FETCH_COUNT 7
select * from item order by id;
\unset FETCH_COUNT
\echo -- copying
\copy item to pstdout with (format csv, header)
\copy (select id, name from item order by id limit 3) to 'copied.csv' csv
create table copied (id int, name text);
\copy copied from 'copied.csv' csv
table copied;
copy copied from stdin;
10	ten
11	e\\leven
12	\N
\.
copy (table copied) to stdout;
\echo -- errors, notices and what follows them
\set ON_ERROR_STOP off
select 1 / 0;
\errverbose
do $$ begin raise notice 'a notice'; raise warning 'a warning' using hint = 'a hint', detail = 'a detail'; end $$;
begin;
select nosuch;
select 1;
rollback;
\copy copied from stdin
x	not a number
\.
set client_min_messages to debug1;
set client_encoding to latin1;
\encoding
reset client_encoding;
reset client_min_messages;
select 1; select 2 \; select 3;
\echo :LAST_ERROR_SQLSTATE :ROW_COUNT :SQLSTATE
\echo -- another database and back
\c postgres
select current_database();
\c conformance
select current_database(), current_setting('search_path');
\c - app
\conninfo
set application_name to 'renamed';
show application_name;
\echo -- end
