-- Of each row of the past and the present, until when it holds, and when the next one begins.
select
    tenant || '/' || {id}::text || ' from ' || position::text as key,
    coalesce('until ' || until::text, 'still') as stored,
    coalesce('until ' || next::text, 'still') as recomputed
from (
    select
        tenant,
        {id},
        position,
        until,
        lead(position) over (
            partition by
                tenant,
                {id}
            order by position
        ) as next
    from (
        select
            tenant,
            {id},
            position,
            until
        from views.{table}_past_v{version}
        where until > {kept}
            and ($1::text is null or tenant = $1)
        union all
        select
            tenant,
            {id},
            position,
            null
        from views.{table}_v{version}
        where $1::text is null
            or tenant = $1
    ) as ever
) as chained
