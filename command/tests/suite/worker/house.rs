//! Housekeeping: what has expired goes, and nothing else.

use std::time::Duration;

use foldline_command::{Handler, Request};
use foldline_gate::Role;
use sqlx::{FromRow, PgConnection, postgres::PgRow};
use uuid::Uuid;

use super::{PATIENCE, Running, owner};
use crate::service::{caller, database, handler, log, project, recorded, request};

/// As if the last hour's were missed.
async fn is_due(owner: &mut PgConnection) {
    sqlx::query(
        "insert into work.schedules (name, last_at) values ('housekeeping', now() - interval '2 hours')
         on conflict on constraint schedules_pkey do update set last_at = excluded.last_at",
    )
    .execute(owner)
    .await
    .unwrap();
}

/// What a query of one column gives, once it is as wanted.
async fn until<T>(
    owner: &mut PgConnection,
    query: &'static str,
    is_it: impl Fn(&[T]) -> bool,
) -> Vec<T>
where
    (T,): for<'r> FromRow<'r, PgRow>,
    T: Send + Unpin,
{
    let waiting = async {
        loop {
            let found: Vec<T> = sqlx::query_scalar(query)
                .fetch_all(&mut *owner)
                .await
                .unwrap();
            if is_it(&found) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

#[tokio::test]
async fn housekeeping_removes_states_that_nobody_has_written_for_long_and_no_others() {
    let database = database().await;
    let mut owner = owner(&database).await;
    for (stream, days) in [("task-old", 31), ("task-new", 29)] {
        sqlx::query(
            "insert into log.snapshots (tenant, stream, fold, version, position, event_id, state, digest, kept_at)
             values ('acme', $1, 'f', 1, 1, gen_random_uuid(), '', '', now() - make_interval(days => $2))",
        )
        .bind(stream)
        .bind(days)
        .execute(&mut owner)
        .await
        .unwrap();
    }
    is_due(&mut owner).await;
    let running = Running::start(&database).await;
    let kept = "select stream from log.snapshots";
    let left: Vec<String> = until(&mut owner, kept, |left| left.len() < 2).await;
    assert_eq!(left, ["task-new"]);
    running.end().await;
}

/// A name for a project, under an id that is used again.
fn naming(id: Uuid, project: Uuid, name: &str) -> Request {
    let data = format!(r#"{{"name":"{name}"}}"#);
    Request {
        id,
        ..request(project, "tasks.rename_project", &data)
    }
}

async fn give(handler: &Handler, request: Request) {
    handler.handle(&caller(Role::Admin), request).await.unwrap();
}

/// An id that is known gives its first answer; one that is forgotten does it again.
#[tokio::test]
async fn the_ids_of_commands_of_long_ago_are_forgotten_and_no_others() {
    let database = database().await;
    let handler = handler(&database).await;
    let log = log(&database).await;
    let project = project(&handler).await;
    let (old, new) = (Uuid::now_v7(), Uuid::now_v7());
    give(&handler, naming(old, project, "Mars")).await;
    give(&handler, naming(new, project, "Venus")).await;
    let mut owner = owner(&database).await;
    // The log was at the first name 91 days ago; the second came 89 days ago.
    sqlx::raw_sql(
        "update log.events set recorded_at = now() - interval '89 days' where position = 3;
         update log.events set recorded_at = now() - interval '92 days' where position < 3;
         insert into work.heads (seen_at, position)
         values (now() - interval '91 days', 2), (now() - interval '89 days', 3)",
    )
    .execute(&mut owner)
    .await
    .unwrap();

    is_due(&mut owner).await;
    let running = Running::start(&database).await;
    let known = "select command_id from log.commands order by position";
    let left: Vec<Uuid> = until(&mut owner, known, |left| left.len() < 3).await;
    assert_eq!(left, [new]);
    running.end().await;
    let forgotten: i64 = sqlx::query_scalar("select position from work.forgotten")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(forgotten, 2);

    give(&handler, naming(new, project, "Venus")).await;
    assert_eq!(recorded(&log).await.len(), 3);
    give(&handler, naming(old, project, "Mars")).await;
    assert_eq!(recorded(&log).await.len(), 4);
}

/// What somebody imported has the times of its file, and its ids are as new as those of today.
#[tokio::test]
async fn the_age_of_a_command_is_not_told_by_the_logs_own_times() {
    let database = database().await;
    let handler = handler(&database).await;
    project(&handler).await;
    let mut owner = owner(&database).await;
    sqlx::query("update log.events set recorded_at = now() - interval '3 years'")
        .execute(&mut owner)
        .await
        .unwrap();
    is_due(&mut owner).await;
    let running = Running::start(&database).await;
    let heads = "select position from work.heads";
    until(&mut owner, heads, |heads: &[i64]| heads == [1]).await;
    running.end().await;
    let known: i64 = sqlx::query_scalar("select count(*) from log.commands")
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(known, 1);
}
