-- Which appends of a batch may not be stored, and why; all arrays as in `log.append`, which holds the lock and has found
-- the writes' versions already. Run only where something stands in the way of one of them.
create or replace function log.refusals(
    append_tenants text[],
    append_command_ids uuid[],
    append_input_hmacs bytea[],
    write_appends integer[],
    write_streams text[],
    write_expected bigint[],
    write_versions bigint[],
    guard_appends integer[],
    guard_tenants text[],
    guard_tags text[],
    guard_types text[],
    guard_after bigint[],
    guard_other_tags text[] default null
)
returns table (
    append integer,
    verdict text,
    stream text,
    version bigint,
    "position" bigint,
    partition smallint
)
language plpgsql
stable
set search_path = pg_catalog, log, pg_temp
-- As in `log.append`.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
#variable_conflict use_column
declare
    head bigint;
    guards_after bigint;
    guarded_appends integer[] := '{}';
    guarded_by bigint[] := '{}';
begin
    if cardinality(guard_appends) > 0 then
        select b.last_position into head from log.batches b order by b.last_position desc limit 1;
        select min(g.after) into guards_after from unnest(guard_after) as g (after);
        perform set_config('plan_cache_mode', log.guards_plan(guards_after, head, c.segment_positions), true)
        from log.cell c;
        select coalesce(array_agg(g.append), '{}'), coalesce(array_agg(g.position), '{}')
        into guarded_appends, guarded_by
        from (
            select g.append, max(t.position) as position
            from unnest(guard_appends, guard_tenants, guard_tags, guard_types, guard_after, guard_other_tags)
                as g (append, tenant, tag, type, after, other_tags)
            -- One entry of the index for each: as a plain join, all events with the tag would be read, of whatever type.
            cross join lateral (
                select case
                    when g.other_tags is null then (
                        select t.position
                        from log.tags t
                        where t.tenant = g.tenant
                            and t.tag = g.tag
                            and t.type = g.type
                            and t.position > g.after
                            and t.position > guards_after
                            and t.position <= head
                        order by t.position desc
                        limit 1
                    )
                    else log.newest_tagged(
                        g.tenant, array_prepend(g.tag, string_to_array(g.other_tags, chr(31))), g.type, g.after
                    )
                end as position
            ) t
            group by g.append
            -- Who names a position beyond the head is told so, which `log.append` does once nothing is in the way of others.
            having max(t.position) is not null
                and max(g.after) <= head
        ) as g;
        perform set_config('plan_cache_mode', 'force_generic_plan', true);
    end if;

    return query
    with appends as (
        select a.n::integer as append, a.tenant, a.command_id, a.input_hmac
        from unnest(append_tenants, append_command_ids, append_input_hmacs)
            with ordinality as a (tenant, command_id, input_hmac, n)
    ),
    conflicts as (
        select distinct on (w.append) w.append, w.stream, w.version
        from unnest(write_appends, write_streams, write_expected, write_versions)
            with ordinality as w (append, stream, expected, version, n)
        where w.expected is not null
            and w.version <> w.expected
            and not (w.expected = -1 and w.version > 0)
        order by w.append, w.n
    )
    select a.append,
        case
            when k.input_hmac = a.input_hmac then 'known'
            when k.command_id is not null then 'input_differs'
            when c.append is not null then 'conflict'
            else 'guarded'
        end,
        coalesce(k.stream, c.stream),
        coalesce(k.version, c.version),
        coalesce(k.position, g.position),
        k.partition
    from appends a
    left join log.commands k on k.tenant = a.tenant and k.command_id = a.command_id
    left join conflicts c on c.append = a.append
    left join unnest(guarded_appends, guarded_by) as g (append, position) on g.append = a.append
    where k.command_id is not null
        or c.append is not null
        or g.append is not null
    order by a.append;
end
$$;

-- Only for `log.append`, which runs as the tables' owner.
revoke all on function log.refusals from public;
