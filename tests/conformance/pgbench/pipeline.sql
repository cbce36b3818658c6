\set id random(1, 1000)
\startpipeline
begin;
insert into piped values (:id) on conflict do nothing;
select count(*) from piped;
update piped set id = id where id = :id;
end;
\endpipeline
