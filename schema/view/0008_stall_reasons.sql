-- Why a partition does not go on, for those who read this database alone.

alter table views.lag
    -- Null of an older projector: then `stalled_at` says whether it was taken over.
    add column stalled_reason text collate "C",
    -- In the words of whoever folds it.
    add column stalled_why text,
    add constraint lag_reason_known check (stalled_reason in ('too_many_parked', 'taken_over', 'failing'));

-- Such words may quote an event of any tenant, so the query service does not read them.
revoke select on views.lag from foldline_query;
grant select (view, version, partition, events, seconds, stalled_since, stalled_at, stalled_reason, told_at)
    on views.lag to foldline_query;
