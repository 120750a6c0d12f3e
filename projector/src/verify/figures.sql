-- Every figure of the owners' dashboards, and the same counted anew from the tasks. A row of zeros equals no row.
select
    tenant || '/' || owner_id::text || ' ' || figure as key,
    coalesce(stored.value, 0)::text as stored,
    coalesce(recomputed.value, 0)::text as recomputed
from (
    select
        dashboard.tenant,
        dashboard.{owner}_id as owner_id,
        figures.figure,
        figures.value
    from views.{owner}_dashboard{at} dashboard
    cross join lateral (
        values
            ('total', dashboard.total::numeric),
            ('open', dashboard.open),
            ('in_progress', dashboard.in_progress),
            ('blocked', dashboard.blocked),
            ('completed', dashboard.completed),
            ('cancelled', dashboard.cancelled),
            ('low', dashboard.low),
            ('medium', dashboard.medium),
            ('high', dashboard.high),
            ('critical', dashboard.critical),
            ('estimated_hundredths', dashboard.estimated_hundredths),
            ('actual_hundredths', dashboard.actual_hundredths),
            ('efficiency_count', dashboard.efficiency_count),
            ('efficiency_micros', dashboard.efficiency_micros)
    ) as figures (figure, value)
    where $1::text is null
        or dashboard.tenant = $1
) as stored
full join (
    select
        counted.tenant,
        counted.owner_id,
        figures.figure,
        figures.value
    from (
        select
            task.tenant,
            task.{owner}_id as owner_id,
            count(*) as total,
            count(*) filter (where task.status = 'open') as open,
            count(*) filter (where task.status = 'in_progress') as in_progress,
            count(*) filter (where task.status = 'blocked') as blocked,
            count(*) filter (where task.status = 'completed') as completed,
            count(*) filter (where task.status = 'cancelled') as cancelled,
            count(*) filter (where task.priority = 'low') as low,
            count(*) filter (where task.priority = 'medium') as medium,
            count(*) filter (where task.priority = 'high') as high,
            count(*) filter (where task.priority = 'critical') as critical,
            sum(task.estimated_hundredths) as estimated_hundredths,
            sum(task.actual_hundredths) filter (where task.status = 'completed') as actual_hundredths,
            count(*) filter (where measured.is_so) as efficiency_count,
            -- Millionths, each rounded half up, by whole numbers alone: a / e rounds to (2a + e) div 2e.
            sum(
                div(2000000::numeric * task.actual_hundredths + task.estimated_hundredths, 2::numeric * task.estimated_hundredths)
            ) filter (where measured.is_so) as efficiency_micros
        from views.task_view{at} task
        cross join lateral (
            select
                task.status = 'completed'
                and task.actual_hundredths is not null
                and task.estimated_hundredths > 0 as is_so
        ) as measured
        where task.deleted_at is null
            and task.{owner}_id is not null
            and ($1::text is null or task.tenant = $1)
        group by
            task.tenant,
            task.{owner}_id
    ) as counted
    cross join lateral (
        values
            ('total', counted.total::numeric),
            ('open', counted.open),
            ('in_progress', counted.in_progress),
            ('blocked', counted.blocked),
            ('completed', counted.completed),
            ('cancelled', counted.cancelled),
            ('low', counted.low),
            ('medium', counted.medium),
            ('high', counted.high),
            ('critical', counted.critical),
            ('estimated_hundredths', coalesce(counted.estimated_hundredths, 0)),
            ('actual_hundredths', coalesce(counted.actual_hundredths, 0)),
            ('efficiency_count', counted.efficiency_count),
            ('efficiency_micros', coalesce(counted.efficiency_micros, 0))
    ) as figures (figure, value)
) as recomputed using (tenant, owner_id, figure)
