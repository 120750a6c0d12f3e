-- Of every version of every task, what it added to the dashboards from then on, and what its row says that this must be.
select
    task.tenant || '/' || task.task_id::text || ' version ' || task.version::text as key,
    (
        select
            concat_ws(
                ', ',
                'project ' || added.project_id::text,
                'assignee ' || added.assignee_id::text,
                added.status,
                added.priority,
                'estimated ' || added.estimated_hundredths::text,
                'actual ' || added.actual_hundredths::text,
                'due ' || added.due_date::text,
                'created ' || added.created_on::text,
                'completed ' || added.completed_on::text,
                case when added.deleted then 'deleted' end
            )
        from (
            select
                tenant,
                task_id,
                project_id,
                assignee_id,
                status,
                priority,
                estimated_hundredths,
                actual_hundredths,
                due_date,
                created_on,
                completed_on,
                deleted,
                position
            from views.task_dashboard_task_v{task_dashboard}
            union all
            select
                tenant,
                task_id,
                project_id,
                assignee_id,
                status,
                priority,
                estimated_hundredths,
                actual_hundredths,
                due_date,
                created_on,
                completed_on,
                deleted,
                position
            from views.task_dashboard_task_past_v{task_dashboard}
        ) as added
        where added.tenant = task.tenant
            and added.task_id = task.task_id
            and added.position <= task.position
        order by added.position desc
        limit 1
    ) as stored,
    concat_ws(
        ', ',
        'project ' || task.project_id::text,
        'assignee ' || task.assignee_id::text,
        task.status,
        task.priority,
        'estimated ' || task.estimated_hundredths::text,
        'actual ' || task.actual_hundredths::text,
        'due ' || task.due_date::text,
        'created ' || (task.created_at at time zone 'UTC')::date::text,
        'completed ' || (task.completed_at at time zone 'UTC')::date::text,
        case when task.deleted_at is not null then 'deleted' end
    ) as recomputed
from views.task_version as task
where task.until > {kept}
    and ($1::text is null or task.tenant = $1)
