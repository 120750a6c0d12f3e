-- Appends a batch: decides each append as if they were executed one after another, and stores them all or, when any is
-- refused, none.
--
-- The one lock makes the log's order: it is taken before the head is read and held until commit, so whoever sees a
-- position sees everything below it. The caller puts no two appends into a batch that touch the same stream, command
-- id or guarded tag; then deciding them all on the state before the batch is the same as one after another. Where some
-- are refused, the caller answers those and sends the others again: that costs it one more call without a flush, and
-- spares every other batch the sorting out.
--
-- Arrays of one prefix belong together, element by element. `write_appends` and `guard_appends` point to appends,
-- `event_writes` and `append_writes` to writes, each by its number from 1. Events are in the order in which they get
-- their positions; an offset is an event's place in that order, from 1. What the caller knows as well is not worked out
-- here, because everybody waits for the lock: a caller that says wrong things appends wrong things, and reaches nothing that
-- was appended before.
--
-- Expected versions: null is any, -1 is "exists", 0 is "no stream yet". A guard has one element for each of its types: its
-- first tag in `guard_tags`, and where it has several, the others in `guard_other_tags`, separated by chr(31). That array
-- may be shorter than the others, and a process of the build before, which knows no such guards, does not send it.
--
-- Answers with the head before the batch and the versions that the writes found, from which the caller knows every
-- receipt; or with `refused_…`, in which case nothing was stored.
create or replace function log.append(
    segment_positions bigint,
    append_tenants text[],
    append_command_ids uuid[],
    append_input_hmacs bytea[],
    append_streams text[],
    append_writes integer[],
    append_last_offsets integer[],
    append_partitions smallint[],
    write_appends integer[],
    write_tenants text[],
    write_streams text[],
    write_expected bigint[],
    write_event_counts integer[],
    write_last_offsets integer[],
    guard_appends integer[],
    guard_tenants text[],
    guard_tags text[],
    guard_types text[],
    guard_after bigint[],
    event_writes integer[],
    event_numbers integer[],
    event_partitions smallint[],
    event_ids uuid[],
    event_tenants text[],
    event_streams text[],
    event_types text[],
    event_schema_versions smallint[],
    event_payloads text[],
    event_tags text[],
    event_actors text[],
    event_command_ids uuid[],
    event_correlation_ids uuid[],
    event_causation_ids uuid[],
    event_trace_contexts text[],
    event_occurred_at timestamptz[],
    tag_offsets integer[],
    tag_tenants text[],
    tag_tags text[],
    tag_types text[],
    guard_other_tags text[] default null,
    out head bigint,
    out versions bigint[],
    out refused_appends integer[],
    out refused_verdicts text[],
    out refused_streams text[],
    out refused_versions bigint[],
    out refused_positions bigint[],
    out refused_partitions smallint[]
)
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
-- Every statement below finds its rows by index. The plans are made once in a connection, perhaps while the tables are
-- still empty, when reading them whole looks cheap.
set plan_cache_mode = force_generic_plan
set enable_seqscan = off
set enable_hashjoin = off
set enable_mergejoin = off
set jit = off
as $$
#variable_conflict use_column
declare
    head_recorded_at timestamptz;
    this_recorded_at timestamptz;
    event_count integer := cardinality(event_ids);
    guards_after bigint;
    guards_through bigint;
    suspect boolean;
