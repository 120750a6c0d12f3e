-- The view `task_view`: one row per task, as its events up to `position` leave it; its comments; and by which labels and
-- free-form facts it is found.

create table views.task_view_v{version} (
    tenant text collate "C" not null,
    task_id uuid not null,
    project_id uuid not null,
    -- Not unique here: while one task gives a key back and another takes it, either may be folded first.
    key text collate "C",
    title text not null,
    description text,
    priority text collate "C" not null,
    -- 1 is low, 4 is critical: for lists in this order.
    priority_rank smallint not null,
    status text collate "C" not null,
    -- Only while the task is blocked.
    blocked_reason text,
    -- Hours of work, in hundredths, so that sums are exact.
    estimated_hundredths bigint,
    -- As the completion said; null while the task is not completed.
    actual_hundredths bigint,
    -- A UTC day.
    due_date date,
    -- The due date, or a day after all due dates where there is none: for lists in this order.
    due_rank date not null,
    assignee_id uuid,
    -- In the order in which they were added.
    labels text[] not null,
    metadata jsonb not null,
    -- An array of {"id", "content", "completedAt" or null}, in the order in which they were added.
    steps jsonb not null,
    steps_total integer not null,
    steps_completed integer not null,
    comments_total integer not null,
    review_status text collate "C" not null,
    -- From the request until there is a verdict: approved, or changes wanted.
    review_needed boolean not null,
    review_at timestamptz,
    review_summary text,
    -- The actor of the first event.
    created_by text not null,
    -- All of these, and review_at, are business time: the events' occurred_at.
    created_at timestamptz not null,
    started_at timestamptz,
    -- Only while the task is blocked.
    blocked_at timestamptz,
    completed_at timestamptz,
    cancelled_at timestamptz,
    -- Only while the task is deleted: then it is in no list and in no sum.
    deleted_at timestamptz,
    updated_at timestamptz not null,
    -- The stream's version and the log's position of the last event folded into this row.
    version bigint not null,
    position bigint not null,
    partition smallint not null,
    constraint task_view_v{version}_pkey primary key (tenant, task_id),
    constraint task_view_v{version}_priority_known check (priority in ('low', 'medium', 'high', 'critical')),
    constraint task_view_v{version}_status_known
        check (status in ('open', 'in_progress', 'blocked', 'completed', 'cancelled')),
    constraint task_view_v{version}_review_status_known
        check (review_status in ('none', 'requested', 'in_progress', 'approved', 'changes_wanted', 'failed'))
) with (fillfactor = 70);

-- With what most tasks have in common, so that those are counted without a look at the rows.
create index task_view_v{version}_by_creation
    on views.task_view_v{version} (tenant, created_at, task_id) include (review_needed)
    where deleted_at is null;

create index task_view_v{version}_by_project
    on views.task_view_v{version} (tenant, project_id, created_at, task_id)
    where deleted_at is null;

create index task_view_v{version}_by_status
    on views.task_view_v{version} (tenant, status, created_at, task_id)
    where deleted_at is null;

create index task_view_v{version}_by_assignee
    on views.task_view_v{version} (tenant, assignee_id, created_at, task_id)
    where deleted_at is null;

create index task_view_v{version}_by_priority
    on views.task_view_v{version} (tenant, priority_rank, created_at, task_id)
    where deleted_at is null;

create index task_view_v{version}_by_due_date
    on views.task_view_v{version} (tenant, due_rank, created_at, task_id)
    where deleted_at is null;

-- What is overdue is counted without a look at the rows.
create index task_view_v{version}_overdue
    on views.task_view_v{version} (tenant, due_rank, created_at, task_id)
    where deleted_at is null and status in ('open', 'in_progress', 'blocked');

create index task_view_v{version}_by_update
    on views.task_view_v{version} (tenant, updated_at, created_at, task_id)
    where deleted_at is null;

create index task_view_v{version}_by_completion
    on views.task_view_v{version} (tenant, completed_at, task_id)
    where deleted_at is null and completed_at is not null;

create index task_view_v{version}_review_needed
    on views.task_view_v{version} (tenant, created_at, task_id)
    where deleted_at is null and review_needed;

create index task_view_v{version}_deleted
    on views.task_view_v{version} (tenant, created_at, task_id)
    where deleted_at is not null;

create index task_view_v{version}_by_key
    on views.task_view_v{version} (tenant, key)
    where key is not null;

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

-- Tasks as they were, one row per change: a row holds from its position on, until the next.
create table views.task_view_past_v{version} (
    like views.task_view_v{version} including constraints,
    -- The position of the event that ended it.
    until bigint not null,
    constraint task_view_past_v{version}_pkey primary key (tenant, task_id, position),
    constraint task_view_past_v{version}_ends check (until > position)
);

-- With the position and its end, so that what does not hold at a position is passed by without a look at the rows.
create index task_view_past_v{version}_by_creation
    on views.task_view_past_v{version} (tenant, created_at, task_id) include (position, until)
    where deleted_at is null;

