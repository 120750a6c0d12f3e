-- Every figure of the owners' days, in UTC, and the same counted anew from the tasks. A row of zeros equals no row.
select
    tenant || '/' || owner_id::text || ' ' || day::text || ' ' || figure as key,
    coalesce(stored.value, 0)::text as stored,
    coalesce(recomputed.value, 0)::text as recomputed
from (
    select
        dashboard.tenant,
        dashboard.{owner}_id as owner_id,
        dashboard.day,
        figures.figure,
        figures.value
    from views.{owner}_dashboard_day{at} dashboard
    cross join lateral (
        values
            ('created', dashboard.created),
            ('completed', dashboard.completed),
            ('due', dashboard.due)
    ) as figures (figure, value)
    where $1::text is null
        or dashboard.tenant = $1
) as stored
full join (
    select
        task.tenant,
        task.{owner}_id as owner_id,
        figures.day,
        figures.figure,
        count(*) as value
    from views.task_view{at} task
    cross join lateral (
        values
            ('created', true, (task.created_at at time zone 'UTC')::date),
            ('completed', task.status = 'completed', (task.completed_at at time zone 'UTC')::date),
            ('due', task.status in ('open', 'in_progress', 'blocked'), task.due_date)
    ) as figures (figure, counts, day)
    where task.deleted_at is null
        and task.{owner}_id is not null
        and figures.counts
        and figures.day is not null
        and ($1::text is null or task.tenant = $1)
    group by
        task.tenant,
        task.{owner}_id,
        figures.day,
        figures.figure
) as recomputed using (tenant, owner_id, day, figure)
