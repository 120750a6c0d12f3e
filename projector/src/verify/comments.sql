-- Every comment, and the event that the history has at its place.
select
    tenant || '/' || task_id::text || ' version ' || version::text as key,
    comment.said as stored,
    event.said as recomputed
from (
    select
        tenant,
        task_id,
        version,
        jsonb_build_object('commentId', comment_id, 'text', text, 'author', author, 'at', created_at)::text as said
    from views.task_comment{at}
    where $1::text is null
        or tenant = $1
) as comment
full join (
    select
        tenant,
        task_id,
        version,
        jsonb_build_object(
            'commentId', payload::jsonb ->> 'commentId',
            'text', payload::jsonb ->> 'text',
            'author', actor,
            'at', occurred_at
        )::text as said
    from views.task_history{at}
    where event_type = 'tasks.TaskCommentAdded'
        and ($1::text is null or tenant = $1)
) as event using (tenant, task_id, version)
