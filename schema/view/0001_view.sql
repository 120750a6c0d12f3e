-- What every view needs beside its own tables. The tables of views are not here: each view's DDL stands beside its
-- projection in projector/src and is installed per version.

do $$
declare
    service text;
begin
    -- Roles belong to the whole server; another database's migration may have made them, or be making them now.
    foreach service in array array['foldline_projector', 'foldline_query'] loop
        begin
            execute format('create role %I nologin', service);
        exception when duplicate_object or unique_violation then
            null;
        end;
    end loop;
end
$$;

create schema views;

-- Which version of a view readers see: the SQL view of the same name reads that version's tables.
create table views.active (
    view text collate "C" not null,
    version integer not null,
    since_at timestamptz not null default now(),
    constraint active_pkey primary key (view)
);

-- How far each partition of a view is folded; moves in the transaction that writes the rows.
create table views.checkpoints (
    view text collate "C" not null,
    version integer not null,
    partition smallint not null,
    -- The incarnation of the log that it was folded from.
    epoch uuid not null,
    position bigint not null,
    -- The event at that position: compared with the log at every start, so that a restored log is noticed.
    event_id uuid not null,
    kafka_offset bigint,
    -- Raised by whoever takes the partition over; a writer with a lower one has lost it.
    fence bigint not null,
    moved_at timestamptz not null,
    constraint checkpoints_pkey primary key (view, version, partition)
) with (fillfactor = 50);

grant usage on schema views to foldline_projector, foldline_query;
grant select on views.active to foldline_projector, foldline_query;
grant select on views.checkpoints to foldline_query;
grant select, insert, update on views.checkpoints to foldline_projector;
