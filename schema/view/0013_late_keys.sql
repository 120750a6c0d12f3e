-- The keys of tables that are only ever added to are left for later, too: folding never looks there, and the rows of a long log come in
-- no order of theirs. They come back as they were, so a row that is there twice is still found out.

-- The tables' names are without a version.
create function views.leave_indexes_for_later(of_view text, of_version integer, only_added text[])
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
            c.conname as name,
            t.relname as of_table,
            pg_get_indexdef(c.conindid) as definition
        from pg_constraint c
        join pg_class t
            on t.oid = c.conrelid
        where t.relnamespace = 'views'::regnamespace
            and t.relname ~ format('^%s(_[a-z]+)*_v%s$', of_view, of_version)
            and t.relname in (select added || '_v' || of_version from unnest(only_added) as added)
            and c.contype = 'p'
        order by c.conname
    loop
        -- After everything else, because a row that is there twice is in the way of nothing but this. The index is made beside
        -- readers; what makes a key of it takes no time, and has a transaction of its own.
        insert into views.late_indexes (view, version, name, definition)
        values
            (of_view, of_version, '~~' || present.name, present.definition),
            (
                of_view,
                of_version,
                '~~' || present.name || ' key',
                format(
                    'alter table views.%I add constraint %I primary key using index %I',
                    present.of_table, present.name, present.name
                )
            );
        execute format('alter table views.%I drop constraint %I', present.of_table, present.name);
        left_out := left_out + 2;
    end loop;
    return left_out + views.leave_indexes_for_later(of_view, of_version);
end
$$;

revoke execute on function views.leave_indexes_for_later(text, integer, text[]) from public;
grant execute on function views.leave_indexes_for_later(text, integer, text[]) to foldline_projector;
