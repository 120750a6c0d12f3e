-- The view `project_view`: one row per project, as its events up to `position` leave it.

create table views.project_view_v{version} (
    tenant text collate "C" not null,
    project_id uuid not null,
    name text not null,
    description text,
    archived boolean not null,
    -- All of these are business time: the events' occurred_at.
    created_at timestamptz not null,
    archived_at timestamptz,
    updated_at timestamptz not null,
    -- The stream's version and the log's position of the last event folded into this row.
    version bigint not null,
    position bigint not null,
    partition smallint not null,
    constraint project_view_v{version}_pkey primary key (tenant, project_id)
) with (fillfactor = 70);

create index project_view_v{version}_by_creation
    on views.project_view_v{version} (tenant, created_at, project_id);

create index project_view_v{version}_by_archival
    on views.project_view_v{version} (tenant, archived, created_at, project_id);

alter table views.project_view_v{version} enable row level security;

create policy project_view_v{version}_of_one_tenant
    on views.project_view_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector folds the events of every tenant.
create policy project_view_v{version}_of_all_tenants
    on views.project_view_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select
    on views.project_view_v{version}
    to foldline_query;

grant select, insert, update, delete
    on views.project_view_v{version}
    to foldline_projector;

-- Projects as they were, one row per change: a row holds from its position on, until the next.
create table views.project_view_past_v{version} (
    like views.project_view_v{version} including constraints,
    -- The position of the event that ended it.
    until bigint not null,
    constraint project_view_past_v{version}_pkey primary key (tenant, project_id, position),
    constraint project_view_past_v{version}_ends check (until > position)
);

create index project_view_past_v{version}_by_creation
    on views.project_view_past_v{version} (tenant, created_at, project_id);

-- For whoever clears away what ended long ago. By an expression, so that no statement of a reader is planned by it.
create index project_view_past_v{version}_by_end
    on views.project_view_past_v{version} ((until + 0));

alter table views.project_view_past_v{version} enable row level security;

create policy project_view_past_v{version}_of_one_tenant
    on views.project_view_past_v{version}
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector folds the events of every tenant.
create policy project_view_past_v{version}_of_all_tenants
    on views.project_view_past_v{version}
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select
    on views.project_view_past_v{version}
    to foldline_query;

grant select, insert, update, delete
    on views.project_view_past_v{version}
    to foldline_projector;

-- readers: what follows is run when this version becomes the active one.

drop view if exists views.project_view_at;

drop view if exists views.project_version;

drop view if exists views.project_view;

create view views.project_view with (security_invoker = true) as
select
    tenant,
    project_id,
    name,
    description,
    archived,
    created_at,
    archived_at,
    updated_at,
    version,
    position,
    partition
from views.project_view_v{version};

grant select
    on views.project_view
    to foldline_query, foldline_projector;

-- Every version of every project: it held from its position on, up to until.
create view views.project_version with (security_invoker = true) as
select
    tenant,
    project_id,
    name,
    description,
    archived,
    created_at,
    archived_at,
    updated_at,
    version,
    position,
    partition,
    9223372036854775807 as until
from views.project_view_v{version}
union all
select
    tenant,
    project_id,
    name,
    description,
    archived,
    created_at,
    archived_at,
    updated_at,
    version,
    position,
    partition,
    until
from views.project_view_past_v{version};

grant select
    on views.project_version
    to foldline_query, foldline_projector;

-- As of the position that the transaction names: see views.as_of(). The conditions stand outside of the union, so that the planner
-- sees one relation of two parts, and walks the indexes of both in the order that is asked for.
create view views.project_view_at with (security_invoker = true) as
select
    tenant,
    project_id,
    name,
    description,
    archived,
    created_at,
    archived_at,
    updated_at,
    version,
    position,
    partition
from views.project_version
where position <= views.as_of()
    and until > views.as_of()
    and views.keeps('project_view');

grant select
    on views.project_view_at
    to foldline_query, foldline_projector;
