//! Installing the log's functions over those of an earlier build.

use foldline_log::{Error, Expected, Service};
use sqlx::PgConnection;

use crate::store::{append, appended, database, event, one, open, owner};

/// How many arguments `log.append` and `log.refusals` took before guards had several tags.
const EARLIER: [(&str, i32); 2] = [("append", 39), ("refusals", 12)];

/// An append as a process of that build sends it: one event, guarded by one tag.
const APPEND_OF_EARLIER: &str = "
    select coalesce(refused_verdicts[1], 'appended')
    from log.append(
        50, '{acme}', array[gen_random_uuid()], array['input'::bytea], '{task-9}', '{1}', '{1}', '{0}', '{1}', '{acme}',
        '{task-9}', '{NULL}', '{1}', '{1}', '{1}', '{acme}', '{project:1}', '{test.Archived}', '{0}', '{1}', '{1}',
        '{0}', array[gen_random_uuid()], '{acme}', '{task-9}', '{test.Happened}', '{1}', array['{}'], array[''],
        '{ann}', array[gen_random_uuid()], array[gen_random_uuid()], array[gen_random_uuid()], '{NULL}', array[now()],
        '{}', '{}', '{}', '{}'
    )";

async fn forms(owner: &mut PgConnection, name: &str) -> i64 {
    sqlx::query_scalar(
        "select count(*)
         from pg_proc
         where pronamespace = 'log'::regnamespace
           and proname = $1",
    )
    .bind(name)
    .fetch_one(owner)
    .await
    .unwrap()
}

/// Puts something with an earlier form's parameters where the present function stands.
async fn set_back(owner: &mut PgConnection, name: &str, arguments: i32) {
    let parameters: String = sqlx::query_scalar(
        "select string_agg(format_type(u.type, null), ', ' order by u.n)
         from pg_proc p
         cross join unnest(p.proargtypes::oid[]) with ordinality as u (type, n)
         where p.pronamespace = 'log'::regnamespace
           and p.proname = $1
           and u.n <= $2",
    )
    .bind(name)
    .bind(arguments)
    .fetch_one(&mut *owner)
    .await
    .unwrap();
    let earlier = format!(
        "drop function log.{name};
         create function log.{name}({parameters}) returns void language sql as ''"
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(earlier))
        .execute(owner)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_migration_leaves_one_form_of_each_function_and_serves_the_build_before_it() {
    let database = database().await;
    let mut owner = owner(&database).await;
    for (name, arguments) in EARLIER {
        set_back(&mut owner, name, arguments).await;
    }
    for _ in 0..2 {
        foldline_log::install(&mut owner).await.unwrap();
        for (name, _) in EARLIER {
            assert_eq!(forms(&mut owner, name).await, 1, "{name}");
        }
    }
    let log = open(&database, Service::Command).await;
    appended(log.append(one("task-1")).await.unwrap());

    let earlier = || sqlx::query_scalar::<_, String>(APPEND_OF_EARLIER);
    let answer = earlier().fetch_one(&mut owner).await.unwrap();
    assert_eq!(answer, "appended");
    let archived = event("test.Archived", &["project:1"]);
    appended(
        log.append(append("project-1", Expected::Any, vec![archived]))
            .await
            .unwrap(),
    );
    let answer = earlier().fetch_one(&mut owner).await.unwrap();
    assert_eq!(answer, "guarded");
}

#[tokio::test]
async fn an_append_by_a_form_that_knew_no_batches_is_caught_up_with_by_the_next_migration() {
    let database = database().await;
    let mut owner = owner(&database).await;
    let log = open(&database, Service::Command).await;
    appended(log.append(one("task-1")).await.unwrap());
    let by_an_earlier_form = "
        insert into log.events
        select position + 1, partition, gen_random_uuid(), tenant, 'task-2', version, type, schema_version, payload,
            tags, actor, gen_random_uuid(), correlation_id, causation_id, trace_context, occurred_at, recorded_at
        from log.events";
    sqlx::raw_sql(by_an_earlier_form)
        .execute(&mut owner)
        .await
        .unwrap();
    let taken = log.append(one("task-3")).await;
    assert!(matches!(taken, Err(Error::Refused(_))), "{taken:?}");

    foldline_log::install(&mut owner).await.unwrap();
    appended(log.append(one("task-3")).await.unwrap());
    assert_eq!(log.head().await.unwrap().position, 3);
    assert_eq!(log.read(0, 10).await.unwrap().len(), 3);
}

#[tokio::test]
async fn migrations_at_the_same_time_wait_for_each_other() {
    let database = database().await;
    let migrations = (0..6).map(|_| async {
        let mut owner = owner(&database).await;
        foldline_log::install(&mut owner).await
    });
    for migrated in futures_util::future::join_all(migrations).await {
        migrated.unwrap();
    }
}

#[tokio::test]
async fn a_migration_gives_up_on_a_lock_that_somebody_keeps_and_says_who_that_is() {
    let database = database().await;
    let mut holder = owner(&database).await;
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid() from pg_advisory_lock(1718578276)")
        .fetch_one(&mut holder)
        .await
        .unwrap();
    let mut migrating = owner(&database).await;
    let refused = foldline_log::install(&mut migrating).await.unwrap_err();
    assert!(
        matches!(refused, Error::InstallBlocked { pid: Some(by) } if by == pid),
        "{refused:?}"
    );
    drop(holder);
    // The same connection goes on.
    foldline_log::install(&mut migrating).await.unwrap();
}
