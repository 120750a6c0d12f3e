-- The event log of one cell. Only `log.append` (events/log/sql/append.sql) writes events, streams, tags and commands.

do $$
declare
    service text;
begin
    -- Roles belong to the whole server; another database's migration may have made them, or be making them now.
    foreach service in array array['foldline_command', 'foldline_relay', 'foldline_projector', 'foldline_query'] loop
        begin
            execute format('create role %I nologin', service);
        exception when duplicate_object or unique_violation then
            null;
        end;
    end loop;
end
$$;

create schema log;

-- Which log this is. A cell has one row; another incarnation of the log has another epoch.
create table log.cell (
    one boolean not null default true,
    name text collate "C" not null,
    epoch uuid not null default gen_random_uuid(),
    -- How many positions a segment holds; segments are made of whole multiples of it.
    segment_positions bigint not null,
    created_at timestamptz not null default now(),
    constraint cell_pkey primary key (one),
    constraint cell_is_one check (one),
    constraint cell_name_is_a_topic_part check (name ~ '^[a-z0-9][a-z0-9-]{0,31}$'),
    constraint cell_segment_positions_are_positive check (segment_positions > 0)
);

create table log.events (
    position bigint not null,
    partition smallint not null,
    id uuid not null,
    tenant text collate "C" not null,
    stream text collate "C" not null,
    version bigint not null,
    type text collate "C" not null,
    schema_version smallint not null,
    -- Kept byte for byte: hashes and signatures depend on it.
    payload json not null,
    tags text[] not null,
    actor text not null,
    command_id uuid not null,
    correlation_id uuid not null,
    causation_id uuid not null,
    trace_context text,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    constraint events_pkey primary key (position)
) partition by range (position);

create index events_stream_idx on log.events (tenant, stream, version);

-- Finds the events of a tag: what guards and tag queries look at. One row per event and tag. The type is part of the
-- key because a guard asks for few types of a tag that many events carry, under the lock.
create table log.tags (
    tenant text collate "C" not null,
    tag text collate "C" not null,
    type text collate "C" not null,
    position bigint not null,
    constraint tags_pkey primary key (tenant, tag, type, position)
) partition by range (position);

-- One row per stream: what makes its versions contiguous and unique.
create table log.streams (
    tenant text collate "C" not null,
    stream text collate "C" not null,
    version bigint not null,
    last_position bigint not null,
    constraint streams_pkey primary key (tenant, stream)
) with (fillfactor = 70);

-- One row per accepted command: what makes a retry harmless.
create table log.commands (
    tenant text collate "C" not null,
    command_id uuid not null,
    input_hmac bytea not null,
    stream text collate "C" not null,
    version bigint not null,
    position bigint not null,
    -- Null when the command's events lie in several partitions.
    partition smallint,
    recorded_at timestamptz not null,
    constraint commands_pkey primary key (tenant, command_id)
);

-- How far the relay has carried the log to Kafka, and the last position it sent in each partition (index 1 is
-- partition 0): the predecessor of whatever comes next there.
create table log.relay (
    topic text collate "C" not null,
    mark bigint not null,
    event_id uuid not null,
    heads bigint[] not null,
    moved_at timestamptz not null,
    constraint relay_pkey primary key (topic),
    constraint relay_heads_cover_the_partitions check (cardinality(heads) = 32)
) with (fillfactor = 50);

grant usage on schema log to foldline_command, foldline_relay, foldline_projector, foldline_query;
grant select on log.cell to foldline_command, foldline_relay, foldline_projector, foldline_query;
grant select on log.events, log.tags, log.streams, log.commands to foldline_command;
grant select on log.events to foldline_relay, foldline_projector;
grant select, insert, update on log.relay to foldline_relay;

-- Tenants are kept apart in the database too. The policies for all tenants are the complete list of exceptions.
alter table log.events enable row level security;
create policy events_of_all_tenants_for_the_command_service on log.events for select to foldline_command using (true);
create policy events_of_all_tenants_for_the_relay on log.events for select to foldline_relay using (true);
create policy events_of_all_tenants_for_the_projector on log.events for select to foldline_projector using (true);
