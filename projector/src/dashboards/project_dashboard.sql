-- The view `project_dashboard`: what the tasks of a project add up to.
--
-- A project's tasks lie in many partitions, and every row belongs to one: so a project has a partial row per
-- partition, of parts that can be added, and readers see their sums.

-- What each task adds to its partial row, so that a change can take it out again.
create table views.project_dashboard_task_v{version} (
    tenant text collate "C" not null,
    task_id uuid not null,
    project_id uuid not null,
    status text collate "C" not null,
    estimated_hundredths bigint,
    -- As the completion said; null while the task is not completed.
    actual_hundredths bigint,
    -- Of the last event that changed what the task adds.
    version bigint not null,
    position bigint not null,
    partition smallint not null,
    constraint project_dashboard_task_v{version}_pkey primary key (tenant, task_id),
    constraint project_dashboard_task_v{version}_status_known
        check (status in ('open', 'in_progress', 'completed', 'cancelled'))
) with (fillfactor = 80);

create table views.project_dashboard_v{version} (
    tenant text collate "C" not null,
    project_id uuid not null,
    partition smallint not null,
    total bigint not null,
    open bigint not null,
    in_progress bigint not null,
    completed bigint not null,
    cancelled bigint not null,
    -- Of every task that has an estimate, whatever its status.
    estimated_hundredths bigint not null,
    -- Of completed tasks.
    actual_hundredths bigint not null,
    -- Completed tasks that have actual hours and an estimate above 0, and the sum of their ratios actual / estimated,
    -- each in millionths, rounded half up before it is added: the mean is efficiency_micros / efficiency_count.
    efficiency_count bigint not null,
    efficiency_micros bigint not null,
    position bigint not null,
    constraint project_dashboard_v{version}_pkey primary key (tenant, project_id, partition),
    constraint project_dashboard_v{version}_adds_up check (total = open + in_progress + completed + cancelled)
) with (fillfactor = 50);

alter table views.project_dashboard_task_v{version} enable row level security;
alter table views.project_dashboard_v{version} enable row level security;

create policy project_dashboard_task_v{version}_of_one_tenant
    on views.project_dashboard_task_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

create policy project_dashboard_v{version}_of_one_tenant
    on views.project_dashboard_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector folds the events of every tenant.
create policy project_dashboard_task_v{version}_of_all_tenants
    on views.project_dashboard_task_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

create policy project_dashboard_v{version}_of_all_tenants
    on views.project_dashboard_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select
    on views.project_dashboard_task_v{version}, views.project_dashboard_v{version}
    to foldline_query;

grant select, insert, update, delete
    on views.project_dashboard_task_v{version}, views.project_dashboard_v{version}
    to foldline_projector;

-- readers: what follows is run when this version becomes the active one.

-- Sums of bigint are numeric, whose comparisons are not leakproof; the casts keep integers.
create or replace view views.project_dashboard with (security_invoker = true) as
select
    tenant,
    project_id,
    sum(total)::bigint as total,
    sum(open)::bigint as open,
    sum(in_progress)::bigint as in_progress,
    sum(completed)::bigint as completed,
    sum(cancelled)::bigint as cancelled,
    sum(estimated_hundredths)::bigint as estimated_hundredths,
    sum(actual_hundredths)::bigint as actual_hundredths,
    sum(efficiency_count)::bigint as efficiency_count,
    sum(efficiency_micros)::bigint as efficiency_micros,
    max(position) as position
from views.project_dashboard_v{version}
group by
    tenant,
    project_id;

grant select
    on views.project_dashboard
    to foldline_query;
