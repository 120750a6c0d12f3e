-- How a look for what guards exclude after a position is to be planned: `plan_cache_mode` for it.
--
-- A plan that is kept has every segment of the tags in it, and each execution locks them all: with hundreds, that takes
-- many times as long as the look itself, under the lock of the log. A plan of its own has only those segments that the
-- positions lie in, and mostly they lie in the last: facts were loaded a moment ago. Making it costs more than a few locks
-- do, and for many segments more than all of them.
create or replace function log.guards_plan(after_position bigint, head bigint, segment_positions bigint)
returns text
language sql
immutable
as $$
    select case
        when head / segment_positions >= 8 and head / segment_positions - least(after_position, head) / segment_positions < 4
            then 'force_custom_plan'
        else 'force_generic_plan'
    end
$$;

-- Only for `log.append` and what it calls.
revoke all on function log.guards_plan from public;
