-- Makes sure that events have somewhere to go: the segment of the head exists and `ahead` more after it. A segment is
-- a range of positions of the events and of their tags; its tables are named by the first position it holds.
--
-- Each table is made on its own and then attached: that takes a lock which lets appends and reads go on, where
-- `create table … partition of` would stop them. It has no check of its range: that would be made ready again by every
-- append, and an empty table is attached without being looked through.
--
-- `ahead` is 100 at most, which `SEGMENTS_AHEAD_MAX` in events/log/src/install.rs says, too: services may call this, and none
-- of them may fill the catalog. Counted from the head, so that asking again makes none.
create or replace function log.ensure_segments(ahead integer)
returns integer
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
declare
    size bigint;
    head bigint;
    first_position bigint;
    parent text;
    segment text;
    made integer := 0;
begin
    if ahead is null or ahead not between 0 and 100 then
        raise exception 'segments are made 0 to 100 ahead, not %', coalesce(ahead::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;

    -- One at a time; its number is "segm" in ASCII.
    perform pg_advisory_xact_lock(1936025453);

    select c.segment_positions into strict size from log.cell c;
    select b.last_position into head from log.batches b order by b.last_position desc limit 1;
    head := coalesce(head, 0);

    for n in 0 .. ahead loop
        first_position := (head / size + n) * size;
        foreach parent in array array['events', 'tags'] loop
            segment := parent || '_' || first_position;
            continue when to_regclass('log.' || segment) is not null;
            execute format('create table log.%I (like log.%I including defaults including constraints)', segment, parent);
            execute format(
                'alter table log.%I attach partition log.%I for values from (%s) to (%s)',
                parent, segment, first_position, first_position + size
            );
            made := made + 1;
        end loop;
    end loop;
    return made;
end
$$;

revoke all on function log.ensure_segments from public;
-- Appends make what they lack as the tables' owner; builds before let the command service call it.
revoke all on function log.ensure_segments from foldline_command;
grant execute on function log.ensure_segments to foldline_relay;
