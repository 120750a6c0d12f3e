-- Appends a batch of an import into an empty log, with the recorded times that the import says.
--
-- An import is one transaction: its first call finds an empty log, every later one the end of what this transaction
-- itself has written, and anything else is refused. So there is never half an import, and a log that anybody has
-- written to is never touched. The lock of the log is held up to the transaction's end, as by `log.append`; versions and
-- recorded times are checked as strictly as they are made there. Nobody races, so there are no verdicts: what is wrong
-- raises.
--
-- Arrays of one prefix belong together, element by element. `event_commands` point to commands by their number from 1;
-- `event_writes` tell the streams of a command apart, from the one that its receipt speaks of. Events are in the order in
-- which they get their positions, all of a command together. Returns the new head.
create or replace function log.append_offline(
    after_position bigint,
    command_tenants text[],
    command_ids uuid[],
    command_input_hmacs bytea[],
    command_actors text[],
    command_correlation_ids uuid[],
    command_causation_ids uuid[],
    command_recorded_at timestamptz[],
    event_commands integer[],
    event_writes integer[],
    event_streams text[],
    event_partitions smallint[],
    event_versions bigint[],
    event_ids uuid[],
    event_types text[],
    event_schema_versions smallint[],
    event_payloads text[],
    event_tags text[],
    event_occurred_at timestamptz[]
)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
as $$
#variable_conflict use_column
declare
    head bigint;
    head_recorded_at timestamptz;
    segment_positions bigint;
    last_segment bigint;
    begun_here boolean;
    wrong record;
begin
    -- In any other isolation the statements below would see what was true before the lock was had.
    if current_setting('transaction_isolation') <> 'read committed' then
        raise exception 'log.append_offline needs read committed, not %', current_setting('transaction_isolation')
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

    -- Ours is what this very transaction has written from the first position on.
    select e.xmin = pg_current_xact_id()::xid
    into begun_here
    from log.events e
    order by e.position
    limit 1;
    if not coalesce(begun_here, after_position = 0) then
        raise exception 'this log is not empty: its head is at position %', head
            using errcode = 'object_not_in_prerequisite_state';
    end if;
    if head <> after_position then
        raise exception 'the import goes on after position %, and the head is at position %', after_position, head
            using errcode = 'object_not_in_prerequisite_state';
    end if;

    select c.n, c.recorded_at
    into wrong
    from (
        select u.n, u.recorded_at, lag(u.recorded_at, 1, head_recorded_at) over (order by u.n) as previous
        from unnest(command_recorded_at) with ordinality as u (recorded_at, n)
    ) as c
    where c.recorded_at is null
        or c.recorded_at < c.previous
        or c.recorded_at > clock_timestamp()
    limit 1;
    if found then
        raise exception 'command % of the batch is recorded at %: that is before the one before it, or yet to come',
            wrong.n, wrong.recorded_at
            using errcode = 'invalid_parameter_value';
    end if;

    select c.stream, c.version, c.due
    into wrong
    from (
        select e.stream, e.version,
            coalesce(s.version, 0) + row_number() over (partition by a.tenant, e.stream order by e.n) as due
        from unnest(event_commands, event_streams, event_versions) with ordinality as e (command, stream, version, n)
        join unnest(command_tenants) with ordinality as a (tenant, n) on a.n = e.command
        left join log.streams s on s.tenant = a.tenant and s.stream = e.stream
    ) as c
    where c.version <> c.due
    limit 1;
    if found then
        raise exception 'stream % is given version % where % is due', wrong.stream, wrong.version, wrong.due
            using errcode = 'invalid_parameter_value';
    end if;

    select c.segment_positions into strict segment_positions from log.cell c;
    last_segment := (head + cardinality(event_ids)) / segment_positions;
    if to_regclass('log.events_' || last_segment * segment_positions) is null then
        perform log.ensure_segments((last_segment - head / segment_positions)::integer);
    end if;

    with commands as (
        select c.n::integer as command, c.tenant, c.command_id, c.input_hmac, c.actor, c.correlation_id,
            c.causation_id, c.recorded_at
        from unnest(
            command_tenants, command_ids, command_input_hmacs, command_actors, command_correlation_ids,
            command_causation_ids, command_recorded_at
        ) with ordinality as c (
            tenant, command_id, input_hmac, actor, correlation_id, causation_id, recorded_at, n
        )
    ),
    placed as (
        select
            head + row_number() over (order by e.n) as position,
            e.command, e.write, e.stream, e.partition, e.version, c.tenant, c.actor, c.command_id, c.correlation_id,
            c.causation_id, c.recorded_at, e.id, e.type, e.schema_version, e.payload, e.tags, e.occurred_at
        from unnest(
            event_commands, event_writes, event_streams, event_partitions, event_versions, event_ids, event_types,
            event_schema_versions, event_payloads, event_tags, event_occurred_at
        ) with ordinality as e (
            command, write, stream, partition, version, id, type, schema_version, payload, tags, occurred_at, n
        )
        join commands c on c.command = e.command
    ),
    stored_events as (
        insert into log.events (
            position, partition, id, tenant, stream, version, type, schema_version, payload, tags, actor, command_id,
            correlation_id, causation_id, trace_context, occurred_at, recorded_at
        )
        select p.position, p.partition, p.id, p.tenant, p.stream, p.version, p.type, p.schema_version, p.payload::json,
            string_to_array(p.tags, chr(31)), p.actor, p.command_id, p.correlation_id, p.causation_id, null,
            p.occurred_at, p.recorded_at
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
        select p.command,
            (array_agg(p.stream order by p.write, p.version desc))[1] as stream,
            (array_agg(p.version order by p.write, p.version desc))[1] as version,
            max(p.position) as position,
            case when min(p.partition) = max(p.partition) then min(p.partition) end as partition
        from placed p
        group by p.command
    )
    insert into log.commands (tenant, command_id, input_hmac, stream, version, position, partition, recorded_at)
    select c.tenant, c.command_id, c.input_hmac, r.stream, r.version, r.position, r.partition, c.recorded_at
    from commands c
    join receipts r on r.command = c.command;

    insert into log.batches (last_position, recorded_at)
    values (head + cardinality(event_ids), command_recorded_at[cardinality(command_recorded_at)]);

    return head + cardinality(event_ids);
end
$$;

-- To nobody else: not even the command service may say when something was recorded.
revoke all on function log.append_offline from public;