begin
    -- In any other isolation the statements below would see what was true before the lock was had.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'log.append needs read committed, not %', current_setting('transaction_isolation')
            using errcode = 'invalid_transaction_state';
    end if;

    -- Whoever counts wrongly must not reach what is there already.
    if 1 > any (event_numbers)
        or 0 > any (event_partitions)
        or 31 < any (event_partitions)
        or 0 > any (write_event_counts)
        or 0 > any (write_last_offsets)
        or event_count < any (write_last_offsets)
        or 1 > any (append_last_offsets)
        or event_count < any (append_last_offsets)
        or 1 > any (tag_offsets)
        or event_count < any (tag_offsets)
    then
        raise exception 'a number, count, offset or partition of a batch of % events is out of its range', event_count
            using errcode = 'invalid_parameter_value';
    end if;

    -- The one lock of the log; its number is "fold" in ASCII.
    perform pg_advisory_xact_lock(1718578276);

    select b.last_position, b.recorded_at
    into head, head_recorded_at
    from log.batches b
    order by b.last_position desc
    limit 1;

    head := coalesce(head, 0);
    this_recorded_at := greatest(clock_timestamp(), head_recorded_at);

    versions := array(
        select coalesce((select s.version from log.streams s where s.tenant = w.tenant and s.stream = w.stream), 0)
        from (select unnest(write_tenants) as tenant, unnest(write_streams) as stream) as w
    );

    -- Most name a version, and have found it. Any version, and "exists", are other than the one found, and yet right.
    suspect := versions <> write_expected and exists (
        select
        from (select unnest(versions) as version, unnest(write_expected) as expected) as w
        where w.expected is not null
            and w.version <> w.expected
            and not (w.expected = -1 and w.version > 0)
    );
    suspect := suspect or exists (
        select
        from (select unnest(append_tenants) as tenant, unnest(append_command_ids) as command_id) as a
        where (select true from log.commands k where k.tenant = a.tenant and k.command_id = a.command_id)
    );
    if cardinality(guard_appends) > 0 and not suspect then
        select min(g.after), max(g.after)
        into guards_after, guards_through
        from (select unnest(guard_after) as after) as g;
        -- Whoever has read on to there has read another log: what the guard excludes may have come below it.
        if guards_through > head then
            raise exception 'a guard names position %, and the head is %', guards_through, head
                using errcode = 'FLD01', detail = guards_through || ' ' || head;
        end if;
        perform set_config('plan_cache_mode', log.guards_plan(guards_after, head, segment_positions), true);
        suspect := exists (
            select
            from (
                select unnest(guard_tenants) as tenant, unnest(guard_tags) as tag, unnest(guard_types) as type,
                    unnest(guard_after) as after
            ) as g
            where (
                select true
                from log.tags t
                where t.tenant = g.tenant
                    and t.tag = g.tag
                    and t.type = g.type
                    and t.position > g.after
                    -- Which segments these lie in, said in a way that a plan can see.
                    and t.position > guards_after
                    and t.position <= head
                limit 1
            )
        );
        perform set_config('plan_cache_mode', 'force_generic_plan', true);
        -- Of a guard with several tags, that was the first alone.
        if suspect and cardinality(guard_other_tags) > 0 then
            suspect := exists (
                select
                from (
                    select unnest(guard_tenants) as tenant, unnest(guard_tags) as tag, unnest(guard_types) as type,
                        unnest(guard_after) as after, unnest(guard_other_tags) as other_tags
                ) as g
                where log.newest_tagged(
                    g.tenant, array_prepend(g.tag, string_to_array(g.other_tags, chr(31))), g.type, g.after
                ) is not null
            );
        end if;
    end if;

    if suspect then
        select array_agg(v.append), array_agg(v.verdict), array_agg(v.stream), array_agg(v.version),
            array_agg(v.position), array_agg(v.partition)
        into refused_appends, refused_verdicts, refused_streams, refused_versions, refused_positions,
            refused_partitions
        from log.refusals(
            append_tenants, append_command_ids, append_input_hmacs, write_appends, write_streams, write_expected,
            versions, guard_appends, guard_tenants, guard_tags, guard_types, guard_after, guard_other_tags
        ) as v;
        if refused_appends is not null then
            return;
        end if;
    end if;

    -- Segments are made ahead, by the relay and by every migration. Where nobody did, an append must not fail for it.
    if head = 0 or head / segment_positions <> (head + event_count) / segment_positions then
        perform log.ensure_segments(((head + event_count) / segment_positions - head / segment_positions)::integer);
    end if;

    insert into log.events (
        position, partition, id, tenant, stream, version, type, schema_version, payload, tags, actor, command_id,
        correlation_id, causation_id, trace_context, occurred_at, recorded_at
    )
    select head + e.n, e.partition, e.id, e.tenant, e.stream, versions[e.write] + e.number, e.type, e.schema_version,
        e.payload::json, string_to_array(e.tags, chr(31)), e.actor, e.command_id, e.correlation_id, e.causation_id,
        e.trace_context, e.occurred_at, this_recorded_at
    from (
        select generate_series(1, event_count) as n, unnest(event_writes) as write, unnest(event_numbers) as number,
            unnest(event_partitions) as partition, unnest(event_ids) as id, unnest(event_tenants) as tenant,
            unnest(event_streams) as stream, unnest(event_types) as type,
            unnest(event_schema_versions) as schema_version, unnest(event_payloads) as payload,
            unnest(event_tags) as tags, unnest(event_actors) as actor, unnest(event_command_ids) as command_id,
            unnest(event_correlation_ids) as correlation_id, unnest(event_causation_ids) as causation_id,
            unnest(event_trace_contexts) as trace_context, unnest(event_occurred_at) as occurred_at
    ) as e;

    insert into log.tags (tenant, tag, type, position)
    select t.tenant, t.tag, t.type, head + t.after_head
    from (
        select unnest(tag_tenants) as tenant, unnest(tag_tags) as tag, unnest(tag_types) as type,
            unnest(tag_offsets) as after_head
    ) as t;

    if 0 = any (versions) then
        insert into log.streams (tenant, stream, version, last_position)
        select w.tenant, w.stream, w.event_count, head + w.last_offset
        from (
            select unnest(write_tenants) as tenant, unnest(write_streams) as stream, unnest(versions) as version,
                unnest(write_event_counts) as event_count, unnest(write_last_offsets) as last_offset
        ) as w
        where w.version = 0
            and w.event_count > 0;
    end if;

    if 0 < any (versions) then
        update log.streams s
        set version = w.version + w.event_count, last_position = head + w.last_offset
        from (
            select unnest(write_tenants) as tenant, unnest(write_streams) as stream, unnest(versions) as version,
                unnest(write_event_counts) as event_count, unnest(write_last_offsets) as last_offset
        ) as w
        where s.tenant = w.tenant
            and s.stream = w.stream
            and w.version > 0
            and w.event_count > 0;
    end if;

    insert into log.commands (tenant, command_id, input_hmac, stream, version, position, partition, recorded_at)
    select a.tenant, a.command_id, a.input_hmac, a.stream, versions[a.write] + write_event_counts[a.write],
        head + a.last_offset, a.partition, this_recorded_at
    from (
        select unnest(append_tenants) as tenant, unnest(append_command_ids) as command_id,
            unnest(append_input_hmacs) as input_hmac, unnest(append_streams) as stream,
            unnest(append_writes) as write, unnest(append_last_offsets) as last_offset, unnest(append_partitions) as partition
    ) as a;

    insert into log.batches (last_position, recorded_at)
    values (head + event_count, this_recorded_at);
end
$$;

revoke all on function log.append from public;
grant execute on function log.append to foldline_command;
