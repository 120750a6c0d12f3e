-- Builds. A view's tables may be there several times: those that readers see, those that are being folded beside them from the
-- beginning, and those that readers saw before. Each of them is a build; its number is what all tables here call a version. What
-- folds a build, and makes its tables, is a projection, which has a number of its own in the program.

-- The statements of every projection that was installed here since this table is. They are kept, so that an older build can be shown again by a
-- program that does not know its projection any more.
create table views.projections (
    view text collate "C" not null,
    projection integer not null,
    -- In both, {version} stands for the number of the build.
    tables text not null,
    readers text not null,
    constraint projections_pkey primary key (view, projection)
);

create table views.builds (
    view text collate "C" not null,
    version integer not null,
    projection integer not null,
    begun_at timestamptz not null default now(),
    -- When readers last came to see it; null of one that they never saw.
    shown_at timestamptz,
    -- Since when its tables are gone. Its number is never given again: sessions may still know the tables by name.
    dropped_at timestamptz,
    constraint builds_pkey primary key (view, version)
);

-- So far each projection was built once, under its own number.
insert into views.builds (view, version, projection, begun_at, shown_at)
select
    c.view,
    c.version,
    c.version,
    coalesce(a.since_at, '-infinity'),
    coalesce(a.since_at, '-infinity')
from (
    select view, version from views.checkpoints
    union
    select view, version from views.active
) as c
left join views.active a
    on a.view = c.view
    and a.version = c.version;

grant select on views.builds to foldline_projector, foldline_query;

-- The build of a projection that is to be folded: the one that was begun and never shown, or else a new one with empty tables.
create function views.begin_build(of_view text, of_projection integer)
returns integer
language plpgsql
security definer
set search_path = pg_catalog, views, pg_temp
as $$
declare
    begun integer;
    statements text;
begin
    -- Two at once would make the same tables; "view" in ASCII.
    perform pg_advisory_xact_lock(1986618743);
    select b.version
    into begun
    from views.builds b
    where b.view = of_view
        and b.projection = of_projection
        and b.shown_at is null
        and b.dropped_at is null
    order by b.version desc
    limit 1;
    if found then
        return begun;
    end if;
    select p.tables
    into statements
    from views.projections p
    where p.view = of_view
        and p.projection = of_projection;
    if not found then
        raise exception 'projection % of % is not installed here', of_projection, of_view
            using errcode = 'FL002',
                hint = 'Run "foldline migrate" of the program that knows it.';
    end if;
    select greatest(of_projection, max(b.version) + 1)
    into begun
    from views.builds b
    where b.view = of_view;
    insert into views.builds (view, version, projection)
    values (of_view, begun, of_projection);
    execute replace(statements, '{version}', begun::text);
    return begun;
end
$$;

-- Lets readers see these builds, all of them from one moment on. Whoever reads holds a lock on views.active for as long as the
-- reading takes (query/src/read.rs), so this waits for those who began before, and those who begin meanwhile wait for this.
create function views.show_builds(of_views text[], of_versions integer[])
returns void
language plpgsql
security definer
set search_path = pg_catalog, views, pg_temp
-- Readers wait behind this. Whoever calls it tries again.
set lock_timeout = '40ms'
as $$
declare
    build record;
    shown integer := 0;
begin
    lock table views.active in access exclusive mode;
    for build in
        select
            b.view,
            b.version,
            b.projection,
            p.readers
        from unnest(of_views, of_versions) as shown (view, version)
        join views.builds b
            on b.view = shown.view
            and b.version = shown.version
            and b.dropped_at is null
        left join views.projections p
            on p.view = b.view
            and p.projection = b.projection
        order by b.view
    loop
        if build.readers is null then
            raise exception 'nothing is known of projection % of %, which made build %',
                build.projection, build.view, build.version
                using errcode = 'FL002',
                    hint = 'Run "foldline migrate" of the program that knows it.';
        end if;
        execute replace(build.readers, '{version}', build.version::text);
        insert into views.active (view, version, since_at)
        values (build.view, build.version, clock_timestamp())
        on conflict on constraint active_pkey do update
        set version = excluded.version,
            since_at = excluded.since_at;
        update views.builds b
        set shown_at = clock_timestamp()
        where b.view = build.view
            and b.version = build.version;
        shown := shown + 1;
    end loop;
    if shown <> cardinality(of_views) then
        raise exception 'of % builds only % are there', cardinality(of_views), shown
            using errcode = 'FL002';
    end if;
end
$$;

-- Drops the tables of a build that readers do not see, and everything that is known of it.
create function views.drop_build(of_view text, of_version integer)
returns void
language plpgsql
security definer
set search_path = pg_catalog, views, pg_temp
set lock_timeout = '5s'
as $$
declare
    present record;
begin
    -- Nobody shows it meanwhile.
    lock table views.active in share row exclusive mode;
    if not exists (select from views.builds b where b.view = of_view and b.version = of_version and b.dropped_at is null) then
        raise exception 'there is no build % of %', of_version, of_view
            using errcode = 'FL002';
    end if;
    if exists (select from views.active a where a.view = of_view and a.version = of_version) then
        raise exception 'readers see build % of %', of_version, of_view
            using errcode = 'FL003';
    end if;
    for present in
        select c.relname as name
        from pg_class c
        where c.relnamespace = 'views'::regnamespace
            and c.relkind = 'r'
            and c.relname ~ format('^%s(_[a-z]+)*_v%s$', of_view, of_version)
        order by c.relname
    loop
        execute format('drop table views.%I', present.name);
    end loop;
    delete from views.late_indexes l where l.view = of_view and l.version = of_version;
    delete from views.kept k where k.view = of_view and k.version = of_version;
    delete from views.lag l where l.view = of_view and l.version = of_version;
    delete from views.parked p where p.view = of_view and p.view_version = of_version;
    delete from views.rebuilds r where r.view = of_view and r.view_version = of_version;
    delete from views.checkpoints c where c.view = of_view and c.version = of_version;
    update views.builds b
    set dropped_at = clock_timestamp()
    where b.view = of_view
        and b.version = of_version;
end
$$;

revoke execute on function views.begin_build, views.show_builds, views.drop_build from public;
grant execute on function views.begin_build, views.show_builds, views.drop_build to foldline_projector;

-- Of the builds that readers see: nobody tries again what is parked in others.
create or replace function views.ask_parked_of(
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
            p.tenant,
            p.view,
            p.view_version,
            p.stream
        from views.parked p
        join views.active a
            on a.view = p.view
            and a.version = p.view_version
        where (wanted_tenant is null or p.tenant = wanted_tenant)
            and (wanted_view is null or p.view = wanted_view)
            and (wanted_stream is null or p.stream = wanted_stream)
            and (p.retry_asked_at is null or p.retry_asked_at < since)
            and p.tried_at < since
        order by
            p.tenant,
            p.view,
            p.view_version,
            p.stream
        limit at_most
        for update of p
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
