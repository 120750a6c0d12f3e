-- The events of a stream after a version, or those before one, at most `events_max` of them, in order of version. One of
-- the two versions is given: after one the oldest are wanted, before one the newest.
--
-- An index for streams is in every segment, and asking all of them makes each load cost more the longer the log is. So
-- the segments are asked from the stream's last event backwards, one, two and four at a time, for the first version
-- that is wanted; most streams live for few segments. Only for one that began before those are all of them asked.
create or replace function log.read_stream(
    of_tenant text,
    of_stream text,
    after_version bigint,
    before_version bigint,
    events_max bigint,
    segment_positions bigint
)
returns table (
    "position" bigint,
    partition smallint,
    id uuid,
    tenant text,
    stream text,
    version bigint,
    type text,
    schema_version smallint,
    payload text,
    tags text[],
    actor text,
    command_id uuid,
    correlation_id uuid,
    causation_id uuid,
    trace_context text,
    occurred_at timestamptz,
    recorded_at timestamptz
)
language plpgsql
stable
security definer
set search_path = pg_catalog, log, pg_temp
-- A plan that is kept has every segment in it.
set plan_cache_mode = force_custom_plan
as $$
#variable_conflict use_column
declare
    first_version bigint;
    through_version bigint;
    last_version bigint;
    through_position bigint;
    from_position bigint;
    segments integer := 1;
    before_segments bigint;
begin
    select s.version, s.last_position
    into last_version, through_position
    from log.streams s
    where s.tenant = of_tenant
        and s.stream = of_stream;
    if not found or after_version >= last_version then
        return;
    end if;
    if after_version is null then
        through_version := least(last_version, before_version - 1);
        first_version := greatest(through_version - events_max, 0) + 1;
    else
        first_version := after_version + 1;
        through_version := after_version + least(last_version - after_version, events_max);
    end if;
    if first_version > through_version then
        return;
    end if;

    if first_version = last_version then
        from_position := through_position;
    end if;
    before_segments := (through_position / segment_positions + 1) * segment_positions;
    -- As few as these are all asked at once.
    if before_segments <= 2 * segment_positions then
        from_position := 0;
    end if;
    while from_position is null and before_segments > 0 and segments <= 4 loop
        select e.position
        into from_position
        from log.events e
        where e.tenant = of_tenant
            and e.stream = of_stream
            and e.version = first_version
            and e.position >= before_segments - segments * segment_positions
            and e.position < before_segments;
        before_segments := before_segments - segments * segment_positions;
        segments := 2 * segments;
    end loop;

    -- All segments are to be asked, so a plan that is kept does as well, and planning for so many takes longer than asking
    -- them. It is so until the function ends.
    if from_position is null then
        perform set_config('plan_cache_mode', 'force_generic_plan', true);
    end if;
    return query
    select e.position, e.partition, e.id, e.tenant, e.stream, e.version, e.type, e.schema_version, e.payload::text,
        e.tags, e.actor, e.command_id, e.correlation_id, e.causation_id, e.trace_context, e.occurred_at, e.recorded_at
    from log.events e
    where e.tenant = of_tenant
        and e.stream = of_stream
        and e.version >= first_version
        and e.version <= through_version
        and e.position >= coalesce(from_position, 0)
        and e.position <= through_position
    order by e.version;
end
$$;

revoke all on function log.read_stream from public;
grant execute on function log.read_stream to foldline_command, foldline_relay, foldline_projector;
