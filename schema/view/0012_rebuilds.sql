-- Rows that somebody wants folded again from the log, in the place of those that there are. A wish is written down; the
-- projector that holds the partition carries it out.

create table views.rebuilds (
    view text collate "C" not null,
    view_version integer not null,
    tenant text collate "C" not null,
    -- '' for all streams of the tenant in the partition.
    stream text collate "C" not null,
    partition smallint not null,
    asked_by text not null,
    asked_at timestamptz not null,
    -- When it was done, or found to be impossible; null while it is to be done.
    ended_at timestamptz,
    -- From how many events the rows were folded.
    events bigint,
    -- Why the rows are as they were.
    why_not text,
    constraint rebuilds_pkey primary key (tenant, view, view_version, stream, partition)
);

create index rebuilds_to_do
    on views.rebuilds (partition, asked_at)
    where ended_at is null;

alter table views.rebuilds enable row level security;

create policy rebuilds_of_all_tenants
    on views.rebuilds
    for all
    to foldline_projector
    using (true)
    with check (true);

grant select, insert, update, delete on views.rebuilds to foldline_projector;
