-- Of each task, which versions its history holds and where it ends, and what the task's row says that these must be.
select
    tenant || '/' || task_id::text as key,
    held.is_so as stored,
    format('versions 1 to %s, %s events, in order, the last at %s', task.version, task.version, task.position) as recomputed
from (
    select
        tenant,
        task_id,
        format(
            'versions %s to %s, %s events, %s, the last at %s',
            min(version),
            max(version),
            count(*),
            case when bool_and(position > before) then 'in order' else 'out of order' end,
            max(position)
        ) as is_so
    from (
        select
            tenant,
            task_id,
            version,
            position,
            lag(position, 1, 0::bigint) over (
                partition by
                    tenant,
                    task_id
                order by version
            ) as before
        from views.task_history{at}
        where $1::text is null
            or tenant = $1
    ) as events
    group by
        tenant,
        task_id
) as held
full join (
    select
        tenant,
        task_id,
        version,
        position
    from views.task_view{at}
    where $1::text is null
        or tenant = $1
) as task using (tenant, task_id)
