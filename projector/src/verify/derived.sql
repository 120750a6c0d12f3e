-- What a task's row repeats of itself, so that lists can be ordered by it.
select
    task.tenant || '/' || task.task_id::text as key,
    format(
        'priority_rank %s, due_rank %s, steps_total %s, steps_completed %s',
        task.priority_rank,
        task.due_rank,
        task.steps_total,
        task.steps_completed
    ) as stored,
    format(
        'priority_rank %s, due_rank %s, steps_total %s, steps_completed %s',
        array_position(array['low', 'medium', 'high', 'critical'], task.priority::text),
        coalesce(task.due_date, date '9999-12-31'),
        jsonb_array_length(task.steps),
        (
            select count(*)
            from jsonb_array_elements(task.steps) as step
            where step ->> 'completedAt' is not null
        )
    ) as recomputed
from views.task_view{at} task
where $1::text is null
    or task.tenant = $1