create index task_view_past_v{version}_by_project
    on views.task_view_past_v{version} (tenant, project_id, created_at, task_id) include (position, until)
    where deleted_at is null;

create index task_view_past_v{version}_by_status
    on views.task_view_past_v{version} (tenant, status, created_at, task_id) include (position, until)
    where deleted_at is null;

create index task_view_past_v{version}_by_assignee
    on views.task_view_past_v{version} (tenant, assignee_id, created_at, task_id) include (position, until)
    where deleted_at is null;

create index task_view_past_v{version}_by_priority
    on views.task_view_past_v{version} (tenant, priority_rank, created_at, task_id) include (position, until)
    where deleted_at is null;

create index task_view_past_v{version}_by_due_date
    on views.task_view_past_v{version} (tenant, due_rank, created_at, task_id) include (position, until)
    where deleted_at is null;

create index task_view_past_v{version}_by_update
    on views.task_view_past_v{version} (tenant, updated_at, created_at, task_id) include (position, until)
    where deleted_at is null;

create index task_view_past_v{version}_deleted
    on views.task_view_past_v{version} (tenant, created_at, task_id)
    where deleted_at is not null;

create index task_view_past_v{version}_by_key
    on views.task_view_past_v{version} (tenant, key)
    where key is not null;

-- For whoever clears away what ended long ago. By an expression, so that no statement of a reader is planned by it.
create index task_view_past_v{version}_by_end
    on views.task_view_past_v{version} ((until + 0));

alter table views.task_view_past_v{version} enable row level security;

create policy task_view_past_v{version}_of_one_tenant
    on views.task_view_past_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector folds the events of every tenant.
create policy task_view_past_v{version}_of_all_tenants
    on views.task_view_past_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select
    on views.task_view_past_v{version}
    to foldline_query;

grant select, insert, update, delete
    on views.task_view_past_v{version}
    to foldline_projector;

create table views.task_view_comment_v{version} (
    tenant text collate "C" not null,
    task_id uuid not null,
    -- The task's version that it made: comments are read in this order.
    version bigint not null,
    comment_id uuid not null,
    text text not null,
    -- The actor of the event.
    author text not null,
    -- Business time.
    created_at timestamptz not null,
    position bigint not null,
    partition smallint not null,
    constraint task_view_comment_v{version}_pkey primary key (tenant, task_id, version)
);

alter table views.task_view_comment_v{version} enable row level security;

create policy task_view_comment_v{version}_of_one_tenant
    on views.task_view_comment_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector folds the events of every tenant.
create policy task_view_comment_v{version}_of_all_tenants
    on views.task_view_comment_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select
    on views.task_view_comment_v{version}
    to foldline_query;

grant select, insert, update, delete
    on views.task_view_comment_v{version}
    to foldline_projector;

-- Equality of uuids is leakproof, and containment of arrays and of jsonb is not: under row-level security only the former
-- may use an index. A mark is a name-based UUID of a label, or of a free-form fact's name and value.
create table views.task_view_mark_v{version} (
    tenant text collate "C" not null,
    mark uuid not null,
    task_id uuid not null,
    partition smallint not null,
    -- Since when the task has it.
    position bigint not null,
    constraint task_view_mark_v{version}_pkey primary key (tenant, mark, task_id)
);

alter table views.task_view_mark_v{version} enable row level security;

create policy task_view_mark_v{version}_of_one_tenant
    on views.task_view_mark_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector folds the events of every tenant.
create policy task_view_mark_v{version}_of_all_tenants
    on views.task_view_mark_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select
    on views.task_view_mark_v{version}
    to foldline_query;

grant select, insert, update, delete
    on views.task_view_mark_v{version}
    to foldline_projector;

-- Marks that tasks had, from a position on until another.
create table views.task_view_mark_past_v{version} (
    like views.task_view_mark_v{version} including constraints,
    -- The position of the event that ended it.
    until bigint not null,
    constraint task_view_mark_past_v{version}_pkey primary key (tenant, mark, task_id, position),
    constraint task_view_mark_past_v{version}_ends check (until > position)
);

-- For whoever clears away what ended long ago. By an expression, so that no statement of a reader is planned by it.
create index task_view_mark_past_v{version}_by_end
    on views.task_view_mark_past_v{version} ((until + 0));

alter table views.task_view_mark_past_v{version} enable row level security;

create policy task_view_mark_past_v{version}_of_one_tenant
    on views.task_view_mark_past_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector folds the events of every tenant.
create policy task_view_mark_past_v{version}_of_all_tenants
    on views.task_view_mark_past_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select
    on views.task_view_mark_past_v{version}
    to foldline_query;

grant select, insert, update, delete
    on views.task_view_mark_past_v{version}
    to foldline_projector;

