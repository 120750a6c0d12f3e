-- When the events of each partition were recorded, as far as the views are folded, for readers that ask as of a time: this
-- database's own index from times to positions. One row for what one delivery brought of a partition.

create table views.log_times (
    epoch uuid not null,
    partition smallint not null,
    -- When the last of them was recorded, and where it lies.
    last_at timestamptz not null,
    last_position bigint not null,
    -- In the log's order, equally many. Times never go back from one to the next.
    positions bigint[] not null,
    times timestamptz[] not null,
    constraint log_times_pkey primary key (epoch, partition, last_at, last_position)
);

grant select on views.log_times to foldline_query;
grant select, insert on views.log_times to foldline_projector;
