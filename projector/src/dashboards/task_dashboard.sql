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
    -- Of the last event that changed what a task adds to these parts, or to those by days.
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

-- For readers as of a position: what is summed at present, they sum themselves.
create index task_dashboard_task_v{version}_by_project
    on views.task_dashboard_task_v{version} (tenant, project_id);

create index task_dashboard_task_v{version}_by_assignee
    on views.task_dashboard_task_v{version} (tenant, assignee_id)
    where assignee_id is not null;

alter table views.task_dashboard_task_v{version} enable row level security;

create policy task_dashboard_task_v{version}_of_one_tenant
    on views.task_dashboard_task_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector folds the events of every tenant.
create policy task_dashboard_task_v{version}_of_all_tenants
    on views.task_dashboard_task_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select
    on views.task_dashboard_task_v{version}
    to foldline_query;

grant select, insert, update, delete
    on views.task_dashboard_task_v{version}
    to foldline_projector;

-- What each task added before, one row per change: a row holds from its position on, until the next.
create table views.task_dashboard_task_past_v{version} (
    like views.task_dashboard_task_v{version},
    -- The position of the event that ended it.
    until bigint not null,
    constraint task_dashboard_task_past_v{version}_pkey primary key (tenant, task_id, position),
    constraint task_dashboard_task_past_v{version}_ends check (until > position)
);

create index task_dashboard_task_past_v{version}_by_project
    on views.task_dashboard_task_past_v{version} (tenant, project_id);

create index task_dashboard_task_past_v{version}_by_assignee
    on views.task_dashboard_task_past_v{version} (tenant, assignee_id)
    where assignee_id is not null;

-- For whoever clears away what ended long ago. By an expression, so that no statement of a reader is planned by it.
create index task_dashboard_task_past_v{version}_by_end
    on views.task_dashboard_task_past_v{version} ((until + 0));

alter table views.task_dashboard_task_past_v{version} enable row level security;

create policy task_dashboard_task_past_v{version}_of_one_tenant
    on views.task_dashboard_task_past_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector folds the events of every tenant.
create policy task_dashboard_task_past_v{version}_of_all_tenants
    on views.task_dashboard_task_past_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select
    on views.task_dashboard_task_past_v{version}
    to foldline_query;

grant select, insert, update, delete
    on views.task_dashboard_task_past_v{version}
    to foldline_projector;

-- readers: what follows is run when this version becomes the active one.

drop view if exists views.project_dashboard_at;

drop view if exists views.project_dashboard_day_at;

drop view if exists views.assignee_dashboard_at;

drop view if exists views.assignee_dashboard_day_at;

drop view if exists views.task_dashboard_task_at;

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

-- As of the position that the transaction names (see views.as_of()), summed from what each task added: what it adds at that
-- position, and up to there who it ever added to, because that says when the sums last changed.

create view views.task_dashboard_task_at with (security_invoker = true) as
select
    tenant,
    task_id,
    project_id,
    assignee_id,
    status,
    priority,
    estimated_hundredths,
    actual_hundredths,
    due_date,
    created_on,
    completed_on,
    deleted,
    position,
    partition,
    -- When it was last changed up to there.
    case when until <= views.as_of() then until else position end as changed,
    until > views.as_of() as holds
from (
    select
        tenant,
        task_id,
        project_id,
        assignee_id,
        status,
        priority,
        estimated_hundredths,
        actual_hundredths,
        due_date,
        created_on,
        completed_on,
        deleted,
        position,
        partition,
        9223372036854775807 as until
    from views.task_dashboard_task_v{version}
    union all
    select
        tenant,
        task_id,
        project_id,
        assignee_id,
        status,
        priority,
        estimated_hundredths,
        actual_hundredths,
        due_date,
        created_on,
        completed_on,
        deleted,
        position,
        partition,
        until
    from views.task_dashboard_task_past_v{version}
) as ever
where position <= views.as_of()
    and views.keeps('task_dashboard');

grant select
    on views.task_dashboard_task_at
    to foldline_query, foldline_projector;

