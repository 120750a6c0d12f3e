-- While a view is folded from the beginning of a long log, what the planner counts of its tables is out of date at once, and
-- counting them again and again takes a fifth of the server's time. So that is left for later, too, and done when the view has
-- caught up: then readers' plans are good from the first on.

comment on table views.late_indexes is 'What is left for later: an index, or what the planner counts of a table.';

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
        where i.indrelid = to_regclass(format('views.%I', of_view || '_v' || of_version))
            and not i.indisunique
        order by c.relname
    loop
        insert into views.late_indexes (view, version, name, definition)
        values (of_view, of_version, present.name, present.definition);
        execute format('drop index views.%I', present.name);
        left_out := left_out + 1;
    end loop;
    -- Those of the view's other tables, too.
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
