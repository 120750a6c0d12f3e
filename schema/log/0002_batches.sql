-- One row per batch of appends: where the log ends, and when that was recorded. Rows are only inserted. One row that were
-- updated would leave its dead versions to be stepped over, by everybody, for as long as any snapshot is open; and
-- looking for the last event itself would open every segment.
create table log.batches (
    last_position bigint not null,
    recorded_at timestamptz not null,
    constraint batches_pkey primary key (last_position)
);

-- A log that is there already is taken over as one batch; nobody may append while that is done.
select pg_advisory_xact_lock(1718578276);

insert into log.batches (last_position, recorded_at)
select e.position, e.recorded_at
from log.events e
order by e.position desc
limit 1;

grant select on log.batches to foldline_command, foldline_relay, foldline_projector;

-- Those of the earlier form write no batches. `foldline migrate` makes the present ones after this.
do $$
declare
    earlier regprocedure;
begin
    for earlier in
        select p.oid::regprocedure
        from pg_proc p
        where p.pronamespace = 'log'::regnamespace
            and p.proname in ('append', 'append_offline')
    loop
        execute format('drop function %s', earlier);
    end loop;
end
$$;
