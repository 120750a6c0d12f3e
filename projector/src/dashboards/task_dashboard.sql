-- The view `task_dashboard`: how many tasks a project or an assignee has, in which status and priority, how their hours
-- compare with the estimates, and on which days they are created, completed and due. Partial rows: one per owner and
-- partition; readers see the sums.

create table views.task_dashboard_v{version} (
    tenant text collate "C" not null,
    -- Whose tasks: those of a project, or those that a person is responsible for.
    owner text collate "C" not null,
    owner_id uuid not null,
    partition smallint not null,
    total bigint not null,
    open bigint not null,
    in_progress bigint not null,
    blocked bigint not null,
    completed bigint not null,
    cancelled bigint not null,
    low bigint not null,
    medium bigint not null,
    high bigint not null,
    critical bigint not null,
    -- Of all tasks that have an estimate.
    estimated_hundredths bigint not null,
    -- Of all completed tasks that have actual hours.
    actual_hundredths bigint not null,
    -- Over completed tasks with actual hours and an estimate above 0: how many, and the sum of their actual / estimated,
    -- each in millionths, rounded half up.
    efficiency_count bigint not null,
    efficiency_micros bigint not null,
    -- Of the last event that changed these parts.
    position bigint not null,
    constraint task_dashboard_v{version}_pkey primary key (tenant, owner, owner_id, partition),
    constraint task_dashboard_v{version}_owner_known check (owner in ('project', 'assignee')),
    constraint task_dashboard_v{version}_adds_up check (
        total = open + in_progress + blocked + completed + cancelled
        and total = low + medium + high + critical
    )
) with (fillfactor = 50);

alter table views.task_dashboard_v{version} enable row level security;

create policy task_dashboard_v{version}_of_one_tenant
    on views.task_dashboard_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector folds the events of every tenant.
create policy task_dashboard_v{version}_of_all_tenants
    on views.task_dashboard_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select
    on views.task_dashboard_v{version}
    to foldline_query;

grant select, insert, update, delete
    on views.task_dashboard_v{version}
    to foldline_projector;

-- UTC days.
create table views.task_dashboard_day_v{version} (
    tenant text collate "C" not null,
    owner text collate "C" not null,
    owner_id uuid not null,
    day date not null,
    partition smallint not null,
    -- Tasks that were created on this day.
    created bigint not null,
    -- Tasks that are completed, and were so on this day.
    completed bigint not null,
    -- Tasks that are due on this day and neither completed nor cancelled.
    due bigint not null,
    position bigint not null,
    constraint task_dashboard_day_v{version}_pkey primary key (tenant, owner, owner_id, day, partition),
    constraint task_dashboard_day_v{version}_owner_known check (owner in ('project', 'assignee'))
) with (fillfactor = 70);

alter table views.task_dashboard_day_v{version} enable row level security;

create policy task_dashboard_day_v{version}_of_one_tenant
    on views.task_dashboard_day_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector folds the events of every tenant.
create policy task_dashboard_day_v{version}_of_all_tenants
    on views.task_dashboard_day_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select
    on views.task_dashboard_day_v{version}
    to foldline_query;

grant select, insert, update, delete
    on views.task_dashboard_day_v{version}
    to foldline_projector;

-- What each task adds at present, so that a change adds only the difference.
create table views.task_dashboard_task_v{version} (
    tenant text collate "C" not null,
    task_id uuid not null,
    project_id uuid not null,
    assignee_id uuid,
    status text collate "C" not null,
    priority text collate "C" not null,
    estimated_hundredths bigint,
    actual_hundredths bigint,
    due_date date,
    created_on date not null,
    completed_on date,
    deleted boolean not null,
    -- The position of the last event that changed any of this.
    position bigint not null,
    partition smallint not null,
    constraint task_dashboard_task_v{version}_pkey primary key (tenant, task_id)
) with (fillfactor = 70);

alter table views.task_dashboard_task_v{version} enable row level security;

-- The projector folds the events of every tenant; nobody else reads this.
create policy task_dashboard_task_v{version}_of_all_tenants
    on views.task_dashboard_task_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select, insert, update, delete
    on views.task_dashboard_task_v{version}
    to foldline_projector;

-- readers: what follows is run when this version becomes the active one.

drop view if exists views.project_dashboard;

create view views.project_dashboard with (security_invoker = true) as
select
    tenant,
    owner_id as project_id,
    sum(total)::bigint as total,
    sum(open)::bigint as open,
    sum(in_progress)::bigint as in_progress,
    sum(blocked)::bigint as blocked,
    sum(completed)::bigint as completed,
    sum(cancelled)::bigint as cancelled,
    sum(low)::bigint as low,
    sum(medium)::bigint as medium,
    sum(high)::bigint as high,
    sum(critical)::bigint as critical,
    sum(estimated_hundredths)::bigint as estimated_hundredths,
    sum(actual_hundredths)::bigint as actual_hundredths,
    sum(efficiency_count)::bigint as efficiency_count,
    sum(efficiency_micros)::bigint as efficiency_micros,
    max(position) as position
from views.task_dashboard_v{version}
where owner = 'project'
group by
    tenant,
    owner_id;

grant select
    on views.project_dashboard
    to foldline_query, foldline_projector;

drop view if exists views.project_dashboard_day;

create view views.project_dashboard_day with (security_invoker = true) as
select
    tenant,
    owner_id as project_id,
    day,
    sum(created)::bigint as created,
    sum(completed)::bigint as completed,
    sum(due)::bigint as due
from views.task_dashboard_day_v{version}
where owner = 'project'
group by
    tenant,
    owner_id,
    day;

grant select
    on views.project_dashboard_day
    to foldline_query, foldline_projector;

drop view if exists views.assignee_dashboard;

create view views.assignee_dashboard with (security_invoker = true) as
select
    tenant,
    owner_id as assignee_id,
    sum(total)::bigint as total,
    sum(open)::bigint as open,
    sum(in_progress)::bigint as in_progress,
    sum(blocked)::bigint as blocked,
    sum(completed)::bigint as completed,
    sum(cancelled)::bigint as cancelled,
    sum(low)::bigint as low,
    sum(medium)::bigint as medium,
    sum(high)::bigint as high,
    sum(critical)::bigint as critical,
    sum(estimated_hundredths)::bigint as estimated_hundredths,
    sum(actual_hundredths)::bigint as actual_hundredths,
    sum(efficiency_count)::bigint as efficiency_count,
    sum(efficiency_micros)::bigint as efficiency_micros,
    max(position) as position
from views.task_dashboard_v{version}
where owner = 'assignee'
group by
    tenant,
    owner_id;

grant select
    on views.assignee_dashboard
    to foldline_query, foldline_projector;

drop view if exists views.assignee_dashboard_day;

create view views.assignee_dashboard_day with (security_invoker = true) as
select
    tenant,
    owner_id as assignee_id,
    day,
    sum(created)::bigint as created,
    sum(completed)::bigint as completed,
    sum(due)::bigint as due
from views.task_dashboard_day_v{version}
where owner = 'assignee'
group by
    tenant,
    owner_id,
    day;

grant select
    on views.assignee_dashboard_day
    to foldline_query, foldline_projector;
