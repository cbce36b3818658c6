-- libpq's pipeline mode as psql 18 offers it.
\pset pager off
create table piped (id int primary key);
\startpipeline
insert into piped values ($1) \bind 1 \sendpipeline
insert into piped values ($1) \bind 2 \sendpipeline
select count(*) from piped \bind \sendpipeline
\syncpipeline
insert into piped values ($1) \bind 1 \sendpipeline
insert into piped values ($1) \bind 3 \sendpipeline
\syncpipeline
select count(*) from piped \bind \sendpipeline
\endpipeline
\startpipeline
select $1::int \parse named
\bind_named named 7 \sendpipeline
\flushrequest
\getresults
\close_prepared named
\endpipeline
select 'simple again', count(*) from piped;
