-- The last position recorded at or before an instant, 0 when there is none. `recorded_at` never decreases along the log,
-- so this is a binary search by position, and no index on time: over the batches first, which are in one table, and then
-- over the events of one batch, which mostly have one time. Both take 63 steps at the very most.
create or replace function log.position_at(instant timestamptz)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, log, pg_temp
-- A plan that is kept has every segment in it.
set plan_cache_mode = force_custom_plan
as $$
declare
    low bigint := 0;
    high bigint;
    middle bigint;
    batch_end bigint;
    middle_recorded_at timestamptz;
begin
    -- No batch up to `low` is later than the instant, and every one after `high` is.
    select b.last_position into high from log.batches b order by b.last_position desc limit 1;
    high := coalesce(high, 0);
    while low < high loop
        middle := low + (high - low + 1) / 2;
        select b.last_position, b.recorded_at
        into strict batch_end, middle_recorded_at
        from log.batches b
        where b.last_position >= middle
        order by b.last_position
        limit 1;
        if middle_recorded_at <= instant then
            low := batch_end;
        else
            high := middle - 1;
        end if;
    end loop;

    -- The next batch ends with an event that is later; those before that one are, too, unless it is of an import.
    select b.last_position - 1 into high from log.batches b where b.last_position > low order by b.last_position limit 1;
    middle := low + 1;
    while low < coalesce(high, 0) loop
        select e.recorded_at into middle_recorded_at from log.events e where e.position = middle;
        if middle_recorded_at <= instant then
            low := middle;
        else
            high := middle - 1;
        end if;
        middle := low + (high - low + 1) / 2;
    end loop;
    return low;
end
$$;

revoke all on function log.position_at from public;
grant execute on function log.position_at to foldline_command, foldline_relay, foldline_projector;
