-- Views as of a past position: beside the rows of a view stand those that they replaced, each with the position from which on
-- it held and the one that ended it.

-- The position as of which the views whose names end in `_at` show everything: the transaction's setting, which must be there.
create function views.as_of()
returns bigint
language sql
stable
parallel safe
return current_setting('foldline.as_of')::bigint;

grant execute on function views.as_of to foldline_query, foldline_projector;

-- Those of all tables of a view are left for later, not only of the one that has its name.
create or replace function views.leave_indexes_for_later(of_view text, of_version integer)
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
        join pg_class t
            on t.oid = i.indrelid
        where t.relnamespace = 'views'::regnamespace
            and t.relname ~ format('^%s(_[a-z]+)*_v%s$', of_view, of_version)
            and not i.indisunique
        order by c.relname
    loop
        insert into views.late_indexes (view, version, name, definition)
        values (of_view, of_version, present.name, present.definition);
        execute format('drop index views.%I', present.name);
        left_out := left_out + 1;
    end loop;
    for present in
        select
            c.relname as name,
            format('alter table views.%1$I reset (autovacuum_analyze_threshold); analyze views.%1$I', c.relname) as definition
        from pg_class c
        where c.relnamespace = 'views'::regnamespace
            and c.relkind = 'r'
            and c.relname ~ format('^%s(_[a-z]+)*_v%s$', of_view, of_version)
        order by c.relname
    loop
        -- After the names of all indexes: it is done last.
        insert into views.late_indexes (view, version, name, definition)
        values (of_view, of_version, '~' || present.name, present.definition)
        on conflict do nothing;
        if found then
            execute format('alter table views.%I set (autovacuum_analyze_threshold = 2147483647)', present.name);
            left_out := left_out + 1;
        end if;
    end loop;
    return left_out;
end
$$;