-- readers: what follows is run when this version becomes the active one.

drop view if exists views.task_view_at;

drop view if exists views.task_version;

drop view if exists views.task_view;

create view views.task_view with (security_invoker = true) as
select
    tenant,
    task_id,
    project_id,
    key,
    title,
    description,
    priority,
    priority_rank,
    status,
    blocked_reason,
    estimated_hundredths,
    actual_hundredths,
    due_date,
    due_rank,
    assignee_id,
    labels,
    metadata,
    steps,
    steps_total,
    steps_completed,
    comments_total,
    review_status,
    review_needed,
    review_at,
    review_summary,
    created_by,
    created_at,
    started_at,
    blocked_at,
    completed_at,
    cancelled_at,
    deleted_at,
    updated_at,
    version,
    position,
    partition
from views.task_view_v{version};

grant select
    on views.task_view
    to foldline_query, foldline_projector;

drop view if exists views.task_comment_at;

drop view if exists views.task_comment;

create view views.task_comment with (security_invoker = true) as
select
    tenant,
    task_id,
    version,
    comment_id,
    text,
    author,
    created_at,
    position,
    partition
from views.task_view_comment_v{version};

grant select
    on views.task_comment
    to foldline_query, foldline_projector;

drop view if exists views.task_mark_at;

drop view if exists views.task_mark;

create view views.task_mark with (security_invoker = true) as
select
    tenant,
    mark,
    task_id,
    partition,
    position
from views.task_view_mark_v{version};

grant select
    on views.task_mark
    to foldline_query, foldline_projector;

-- Every version of every task: it held from its position on, up to until.
create view views.task_version with (security_invoker = true) as
select
    tenant,
    task_id,
    project_id,
    key,
    title,
    description,
    priority,
    priority_rank,
    status,
    blocked_reason,
    estimated_hundredths,
    actual_hundredths,
    due_date,
    due_rank,
    assignee_id,
    labels,
    metadata,
    steps,
    steps_total,
    steps_completed,
    comments_total,
    review_status,
    review_needed,
    review_at,
    review_summary,
    created_by,
    created_at,
    started_at,
    blocked_at,
    completed_at,
    cancelled_at,
    deleted_at,
    updated_at,
    version,
    position,
    partition,
    9223372036854775807 as until
from views.task_view_v{version}
union all
select
    tenant,
    task_id,
    project_id,
    key,
    title,
    description,
    priority,
    priority_rank,
    status,
    blocked_reason,
    estimated_hundredths,
    actual_hundredths,
    due_date,
    due_rank,
    assignee_id,
    labels,
    metadata,
    steps,
    steps_total,
    steps_completed,
    comments_total,
    review_status,
    review_needed,
    review_at,
    review_summary,
    created_by,
    created_at,
    started_at,
    blocked_at,
    completed_at,
    cancelled_at,
    deleted_at,
    updated_at,
    version,
    position,
    partition,
    until
from views.task_view_past_v{version};

grant select
    on views.task_version
    to foldline_query, foldline_projector;

-- As of the position that the transaction names: see views.as_of(). The conditions stand outside of the union, so that the planner
-- sees one relation of two parts, and walks the indexes of both in the order that is asked for.
create view views.task_view_at with (security_invoker = true) as
select
    tenant,
    task_id,
    project_id,
    key,
    title,
    description,
    priority,
    priority_rank,
    status,
    blocked_reason,
    estimated_hundredths,
    actual_hundredths,
    due_date,
    due_rank,
    assignee_id,
    labels,
    metadata,
    steps,
    steps_total,
    steps_completed,
    comments_total,
    review_status,
    review_needed,
    review_at,
    review_summary,
    created_by,
    created_at,
    started_at,
    blocked_at,
    completed_at,
    cancelled_at,
    deleted_at,
    updated_at,
    version,
    position,
    partition
from views.task_version
where position <= views.as_of()
    and until > views.as_of()
    and views.keeps('task_view');

grant select
    on views.task_view_at
    to foldline_query, foldline_projector;

create view views.task_comment_at with (security_invoker = true) as
select
    tenant,
    task_id,
    version,
    comment_id,
    text,
    author,
    created_at,
    position,
    partition
from views.task_view_comment_v{version}
where position <= views.as_of();

grant select
    on views.task_comment_at
    to foldline_query, foldline_projector;

create view views.task_mark_at with (security_invoker = true) as
select
    tenant,
    mark,
    task_id,
    partition,
    position
from (
    select
        tenant,
        mark,
        task_id,
        partition,
        position,
        9223372036854775807 as until
    from views.task_view_mark_v{version}
    union all
    select
        tenant,
        mark,
        task_id,
        partition,
        position,
        until
    from views.task_view_mark_past_v{version}
) as ever
where position <= views.as_of()
    and until > views.as_of()
    and views.keeps('task_view');

grant select
    on views.task_mark_at
    to foldline_query, foldline_projector;
