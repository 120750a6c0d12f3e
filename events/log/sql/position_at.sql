-- The last position recorded at or before an instant, 0 when there is none. `recorded_at` never decreases along the
-- log, so this is a binary search by position: 63 steps at the very most, and no index on time.
create or replace function log.position_at(instant timestamptz)
returns bigint
language plpgsql
stable
set search_path = pg_catalog, log, pg_temp
as $$
declare
    low bigint;
    high bigint;
    middle bigint;
    middle_recorded_at timestamptz;
begin
    -- Ordered look-ups stop at the first segment that has rows; min and max would open every one.
    select e.position - 1 into low from log.events e order by e.position limit 1;
    select e.position into high from log.events e order by e.position desc limit 1;
    low := coalesce(low, 0);
    high := coalesce(high, 0);
    while low < high loop
        middle := low + (high - low + 1) / 2;
        select e.recorded_at into strict middle_recorded_at from log.events e where e.position = middle;
        if middle_recorded_at <= instant then
            low := middle;
        else
            high := middle - 1;
        end if;
    end loop;
    return low;
end
$$;

revoke all on function log.position_at from public;
grant execute on function log.position_at to foldline_command, foldline_relay, foldline_projector;
