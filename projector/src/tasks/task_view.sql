-- The view `task_view`: one row per task, as its events up to `position` leave it.

create table views.task_view_v{version} (
    tenant text collate "C" not null,
    task_id uuid not null,
    project_id uuid not null,
    title text not null,
    priority text collate "C" not null,
    status text collate "C" not null,
    -- Hours of work, in hundredths, so that sums are exact.
    estimated_hundredths bigint,
    -- As the completion said; null while the task is not completed.
    actual_hundredths bigint,
    assignee_id uuid,
    labels text[] not null,
    metadata jsonb not null,
    -- An array of {"id", "content", "completedAt" or null}, in the order in which they were added.
    steps jsonb not null,
    steps_total integer not null,
    steps_completed integer not null,
    -- All of these are business time: the events' occurred_at.
    created_at timestamptz not null,
    started_at timestamptz,
    completed_at timestamptz,
    cancelled_at timestamptz,
    updated_at timestamptz not null,
    -- The stream's version and the log's position of the last event folded into this row.
    version bigint not null,
    position bigint not null,
    partition smallint not null,
    constraint task_view_v{version}_pkey primary key (tenant, task_id),
    constraint task_view_v{version}_priority_known check (priority in ('low', 'medium', 'high', 'critical')),
    constraint task_view_v{version}_status_known check (status in ('open', 'in_progress', 'completed', 'cancelled'))
) with (fillfactor = 70);

create index task_view_v{version}_by_creation
    on views.task_view_v{version} (tenant, created_at, task_id);

create index task_view_v{version}_by_project
    on views.task_view_v{version} (tenant, project_id, created_at, task_id);

alter table views.task_view_v{version} enable row level security;

create policy task_view_v{version}_of_one_tenant
    on views.task_view_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector folds the events of every tenant.
create policy task_view_v{version}_of_all_tenants
    on views.task_view_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select
    on views.task_view_v{version}
    to foldline_query;

grant select, insert, update, delete
    on views.task_view_v{version}
    to foldline_projector;

-- readers: what follows is run when this version becomes the active one.

create or replace view views.task_view with (security_invoker = true) as
select
    tenant,
    task_id,
    project_id,
    title,
    priority,
    status,
    estimated_hundredths,
    actual_hundredths,
    assignee_id,
    labels,
    metadata,
    steps,
    steps_total,
    steps_completed,
    created_at,
    started_at,
    completed_at,
    cancelled_at,
    updated_at,
    version,
    position,
    partition
from views.task_view_v{version};

grant select
    on views.task_view
    to foldline_query;
