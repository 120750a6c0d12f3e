-- Appends a batch: decides each append as if they were executed one after another, and stores those that pass.
--
-- The one lock makes the log's order: it is taken before the head is read and held until commit, so whoever sees a
-- position sees everything below it. The caller puts no two appends into a batch that touch the same stream, command
-- id or guarded tag; then deciding them all on the state before the batch is the same as one after another.
--
-- Arrays of one prefix belong together, element by element. `write_appends` and `guard_appends` point to appends,
-- `event_writes` to writes, each by its number from 1; events are in the order in which they get their positions.
-- Expected versions: null is any, -1 is "exists", 0 is "no stream yet".
create or replace function log.append(
    append_tenants text[],
    append_command_ids uuid[],
    append_input_hmacs bytea[],
    append_actors text[],
    append_correlation_ids uuid[],
    append_causation_ids uuid[],
    append_trace_contexts text[],
    write_appends integer[],
    write_streams text[],
    write_partitions smallint[],
    write_expected bigint[],
    guard_appends integer[],
    guard_tags text[],
    guard_types text[],
    guard_after bigint[],
    event_writes integer[],
    event_ids uuid[],
    event_types text[],
    event_schema_versions smallint[],
    event_payloads text[],
    event_tags text[],
    event_occurred_at timestamptz[]
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
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
#variable_conflict use_column
declare
    head bigint;
    head_recorded_at timestamptz;
    this_recorded_at timestamptz;
    segment_positions bigint;
    last_segment bigint;
begin
    -- In any other isolation the statements below would see what was true before the lock was had.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'log.append needs read committed, not %', current_setting('transaction_isolation')
            using errcode = 'invalid_transaction_state';
    end if;

    -- The one lock of the log; its number is "fold" in ASCII.
    perform pg_advisory_xact_lock(1718578276);

    select e.position, e.recorded_at
    into head, head_recorded_at
    from log.events e
    order by e.position desc
    limit 1;

    head := coalesce(head, 0);
    this_recorded_at := greatest(clock_timestamp(), head_recorded_at);

    -- Segments are made ahead, by the relay and by every migration. Where nobody did, an append must not fail for it.
    select c.segment_positions into strict segment_positions from log.cell c;
    last_segment := (head + cardinality(event_ids)) / segment_positions;
    if to_regclass('log.events_' || last_segment * segment_positions) is null then
        perform log.ensure_segments((last_segment - head / segment_positions)::integer);
    end if;

    return query
    with appends as (
        select a.n::integer as append, a.tenant, a.command_id, a.input_hmac, a.actor, a.correlation_id,
            a.causation_id, a.trace_context
        from unnest(
            append_tenants, append_command_ids, append_input_hmacs, append_actors, append_correlation_ids,
            append_causation_ids, append_trace_contexts
        ) with ordinality as a (
            tenant, command_id, input_hmac, actor, correlation_id, causation_id, trace_context, n
        )
    ),
    writes as (
        select w.n::integer as write, w.append, a.tenant, w.stream, w.partition, w.expected,
            coalesce(s.version, 0) as version
        from unnest(write_appends, write_streams, write_partitions, write_expected)
            with ordinality as w (append, stream, partition, expected, n)
        join appends a on a.append = w.append
        left join log.streams s on s.tenant = a.tenant and s.stream = w.stream
    ),
    conflicts as (
        select distinct on (w.append) w.append, w.stream, w.version
        from writes w
        where w.expected is not null
            and w.version <> w.expected
            and not (w.expected = -1 and w.version > 0)
        order by w.append, w.write
    ),
    guarded as (
        select g.append, max(t.position) as position
        from unnest(guard_appends, guard_tags, guard_types, guard_after) as g (append, tag, types, after)
        join appends a on a.append = g.append
        cross join lateral unnest(string_to_array(g.types, ',')) as excluded_type
        -- One entry of the index for each: as a plain join, all events with the tag would be read, of whatever type.
        cross join lateral (
            select t.position
            from log.tags t
            where t.tenant = a.tenant
                and t.tag = g.tag
                and t.type = excluded_type
                and t.position > g.after
            order by t.position desc
            limit 1
        ) t
        group by g.append
    ),
    verdicts as (
        select a.*,
            case
                when k.input_hmac = a.input_hmac then 'known'
                when k.command_id is not null then 'input_differs'
                when c.append is not null then 'conflict'
                when g.append is not null then 'guarded'
                else 'appended'
            end as verdict,
            coalesce(k.stream, c.stream) as stream,
            coalesce(k.version, c.version) as version,
            coalesce(k.position, g.position) as position,
            k.partition
        from appends a
        left join log.commands k on k.tenant = a.tenant and k.command_id = a.command_id
        left join conflicts c on c.append = a.append
        left join guarded g on g.append = a.append
    ),
    placed as (
        select
            head + row_number() over (order by e.n) as position,
            w.version + row_number() over (partition by e.write order by e.n) as version,
            w.append, w.write, w.stream, w.partition, v.tenant, v.actor, v.command_id, v.correlation_id,
            v.causation_id, v.trace_context, e.id, e.type, e.schema_version, e.payload, e.tags, e.occurred_at
        from unnest(
            event_writes, event_ids, event_types, event_schema_versions, event_payloads, event_tags, event_occurred_at
        ) with ordinality as e (write, id, type, schema_version, payload, tags, occurred_at, n)
        join writes w on w.write = e.write
        join verdicts v on v.append = w.append and v.verdict = 'appended'
    ),
    stored_events as (
        insert into log.events (
            position, partition, id, tenant, stream, version, type, schema_version, payload, tags, actor, command_id,
            correlation_id, causation_id, trace_context, occurred_at, recorded_at
        )
        select p.position, p.partition, p.id, p.tenant, p.stream, p.version, p.type, p.schema_version, p.payload::json,
            string_to_array(p.tags, chr(31)), p.actor, p.command_id, p.correlation_id, p.causation_id,
            p.trace_context, p.occurred_at, this_recorded_at
        from placed p
        order by p.position
    ),
    stored_tags as (
        insert into log.tags (tenant, tag, type, position)
        select distinct p.tenant, tag, p.type, p.position
        from placed p
        cross join lateral unnest(string_to_array(p.tags, chr(31))) as tag
    ),
    stored_streams as (
        insert into log.streams (tenant, stream, version, last_position)
        select p.tenant, p.stream, max(p.version), max(p.position)
        from placed p
        group by p.tenant, p.stream
        order by p.tenant, p.stream
        on conflict on constraint streams_pkey do update
        set version = excluded.version, last_position = excluded.last_position
    ),
    receipts as (
        select p.append,
            (array_agg(p.stream order by p.write, p.version desc))[1] as stream,
            (array_agg(p.version order by p.write, p.version desc))[1] as version,
            max(p.position) as position,
            case when min(p.partition) = max(p.partition) then min(p.partition) end as partition
        from placed p
        group by p.append
    ),
    stored_commands as (
        insert into log.commands (tenant, command_id, input_hmac, stream, version, position, partition, recorded_at)
        select v.tenant, v.command_id, v.input_hmac, r.stream, r.version, r.position, r.partition, this_recorded_at
        from verdicts v
        join receipts r on r.append = v.append
    )
    select v.append, v.verdict, coalesce(r.stream, v.stream), coalesce(r.version, v.version),
        coalesce(r.position, v.position), coalesce(r.partition, v.partition)
    from verdicts v
    left join receipts r on r.append = v.append
    order by v.append;
end
$$;

revoke all on function log.append from public;
grant execute on function log.append to foldline_command;
