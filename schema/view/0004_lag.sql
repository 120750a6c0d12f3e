-- What projectors say of the log's head and of their distance to it, for those who read this database alone.

create table views.heads (
    epoch uuid not null,
    position bigint not null,
    -- Not after the log was asked for it.
    seen_at timestamptz not null,
    -- Since when it is known that the log does not hold everything that the views were folded from: it was restored, or lost
    -- its end.
    lost_at timestamptz,
    constraint heads_pkey primary key (epoch)
) with (fillfactor = 50);

create table views.lag (
    view text collate "C" not null,
    version integer not null,
    partition smallint not null,
    -- Of the partition's events, those that the view has not folded, and how long the first of them has been in the log.
    events bigint not null,
    seconds double precision not null,
    stalled_since timestamptz,
    -- The event that it stalled at; null when another projector took it over.
    stalled_at bigint,
    told_at timestamptz not null,
    constraint lag_pkey primary key (view, version, partition)
) with (fillfactor = 50);

grant select on views.heads, views.lag to foldline_query;
grant select, insert, update on views.heads, views.lag to foldline_projector;
