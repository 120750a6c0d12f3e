-- What an administrator of a tenant may wish of its parked streams, through the query service, whose role writes nothing else. A
-- wish is written down; the projector that holds the partition carries it out.

-- Asks for another try of parked streams that were not tried since an instant, 500 at most; says of how many.
create function views.ask_parked(wanted_view text, wanted_stream text, since timestamptz)
returns bigint
language sql
security definer
set search_path = pg_catalog, views, pg_temp
as $$
    with page as (
        select
            tenant,
            view,
            view_version,
            stream
        from views.parked
        where tenant = current_setting('foldline.tenant', true)
            and (wanted_view is null or view = wanted_view)
            and (wanted_stream is null or stream = wanted_stream)
            and (retry_asked_at is null or retry_asked_at < since)
            and tried_at < since
        order by
            view,
            view_version,
            stream
        limit 500
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

-- Leaves the event out at which a stream waits in a view, and asks for the stream to go on after it. Says whether it waits there.
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
    with waiting as (
        update views.parked
        set retry_asked_at = clock_timestamp()
        where tenant = current_setting('foldline.tenant', true)
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

revoke all on function views.ask_parked, views.skip_parked from public;
grant execute on function views.ask_parked, views.skip_parked to foldline_query;
