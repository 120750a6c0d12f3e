-- States of long streams, so that a process that has not folded one yet need not begin with its first event. A cache: any
-- row may be deleted at any time, and costs a replay. So it is unlogged: writing it flushes nothing that appends would wait
-- for, and after a crash, on a replica that takes over and in a base backup it is empty.
create unlogged table log.snapshots (
    tenant text collate "C" not null,
    stream text collate "C" not null,
    -- What made the state of the events; another fold's states mean nothing to it.
    fold text collate "C" not null,
    -- The last event in it: one that the log holds elsewhere, or not at all, is of another history.
    version bigint not null,
    position bigint not null,
    event_id uuid not null,
    state bytea not null,
    -- SHA-256 of the state as it was given: what is damaged later may still be readable.
    digest bytea not null,
    kept_at timestamptz not null,
    constraint snapshots_pkey primary key (tenant, stream, fold)
);

grant select, insert, update, delete on log.snapshots to foldline_command;

alter table log.snapshots enable row level security;
create policy snapshots_of_all_tenants_for_the_command_service on log.snapshots
    to foldline_command using (true) with check (true);