create view views.project_dashboard_at with (security_invoker = true) as
select
    tenant,
    project_id,
    count(*) filter (where holds and not deleted) as total,
    count(*) filter (where holds and not deleted and status = 'open') as open,
    count(*) filter (where holds and not deleted and status = 'in_progress') as in_progress,
    count(*) filter (where holds and not deleted and status = 'blocked') as blocked,
    count(*) filter (where holds and not deleted and status = 'completed') as completed,
    count(*) filter (where holds and not deleted and status = 'cancelled') as cancelled,
    count(*) filter (where holds and not deleted and priority = 'low') as low,
    count(*) filter (where holds and not deleted and priority = 'medium') as medium,
    count(*) filter (where holds and not deleted and priority = 'high') as high,
    count(*) filter (where holds and not deleted and priority = 'critical') as critical,
    sum(estimated_hundredths) filter (where holds and not deleted)::bigint as estimated_hundredths,
    sum(actual_hundredths) filter (where holds and not deleted)::bigint as actual_hundredths,
    count(*) filter (where holds and not deleted and actual_hundredths is not null and estimated_hundredths > 0) as efficiency_count,
    sum((2000000 * actual_hundredths + estimated_hundredths) / (2 * estimated_hundredths)) filter (
        where holds and not deleted and actual_hundredths is not null and estimated_hundredths > 0
    )::bigint as efficiency_micros,
    max(changed) as position
from views.task_dashboard_task_at
group by
    tenant,
    project_id;

grant select
    on views.project_dashboard_at
    to foldline_query, foldline_projector;

create view views.project_dashboard_day_at with (security_invoker = true) as
select
    task.tenant,
    task.project_id,
    happens.day,
    sum(happens.created) as created,
    sum(happens.completed) as completed,
    sum(happens.due) as due
from views.task_dashboard_task_at task
cross join lateral (
    values
        (task.created_on, 1, 0, 0),
        (task.completed_on, 0, 1, 0),
        (case when task.status in ('open', 'in_progress', 'blocked') then task.due_date end, 0, 0, 1)
) as happens (day, created, completed, due)
where task.holds
    and not task.deleted
    and happens.day is not null
group by
    task.tenant,
    task.project_id,
    happens.day;

grant select
    on views.project_dashboard_day_at
    to foldline_query, foldline_projector;

create view views.assignee_dashboard_at with (security_invoker = true) as
select
    tenant,
    assignee_id,
    count(*) filter (where holds and not deleted) as total,
    count(*) filter (where holds and not deleted and status = 'open') as open,
    count(*) filter (where holds and not deleted and status = 'in_progress') as in_progress,
    count(*) filter (where holds and not deleted and status = 'blocked') as blocked,
    count(*) filter (where holds and not deleted and status = 'completed') as completed,
    count(*) filter (where holds and not deleted and status = 'cancelled') as cancelled,
    count(*) filter (where holds and not deleted and priority = 'low') as low,
    count(*) filter (where holds and not deleted and priority = 'medium') as medium,
    count(*) filter (where holds and not deleted and priority = 'high') as high,
    count(*) filter (where holds and not deleted and priority = 'critical') as critical,
    sum(estimated_hundredths) filter (where holds and not deleted)::bigint as estimated_hundredths,
    sum(actual_hundredths) filter (where holds and not deleted)::bigint as actual_hundredths,
    count(*) filter (where holds and not deleted and actual_hundredths is not null and estimated_hundredths > 0) as efficiency_count,
    sum((2000000 * actual_hundredths + estimated_hundredths) / (2 * estimated_hundredths)) filter (
        where holds and not deleted and actual_hundredths is not null and estimated_hundredths > 0
    )::bigint as efficiency_micros,
    max(changed) as position
from views.task_dashboard_task_at
where assignee_id is not null
group by
    tenant,
    assignee_id;

grant select
    on views.assignee_dashboard_at
    to foldline_query, foldline_projector;

create view views.assignee_dashboard_day_at with (security_invoker = true) as
select
    task.tenant,
    task.assignee_id,
    happens.day,
    sum(happens.created) as created,
    sum(happens.completed) as completed,
    sum(happens.due) as due
from views.task_dashboard_task_at task
cross join lateral (
    values
        (task.created_on, 1, 0, 0),
        (task.completed_on, 0, 1, 0),
        (case when task.status in ('open', 'in_progress', 'blocked') then task.due_date end, 0, 0, 1)
) as happens (day, created, completed, due)
where task.holds
    and not task.deleted
    and happens.day is not null
    and task.assignee_id is not null
group by
    task.tenant,
    task.assignee_id,
    happens.day;

grant select
    on views.assignee_dashboard_day_at
    to foldline_query, foldline_projector;
