//! Indexes late: a view that begins with a long log has its indexes when it has caught up, and until then does without.

use foldline_log::Service;
use sqlx::PgPool;

use crate::{
    log::{PATIENCE, Running, append, open, replayed},
    seeded::seeded,
    support::{Views, apply},
};

/// Every index of the views' own tables.
const INDEXES: &str = "
    select indexdef
    from pg_indexes
    where schemaname = 'views'
        and tablename ~ '_v[0-9]+$'
        -- Null of one that is just being dropped.
        and indexdef is not null
    order by indexdef
";
/// How many there are: whoever reads what they are meets those that are just being made or dropped.
const INDEXES_COUNTED: &str = "
    select count(*)
    from pg_index i
    join pg_class t
        on t.oid = i.indrelid
    where t.relnamespace = 'views'::regnamespace
        and t.relname ~ '_v[0-9]+$'
";
/// The views' own tables of which the planner is not to count anew meanwhile.
const UNCOUNTED: &str = "
    select c.relname::text
    from pg_class c
    where c.relnamespace = 'views'::regnamespace
        and c.reloptions::text like '%autovacuum_analyze_threshold%'
    order by c.relname
";
/// Those that nobody has ever counted.
const NEVER_COUNTED: &str = "
    select c.relname::text
    from pg_class c
    where c.relnamespace = 'views'::regnamespace
        and c.relkind = 'r'
        and c.relname ~ '_v[0-9]+$'
        and c.reltuples < 0
    order by c.relname
";
/// The keys of the views' own tables.
const KEYS: &str = "
    select conrelid::regclass || ' ' || conname || ' ' || pg_get_constraintdef(oid)
    from pg_constraint
    where connamespace = 'views'::regnamespace
        and contype = 'p'
        and conname ~ '_v[0-9]+_pkey$'
    order by 1
";
/// The tables of which a key is left for later.
const KEYS_LEFT: &str = "
    select substring(name from '^~~(.*)_pkey key$')
    from views.late_indexes
    where name like '~~%_pkey key'
    order by name
";
const LATE: &str = "select count(*) from views.late_indexes";

const TABLES: [&str; 12] = [
    "project_view_past_v4",
    "project_view_v4",
    "task_dashboard_day_v3",
    "task_dashboard_task_past_v3",
    "task_dashboard_task_v3",
    "task_dashboard_v3",
    "task_history_v3",
    "task_view_comment_v4",
    "task_view_mark_past_v4",
    "task_view_mark_v4",
    "task_view_past_v4",
    "task_view_v4",
];

async fn leave(pool: &PgPool, view: &str, version: i32) -> i64 {
    let added = ONLY_ADDED.map(|table| table.rsplit_once("_v").unwrap().0);
    sqlx::query_scalar("select views.leave_indexes_for_later($1, $2, $3)")
        .bind(view)
        .bind(version)
        .bind(added)
        .fetch_one(pool)
        .await
        .unwrap()
}

/// The tables that are only ever added to.
const ONLY_ADDED: [&str; 6] = [
    "project_view_past_v4",
    "task_dashboard_task_past_v3",
    "task_history_v3",
    "task_view_comment_v4",
    "task_view_mark_past_v4",
    "task_view_past_v4",
];

async fn until_late(views: &Views, is_it: impl Fn(i64) -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !is_it(views.all::<i64>(LATE).await[0]) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    });
    waited.await.expect("the indexes never came to that");
}

#[tokio::test]
async fn a_view_that_begins_with_a_long_log_gets_its_indexes_when_it_has_caught_up() {
    let history = seeded(41, 300);
    let views = Views::new().await;
    let before: Vec<String> = views.all(INDEXES).await;
    let keys: Vec<String> = views.all(KEYS).await;
    let log = open(views.options(), Service::Command).await;
    append(&log, &history.events[..250]).await;

    let running = Running::start_with(&views, |options| options.long_log_events = 250).await;
    until_late(&views, |late| late > 10).await;
    let fewer = views.all::<i64>(INDEXES_COUNTED).await[0];
    assert!(fewer < i64::try_from(before.len()).unwrap(), "{fewer}");
    running.folded(250).await;
    until_late(&views, |late| late == 0).await;
    assert_eq!(views.all::<String>(INDEXES).await, before);
    assert_eq!(views.all::<String>(KEYS).await, keys);
    assert_eq!(views.all::<String>(UNCOUNTED).await, [""; 0]);
    assert_eq!(views.all::<String>(NEVER_COUNTED).await, [""; 0]);

    append(&log, &history.events[250..]).await;
    running.folded(history.head()).await;
    assert_eq!(views.rows().await, replayed(&history).await);
    running.end().await;
    // The next to come finds something folded, and leaves nothing out.
    let running = Running::start_with(&views, |options| options.long_log_events = 250).await;
    running.folded(history.head()).await;
    assert_eq!(views.all::<String>(INDEXES).await, before);
    running.end().await;
}

