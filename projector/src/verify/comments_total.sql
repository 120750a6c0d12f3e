-- How many comments each task says that it has, and how many there are. A comment without a task has nothing stored.
select
    tenant || '/' || task_id::text as key,
    task.comments_total::text as stored,
    coalesce(comments.total, 0)::text as recomputed
from (
    select
        tenant,
        task_id,
        comments_total
    from views.task_view{at}
    where $1::text is null
        or tenant = $1
) as task
full join (
    select
        tenant,
        task_id,
        count(*) as total
    from views.task_comment{at}
    where $1::text is null
        or tenant = $1
    group by
        tenant,
        task_id
) as comments using (tenant, task_id)
