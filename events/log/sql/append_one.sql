-- Appends one event to one stream of known version: what an append that nobody else waits beside mostly is. The same as
-- `log.append` with a batch of one, without the arrays, whose cost nobody shares. Answers with the event's position, or
-- with null when anything stands in the way: then nothing was stored, and `log.append` says what it is.
create or replace function log.append_one(
    segment_positions bigint,
    this_tenant text,
    this_command_id uuid,
    input_hmac bytea,
    this_stream text,
    expected_version bigint,
    guard_tags text[],
    guard_types text[],
    guard_after bigint[],
    this_partition smallint,
    event_id uuid,
    event_type text,
    event_schema_version smallint,
    event_payload text,
    event_tags text[],
    actor text,
    correlation_id uuid,
    causation_id uuid,
    trace_context text,
    occurred_at timestamptz
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
-- As in `log.append`.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
#variable_conflict use_variable
declare
    this_position bigint;
    this_recorded_at timestamptz;
    guards_after bigint;
    guards_through bigint;
    stands_in_the_way boolean;
begin
    -- In any other isolation the statements below would see what was true before the lock was had.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'log.append_one needs read committed, not %', current_setting('transaction_isolation')
            using errcode = 'invalid_transaction_state';
    end if;

    if this_partition not between 0 and 31 then
        raise exception 'there is no partition %', this_partition
            using errcode = 'invalid_parameter_value';
    end if;

    -- The one lock of the log; its number is "fold" in ASCII.
    perform pg_advisory_xact_lock(1718578276);

    select b.last_position + 1, b.recorded_at,
        coalesce(
            (select s.version from log.streams s where s.tenant = this_tenant and s.stream = this_stream),
            0
        ) <> expected_version
        or exists (select from log.commands k where k.tenant = this_tenant and k.command_id = this_command_id)
    into this_position, this_recorded_at, stands_in_the_way
    from log.batches b
    order by b.last_position desc
    limit 1;

    -- The first append of a log goes the other way, and so does the first of a segment, which makes sure that there is one.
    if this_position is null or stands_in_the_way or this_position % segment_positions = 0 then
        return null;
    end if;
    if cardinality(guard_tags) > 0 then
        select min(g.after), max(g.after)
        into guards_after, guards_through
        from (select unnest(guard_after) as after) as g;
        if guards_through >= this_position then
            return null;
        end if;
        perform set_config(
            'plan_cache_mode', log.guards_plan(guards_after, this_position - 1, segment_positions), true
        );
        stands_in_the_way := exists (
            select
            from (select unnest(guard_tags) as tag, unnest(guard_types) as type, unnest(guard_after) as after) as g
            where (
                select true
                from log.tags t
                where t.tenant = this_tenant
                    and t.tag = g.tag
                    and t.type = g.type
                    and t.position > g.after
                    -- As in `log.append`.
                    and t.position > guards_after
                    and t.position < this_position
                limit 1
            )
        );
        if stands_in_the_way then
            return null;
        end if;
        perform set_config('plan_cache_mode', 'force_generic_plan', true);
    end if;
    this_recorded_at := greatest(clock_timestamp(), this_recorded_at);

    insert into log.events (
        position, partition, id, tenant, stream, version, type, schema_version, payload, tags, actor, command_id,
        correlation_id, causation_id, trace_context, occurred_at, recorded_at
    )
    values (
        this_position, this_partition, event_id, this_tenant, this_stream, expected_version + 1, event_type,
        event_schema_version, event_payload::json, event_tags, actor, this_command_id, correlation_id, causation_id,
        trace_context, occurred_at, this_recorded_at
    );

    if cardinality(event_tags) > 0 then
        insert into log.tags (tenant, tag, type, position)
        select this_tenant, unnest(event_tags), event_type, this_position;
    end if;

    if expected_version = 0 then
        insert into log.streams (tenant, stream, version, last_position)
        values (this_tenant, this_stream, 1, this_position);
    else
        update log.streams s
        set version = expected_version + 1, last_position = this_position
        where s.tenant = this_tenant
            and s.stream = this_stream;
    end if;

    insert into log.commands (tenant, command_id, input_hmac, stream, version, position, partition, recorded_at)
    values (
        this_tenant, this_command_id, input_hmac, this_stream, expected_version + 1, this_position, this_partition,
        this_recorded_at
    );

    insert into log.batches (last_position, recorded_at)
    values (this_position, this_recorded_at);

    return this_position;
end
$$;

revoke all on function log.append_one from public;
grant execute on function log.append_one to foldline_command;
