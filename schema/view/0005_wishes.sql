-- What may be wished of parked streams. A wish is written down; the projector that holds the partition carries it out.
--
-- The first function of each pair is for whoever may write the tables, of any tenant. The second is for administrators of a
-- tenant, through the query service, whose role writes nothing else.

-- Asks for another try of parked streams that were not tried since an instant, so many at most; says of how many.
create function views.ask_parked_of(
    wanted_tenant text,
    wanted_view text,
    wanted_stream text,
    since timestamptz,
    at_most bigint
)
returns bigint
language sql
set search_path = pg_catalog, views, pg_temp
as $$
    with page as (
        select
            tenant,
            view,
            view_version,
            stream
        from views.parked
        where (wanted_tenant is null or tenant = wanted_tenant)
            and (wanted_view is null or view = wanted_view)
            and (wanted_stream is null or stream = wanted_stream)
            and (retry_asked_at is null or retry_asked_at < since)
            and tried_at < since
        order by
            tenant,
            view,
            view_version,
            stream
        limit at_most
        for update
    ),
    asked as (
        update views.parked p
        set retry_asked_at = since
        from page
        where p.tenant = page.tenant
            and p.view = page.view
            and p.view_version = page.view_version
            and p.stream = page.stream
        returning 1
    )
    select count(*)
    from asked
$$;

create function views.ask_parked(wanted_view text, wanted_stream text, since timestamptz)
returns bigint
language sql
security definer
set search_path = pg_catalog, views, pg_temp
as $$
    -- Without a tenant, of nobody's.
    select views.ask_parked_of(
        coalesce(current_setting('foldline.tenant', true), ''), wanted_view, wanted_stream, since, 500
    )
$$;

-- Leaves the event out at which a stream waits in a view, and asks for the stream to go on after it. Says whether it waits there.
create function views.skip_parked_of(
    wanted_tenant text,
    wanted_view text,
    wanted_stream text,
    wanted_version bigint,
    given_reason text,
    given_by text
)
returns boolean
language sql
set search_path = pg_catalog, views, pg_temp
as $$
    with waiting as (
        update views.parked
        set retry_asked_at = clock_timestamp()
        where tenant = wanted_tenant
            and stream = wanted_stream
            and view = wanted_view
            and version = wanted_version
        returning *
    ),
    skipped as (
        insert into views.skipped (
            view, tenant, stream, version, partition, position, event_id, event_type, why, reason, skipped_by
        )
        select distinct on (view)
            view,
            tenant,
            stream,
            version,
            partition,
            position,
            event_id,
            event_type,
            why,
            given_reason,
            given_by
        from waiting
        order by
            view,
            view_version desc
        on conflict on constraint skipped_pkey do nothing
    )
    select exists (select from waiting)
$$;

create function views.skip_parked(
    wanted_view text,
    wanted_stream text,
    wanted_version bigint,
    given_reason text,
    given_by text
)
returns boolean
language sql
security definer
set search_path = pg_catalog, views, pg_temp
as $$
    select views.skip_parked_of(
        current_setting('foldline.tenant', true), wanted_view, wanted_stream, wanted_version, given_reason, given_by
    )
$$;

revoke all on function views.ask_parked_of, views.ask_parked, views.skip_parked_of, views.skip_parked from public;
grant execute on function views.ask_parked, views.skip_parked to foldline_query;
grant execute on function views.ask_parked_of, views.skip_parked_of to foldline_projector;
