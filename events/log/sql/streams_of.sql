-- The streams of a tenant whose names come after one, at most `streams_max`, in order of their names.
--
-- It is how services without a right to the streams' table read it; they may read every event anyway.
create or replace function log.streams_of(of_tenant text, after_stream text, streams_max bigint)
returns setof text
language sql
stable
security definer
set search_path = pg_catalog, log, pg_temp
as $$
    select s.stream
    from log.streams s
    where s.tenant = of_tenant
        and s.stream > after_stream
    order by s.stream
    limit streams_max
$$;

revoke all on function log.streams_of from public;
grant execute on function log.streams_of to foldline_command, foldline_relay, foldline_projector;
