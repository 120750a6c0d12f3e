-- The view `task_history`: the recorded events of every task, for readers that cannot read the log.

create table views.task_history_v{version} (
    tenant text collate "C" not null,
    task_id uuid not null,
    version bigint not null,
    position bigint not null,
    event_id uuid not null,
    event_type text collate "C" not null,
    schema_version smallint not null,
    -- Byte for byte as it was recorded.
    payload text not null,
    actor text not null,
    command_id uuid not null,
    correlation_id uuid not null,
    causation_id uuid not null,
    occurred_at timestamptz not null,
    recorded_at timestamptz not null,
    partition smallint not null,
    constraint task_history_v{version}_pkey primary key (tenant, task_id, version)
);

alter table views.task_history_v{version} enable row level security;

create policy task_history_v{version}_of_one_tenant
    on views.task_history_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector folds the events of every tenant.
create policy task_history_v{version}_of_all_tenants
    on views.task_history_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select
    on views.task_history_v{version}
    to foldline_query;

grant select, insert, update, delete
    on views.task_history_v{version}
    to foldline_projector;

-- readers: what follows is run when this version becomes the active one.

drop view if exists views.task_history_at;

drop view if exists views.task_history;

create view views.task_history with (security_invoker = true) as
select
    tenant,
    task_id,
    version,
    position,
    event_id,
    event_type,
    schema_version,
    payload,
    actor,
    command_id,
    correlation_id,
    causation_id,
    occurred_at,
    recorded_at,
    partition
from views.task_history_v{version};

grant select
    on views.task_history
    to foldline_query, foldline_projector;

-- As of the position that the transaction names: see views.as_of().
create view views.task_history_at with (security_invoker = true) as
select
    tenant,
    task_id,
    version,
    position,
    event_id,
    event_type,
    schema_version,
    payload,
    actor,
    command_id,
    correlation_id,
    causation_id,
    occurred_at,
    recorded_at,
    partition
from views.task_history_v{version}
where position <= views.as_of();

grant select
    on views.task_history_at
    to foldline_query, foldline_projector;