#[tokio::test]
async fn what_is_left_for_later_is_left_once_and_no_table_of_the_views_is_counted_before() {
    let views = Views::new().await;
    for (view, version) in [
        ("project_view", 4),
        ("task_view", 4),
        ("task_history", 3),
        ("task_dashboard", 3),
    ] {
        assert!(leave(&views.pool, view, version).await > 0, "{view}");
        assert_eq!(leave(&views.pool, view, version).await, 0, "{view} again");
    }
    assert_eq!(views.all::<String>(UNCOUNTED).await, TABLES);
    assert_eq!(views.all::<String>(KEYS_LEFT).await, ONLY_ADDED);
}

#[tokio::test]
async fn a_short_log_is_folded_with_its_indexes() {
    let history = seeded(42, 100);
    let views = Views::new().await;
    let before: Vec<String> = views.all(INDEXES).await;
    append(
        &open(views.options(), Service::Command).await,
        &history.events,
    )
    .await;
    let running = Running::start_with(&views, |options| options.long_log_events = 101).await;
    running.folded(100).await;
    assert_eq!(views.all::<String>(INDEXES).await, before);
    running.end().await;
}

#[tokio::test]
async fn what_was_left_out_by_somebody_who_died_is_made_by_whoever_comes_next() {
    let history = seeded(43, 100);
    let views = Views::new().await;
    let before: Vec<String> = views.all(INDEXES).await;
    let keys: Vec<String> = views.all(KEYS).await;
    assert!(leave(&views.pool, "task_view", 4).await > 10);
    let log = open(views.options(), Service::Command).await;
    append(&log, &history.events).await;
    let running = Running::start(&views).await;
    until_late(&views, |late| late == 0).await;
    assert_eq!(views.all::<String>(INDEXES).await, before);
    assert_eq!(views.all::<String>(KEYS).await, keys);
    running.end().await;
}

#[tokio::test]
async fn a_view_that_holds_something_keeps_its_indexes() {
    let views = Views::new().await;
    apply(&mut views.writer().await, seeded(44, 50).whole()).await;
    let before: Vec<String> = views.all(INDEXES).await;
    assert_eq!(leave(&views.pool, "task_view", 4).await, 0);
    assert_eq!(views.all::<String>(INDEXES).await, before);
}

#[tokio::test]
async fn a_long_log_is_folded_without_the_keys_of_what_is_only_added_to() {
    let history = seeded(46, 300);
    let views = Views::new().await;
    let nobody_makes_them =
        "revoke execute on function views.build_late_index from foldline_projector";
    sqlx::query(nobody_makes_them)
        .execute(&views.owner)
        .await
        .unwrap();
    let log = open(views.options(), Service::Command).await;
    append(&log, &history.events).await;
    let running = Running::start_with(&views, |options| options.long_log_events = 250).await;
    running.folded(history.head()).await;
    assert_eq!(views.all::<String>(KEYS_LEFT).await, ONLY_ADDED);
    assert_eq!(views.rows().await, replayed(&history).await);
    running.end().await;
}

#[tokio::test]
async fn a_key_that_was_left_for_later_still_refuses_a_row_that_is_there_twice() {
    let history = seeded(45, 100);
    let views = Views::new().await;
    leave(&views.pool, "task_history", 3).await;
    apply(&mut views.writer().await, history.whole()).await;
    let twice = "insert into views.task_history_v3 select * from views.task_history_v3 limit 1";
    sqlx::query(twice).execute(&views.owner).await.unwrap();
    let refused = loop {
        let built = sqlx::query("select views.build_late_index('task_history', 3)");
        if let Err(refused) = built.execute(&views.pool).await {
            break refused;
        }
    };
    let code = refused.as_database_error().and_then(|error| error.code());
    assert_eq!(code.as_deref(), Some("23505"), "{refused}");
    let left = views.all::<i64>(LATE).await;
    assert_eq!(left, [2], "nothing else has to wait for it");
}
