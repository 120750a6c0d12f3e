-- The position of a tenant's newest event of a type that carries all of several tags, after a position; null when there
-- is none. It is what a guard with several tags asks, under the lock of the log.
--
-- The tags take turns: each names its newest entry at or before the one named last, until all have named the same or one
-- has none left. So the rarest leads, whichever it is: for each of its entries, at most one of every other tag is read.
--
-- 1,000 entries are read at most, which `GUARD_SEEKS_MAX` in events/log/src/lib.rs says, too. If the tags have not agreed
-- by then, the answer is the last position named, as if such an event were there. That is safe, and whoever loads anew
-- guards a later position.
create or replace function log.newest_tagged(
    of_tenant text,
    with_tags text[],
    of_type text,
    after_position bigint
)
returns bigint
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
declare
    newest bigint;
    head bigint;
begin
    select b.last_position into head from log.batches b order by b.last_position desc limit 1;
    perform set_config('plan_cache_mode', log.guards_plan(after_position, head, c.segment_positions), true)
    from log.cell c;
    with recursive seeks as (
        select 0 as n, 9223372036854775807 as position, 0 as agreeing
        union all
        select s.n + 1, named.position, case when named.position = s.position then s.agreeing + 1 else 1 end
        from seeks s
        cross join lateral (
            select t.position
            from log.tags t
            where t.tenant = of_tenant
                and t.tag = with_tags[s.n % cardinality(with_tags) + 1]
                and t.type = of_type
                and t.position > after_position
                and t.position <= head
                and t.position <= s.position
            order by t.position desc
            limit 1
        ) as named
        where s.agreeing < cardinality(with_tags)
            and s.n < 1000
    )
    select s.position
    into newest
    from seeks s
    where s.agreeing = cardinality(with_tags)
        or s.n = 1000
    limit 1;
    return newest;
end
$$;

-- Only for `log.append`, which runs as the tables' owner.
revoke all on function log.newest_tagged from public;
