-- For each tag the first positions, at most `positions_max`, of a tenant's events that carry it, between two positions
-- and of some types (an empty array means all). What it reads grows with `positions_max` and the number of types, not
-- with how many events carry the tag: the index is ordered by tenant, tag, type and position, so the types of a tag
-- are found one by one, and of each only the first entries are read. Segments without any of those positions stay closed.
--
-- It is how services without a right to the tags' table read it; they may read every event anyway.
create or replace function log.tagged(
    of_tenant text,
    with_tags text[],
    of_types text[],
    after_position bigint,
    through_position bigint,
    positions_max integer
)
returns table (tag text, positions bigint[])
language plpgsql
stable
security definer
set search_path = pg_catalog, log, pg_temp
-- A plan for any limit whatever would sort all entries of a tag.
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    size bigint;
    -- The segments that those positions are in, from their first position to their last: looking for the types in whole
    -- segments reads no entry that is then left out.
    segments_from bigint;
    segments_through bigint;
begin
    select c.segment_positions into strict size from log.cell c;
    segments_from := (after_position + 1) / size * size;
    segments_through := (through_position / size + 1) * size - 1;

    return query
    with recursive kinds as (
        select wanted.tag, (
            select t.type
            from log.tags t
            where t.tenant = of_tenant
                and t.tag = wanted.tag
                and t.position >= segments_from
                and t.position <= segments_through
            order by t.type
            limit 1
        ) as type
        from unnest(with_tags) as wanted (tag)
        union all
        select kinds.tag, (
            select t.type
            from log.tags t
            where t.tenant = of_tenant
                and t.tag = kinds.tag
                and t.type > kinds.type
                and t.position >= segments_from
                and t.position <= segments_through
            order by t.type
            limit 1
        )
        from kinds
        where kinds.type is not null
    )
    select wanted.tag, found.positions
    from unnest(with_tags) as wanted (tag)
    cross join lateral (
        select coalesce(array_agg(first_ones.position order by first_ones.position), '{}') as positions
        from (
            -- An event has one type, so no position comes twice.
            select of_kind.position
            from kinds
            cross join lateral (
                select t.position
                from log.tags t
                where t.tenant = of_tenant
                    and t.tag = kinds.tag
                    and t.type = kinds.type
                    and t.position > after_position
                    and t.position <= through_position
                order by t.position
                limit positions_max
            ) as of_kind
            where kinds.tag = wanted.tag
                and (cardinality(of_types) = 0 or kinds.type = any (of_types))
            order by of_kind.position
            limit positions_max
        ) as first_ones
    ) as found;
end
$$;

revoke all on function log.tagged from public;
grant execute on function log.tagged to foldline_command, foldline_relay, foldline_projector;
