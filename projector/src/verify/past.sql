-- Every version of every task, from which position on and until which its row is kept, and what its history says that these
-- must be. What ended up to where rows are kept may be gone.
select
    tenant || '/' || task_id::text || ' version ' || version::text as key,
    kept.held as stored,
    event.held as recomputed
from (
    select
        tenant,
        task_id,
        version,
        replace(format('from %s until %s', position, until), ' until 9223372036854775807', ' on') as held
    from views.task_version
    where until > {kept}
        and ($1::text is null or tenant = $1)
) as kept
full join (
    select
        tenant,
        task_id,
        version,
        replace(format('from %s until %s', position, next), ' until 9223372036854775807', ' on') as held
    from (
        select
            tenant,
            task_id,
            version,
            position,
            lead(position, 1, 9223372036854775807) over (
                partition by
                    tenant,
                    task_id
                order by version
            ) as next
        from views.task_history
        where $1::text is null
            or tenant = $1
    ) as events
    where next > {kept}
) as event using (tenant, task_id, version)
