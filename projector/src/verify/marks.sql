-- Of each task, what it is to be found by, and its marks.
select
    tenant,
    task_id,
    task.labels,
    task.metadata::text as metadata,
    marks.marks
from (
    select
        tenant,
        task_id,
        labels,
        metadata
    from views.task_view{at}
    where $1::text is null
        or tenant = $1
) as task
full join (
    select
        tenant,
        task_id,
        array_agg(mark) as marks
    from views.task_mark{at}
    where $1::text is null
        or tenant = $1
    group by
        tenant,
        task_id
) as marks using (tenant, task_id)
