-- Indexes that are left out while a view is folded from the beginning of a long log, and made when it has caught up: made of
-- all rows at once, they cost a fraction of what each row would cost them.

create table views.late_indexes (
    view text collate "C" not null,
    version integer not null,
    -- The index that is left out, and the statement that makes it.
    name text collate "C" not null,
    definition text not null,
    constraint late_indexes_pkey primary key (view, version, name)
);

-- Leaves out the indexes of a view's rows that nothing but their search needs, unless something is folded already; says how many.
create function views.leave_indexes_for_later(of_view text, of_version integer)
returns bigint
language plpgsql
security definer
set search_path = pg_catalog, views, pg_temp
-- Readers wait behind this, and it is worth no more.
set lock_timeout = '1s'
as $$
declare
    left_out bigint := 0;
    present record;
begin
    if exists (
        select
        from views.checkpoints c
        where c.view = of_view
            and c.version = of_version
            and c.position > 0
    ) then
        return 0;
    end if;
    for present in
        select
            c.relname as name,
            pg_get_indexdef(c.oid) as definition
        from pg_index i
        join pg_class c
            on c.oid = i.indexrelid
        where i.indrelid = to_regclass(format('views.%I', of_view || '_v' || of_version))
            and not i.indisunique
        order by c.relname
    loop
        insert into views.late_indexes (view, version, name, definition)
        values (of_view, of_version, present.name, present.definition);
        execute format('drop index views.%I', present.name);
        left_out := left_out + 1;
    end loop;
    return left_out;
end
$$;

-- Makes one of the indexes that were left out, and names it; null when there is none that nobody else is making.
create function views.build_late_index(of_view text, of_version integer)
returns text
language plpgsql
security definer
set search_path = pg_catalog, views, pg_temp
set lock_timeout = '5s'
as $$
declare
    late record;
begin
    select
        l.name,
        l.definition
    into late
    from views.late_indexes l
    where l.view = of_view
        and l.version = of_version
    order by l.name
    limit 1
    for update skip locked;
    if not found then
        return null;
    end if;
    execute late.definition;
    delete from views.late_indexes l
    where l.view = of_view
        and l.version = of_version
        and l.name = late.name;
    return late.name;
end
$$;

grant select on views.late_indexes to foldline_projector, foldline_query;
revoke execute on function views.leave_indexes_for_later, views.build_late_index from public;
grant execute on function views.leave_indexes_for_later, views.build_late_index to foldline_projector;
