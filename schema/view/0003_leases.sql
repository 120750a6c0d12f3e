-- Who folds which partitions from the log itself. With Kafka, the consumer group says it. Being named here gives nobody the
-- right to write: that is the fences' doing, see views.checkpoints.

-- The processes that share the partitions. One is there while its session holds the projectors' lock and its beat is fresh.
create table views.projectors (
    id uuid not null,
    pid integer not null,
    beat_at timestamptz not null,
    constraint projectors_pkey primary key (id)
) with (fillfactor = 50);

create table views.leases (
    partition smallint not null,
    -- Nobody's, before the first projector.
    holder uuid,
    until_at timestamptz not null,
    constraint leases_pkey primary key (partition)
) with (fillfactor = 50);

insert into views.leases (partition, until_at)
select
    partition,
    now()
from generate_series(0, 31) as partition;

-- The sessions that hold the projectors' lock: LOCK in projector/src/leases.rs, "proj" in ASCII.
create view views.projector_sessions as
select pg_locks.pid
from pg_locks
join pg_database
    on pg_database.oid = pg_locks.database
where pg_locks.locktype = 'advisory'
    and pg_database.datname = current_database()
    and pg_locks.classid = 0
    and pg_locks.objid = 1886547818
    and pg_locks.objsubid = 1
    and pg_locks.granted;

grant select on views.projectors, views.leases, views.projector_sessions to foldline_query;
grant select on views.projector_sessions to foldline_projector;
grant select, insert, update, delete on views.projectors to foldline_projector;
grant select, update on views.leases to foldline_projector;
