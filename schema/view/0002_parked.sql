-- Streams that a view stopped folding at an event that it cannot fold, while everything else goes on, and the events that
-- somebody decided to leave out.

create table views.parked (
    view text collate "C" not null,
    view_version integer not null,
    tenant text collate "C" not null,
    stream text collate "C" not null,
    partition smallint not null,
    -- The first event of the stream that is not folded; those after it wait behind it.
    position bigint not null,
    version bigint not null,
    event_id uuid not null,
    event_type text collate "C" not null,
    schema_version smallint not null,
    -- A newer build may know the event, so it is tried again by itself wherever a projector takes the partition over.
    needs_newer_build boolean not null,
    why text not null,
    parked_at timestamptz not null default now(),
    tried_at timestamptz not null default now(),
    attempts integer not null default 1,
    -- Somebody wants it tried again; the projector that holds the partition does it.
    retry_asked_at timestamptz,
    constraint parked_pkey primary key (tenant, view, view_version, stream)
);

create index parked_by_partition
    on views.parked (partition);

create index parked_to_retry
    on views.parked (partition, retry_asked_at)
    where retry_asked_at is not null;

-- Of a view whatever its version: when it is folded from the beginning, the same events are left out.
create table views.skipped (
    view text collate "C" not null,
    tenant text collate "C" not null,
    stream text collate "C" not null,
    version bigint not null,
    partition smallint not null,
    position bigint not null,
    event_id uuid not null,
    event_type text collate "C" not null,
    -- Why the view could not fold it, and why it may be left out.
    why text not null,
    reason text not null,
    skipped_by text not null,
    skipped_at timestamptz not null default now(),
    constraint skipped_pkey primary key (tenant, view, stream, version)
);

create index skipped_by_partition
    on views.skipped (partition);

alter table views.parked enable row level security;
alter table views.skipped enable row level security;

create policy parked_of_one_tenant
    on views.parked
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

create policy skipped_of_one_tenant
    on views.skipped
    for select
    to foldline_query
    using (tenant = current_setting('foldline.tenant', true));

-- The projector parks the streams of every tenant.
create policy parked_of_all_tenants
    on views.parked
    for all
    to foldline_projector
    using (true)
    with check (true);

create policy skipped_of_all_tenants
    on views.skipped
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select on views.parked, views.skipped to foldline_query;
grant select, insert, update, delete on views.parked to foldline_projector;
grant select, insert on views.skipped to foldline_projector;

-- Of every tenant, so that a query service need not ask for each request whether anything of its tenant is parked: how
-- many streams, and what changes whenever one is parked, tried or released. Not a view of the asking role's rights.
create view views.parked_of_tenants as
select
    parked.tenant,
    parked.view,
    count(*) as streams,
    max(parked.tried_at) as tried_at
from views.parked
join views.active
    on active.view = parked.view
    and active.version = parked.view_version
group by
    parked.tenant,
    parked.view;

grant select on views.parked_of_tenants to foldline_query;
