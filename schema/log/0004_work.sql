-- What the worker has to do, and how far its reactions have read. It lies beside the log, so that a backup has both as of the
-- same moment. Only the worker (command/src/worker.rs) reads and writes here.

do $$
begin
    -- Roles belong to the whole server; another database's migration may have made it, or be making it now.
    create role foldline_worker nologin;
exception when duplicate_object or unique_violation then
    null;
end
$$;

create schema work;

-- One row per job that is not done yet: it waits for its time, is under way, or is parked.
create table work.jobs (
    -- Always the same for the same cause, and the command id of what it asks for: ordered twice, it is done once.
    job_id uuid not null,
    kind text collate "C" not null,
    -- What it asks for, where it is a command: null for what concerns no tenant.
    tenant text collate "C",
    aggregate uuid,
    input json not null,
    correlation_id uuid,
    causation_id uuid,
    trace_context text collate "C",
    ordered_at timestamptz not null default now(),
    -- Not before; later after a failure.
    run_at timestamptz not null,
    -- How often it was begun. Who began it last is the only one who may say how it ended.
    attempts integer not null default 0,
    -- Until then it is left to whoever runs it, and says so again and again.
    taken_until timestamptz,
    failure text,
    parked_at timestamptz,
    constraint jobs_pkey primary key (job_id),
    constraint jobs_of_a_tenant_name_an_aggregate check ((tenant is null) = (aggregate is null))
);

create index jobs_due_idx on work.jobs (kind, run_at) where parked_at is null;
create index jobs_parked_idx on work.jobs (parked_at) where parked_at is not null;

-- Every event up to here was answered by the reaction.
create table work.reactions (
    name text collate "C" not null,
    position bigint not null,
    moved_at timestamptz not null default now(),
    constraint reactions_pkey primary key (name),
    constraint reactions_position_is_one check (position >= 0)
) with (fillfactor = 50);

-- The last instant of a schedule whose job was ordered.
create table work.schedules (
    name text collate "C" not null,
    last_at timestamptz not null,
    constraint schedules_pkey primary key (name)
);

grant usage on schema work to foldline_worker;
grant select, insert, update, delete on work.jobs to foldline_worker;
grant select, insert, update on work.reactions, work.schedules to foldline_worker;

alter table work.jobs enable row level security;
create policy jobs_of_all_tenants_for_the_worker on work.jobs
    to foldline_worker using (true) with check (true);

-- Housekeeping: states that nobody has written anew for long.
grant usage on schema log to foldline_worker;
grant select (tenant, stream, fold, kept_at), delete on log.snapshots to foldline_worker;
create policy snapshots_of_all_tenants_for_the_worker on log.snapshots
    for delete to foldline_worker using (true);
create policy snapshots_of_all_tenants_are_seen_by_the_worker on log.snapshots
    for select to foldline_worker using (true);
