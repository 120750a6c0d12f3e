-- How long the id of a command is known: housekeeping (command/src/worker/housekeeping.rs) forgets those of long ago, which nobody
-- repeats any more. How old they are is told by where the log ended when the worker looked, once a day; the log's own times may be
-- those of a file that was imported.
create table work.heads (
    seen_at timestamptz not null default clock_timestamp(),
    position bigint not null,
    constraint heads_pkey primary key (seen_at),
    constraint heads_position_is_one check (position >= 0)
);

-- Up to here they are forgotten.
create table work.forgotten (
    one boolean not null default true,
    position bigint not null default 0,
    constraint forgotten_pkey primary key (one),
    constraint forgotten_is_one check (one)
);
insert into work.forgotten default values;

grant select, insert, delete on work.heads to foldline_worker;
grant select, update on work.forgotten to foldline_worker;
