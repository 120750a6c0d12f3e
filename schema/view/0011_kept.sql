-- How far back the rows of the past are kept, of views of which not all of them are.

create table views.kept (
    view text collate "C" not null,
    version integer not null,
    -- Readers may ask as of this position, and of every later one. Rows that an event at or before it ended may be gone.
    position bigint not null,
    constraint kept_pkey primary key (view, version)
) with (fillfactor = 50);

grant select on views.kept to foldline_query;
grant select, insert, update on views.kept to foldline_projector;

-- From where on rows of a view's past are kept; -1 where all of them are.
create function views.kept_from(of_view text)
returns bigint
language sql
stable
parallel safe
set search_path = pg_catalog, views, pg_temp
as $$
    select coalesce(max(k.position), -1)
    from views.kept k
    join views.active a
        on a.view = k.view
        and a.version = k.version
    where k.view = of_view
$$;

-- True, or an error where the transaction asks as of a position whose rows need not be there any more. Whoever sees that a row
-- is gone sees by the same snapshot from where on they are kept: this is committed first.
create function views.keeps(of_view text)
returns boolean
language plpgsql
stable
parallel safe
set search_path = pg_catalog, views, pg_temp
as $$
declare
    kept_from bigint := views.kept_from(of_view);
begin
    if views.as_of() < kept_from then
        raise exception 'the rows of % are kept from position % on, not as of %', of_view, kept_from, views.as_of()
            using errcode = 'FL001';
    end if;
    return true;
end
$$;

grant execute on function views.kept_from, views.keeps to foldline_query, foldline_projector;
