-- Forgets the ids of the commands that recorded the events after one position, up to another: repeated, such a command is a new
-- one. The events stay. Says how many it forgot.
--
-- At most 10,000 positions at a time, which `FORGOTTEN_POSITIONS_MAX` in command/src/worker/housekeeping.rs says, too; and never
-- one by the times of whose events it was recorded within the last 7 days, whoever asks: a client that repeats a command must get
-- its first answer.
create or replace function log.forget_commands(after bigint, through bigint)
returns bigint
language plpgsql
volatile
security definer
set search_path = pg_catalog, log, pg_temp
-- A plan that is kept has every segment in it.
set plan_cache_mode = force_custom_plan
as $$
declare
    forgotten bigint;
begin
    if after is null or through is null or through - after not between 0 and 10000 then
        raise exception 'commands of 0 to 10,000 positions are forgotten at a time, not those after % up to %',
            coalesce(after::text, 'null'), coalesce(through::text, 'null')
            using errcode = 'invalid_parameter_value';
    end if;

    -- A command lies at its last event. One that was forgotten, and given again since, lies elsewhere.
    delete from log.commands k
    using log.events e
    where e.position > after
        and e.position <= through
        and e.recorded_at < clock_timestamp() - interval '7 days'
        and k.tenant = e.tenant
        and k.command_id = e.command_id
        and k.position = e.position;
    get diagnostics forgotten = row_count;
    return forgotten;
end
$$;

revoke all on function log.forget_commands from public;
grant execute on function log.forget_commands to foldline_worker;
