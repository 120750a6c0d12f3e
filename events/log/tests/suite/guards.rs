//! "No event of these types with these tags after that position."

use std::time::Duration;

use foldline_events::Tenant;
use foldline_log::{Append, EVENTS_PER_APPEND_MAX, Expected, Guard, Service, Verdict};
use foldline_schema::testing::TestDatabase;
use futures_util::future::join_all;

use crate::store::{
    append, appended, both, database_with_large_segments, event, log, one, open, owner,
};

fn guarded(stream: &str, after: i64) -> Append {
    let mut request = one(stream);
    request.guards.push(Guard {
        tag: "project:1".to_owned(),
        event_types: vec!["test.Archived".to_owned(), "test.Deleted".to_owned()],
        after,
    });
    request
}

fn archive() -> Append {
    append(
        "project-1",
        Expected::Any,
        vec![event("test.Archived", &["project:1"])],
    )
}

#[tokio::test]
async fn a_guard_sees_only_its_types_its_tags_its_tenant_and_later_positions() {
    for log in both().await {
        let renamed = append(
            "project-1",
            Expected::Any,
            vec![event("test.Renamed", &["project:1"])],
        );
        appended(log.append(renamed).await.unwrap());
        let other_tag = append(
            "project-2",
            Expected::Any,
            vec![event("test.Archived", &["project:2"])],
        );
        appended(log.append(other_tag).await.unwrap());
        let mut other_tenant = archive();
        other_tenant.tenant = Tenant::parse("other").unwrap();
        appended(log.append(other_tenant).await.unwrap());
        appended(log.append(guarded("task-1", 0)).await.unwrap());

        let archived = appended(log.append(archive()).await.unwrap())
            .cursor
            .position;
        assert_eq!(
            log.append(guarded("task-2", archived - 1)).await.unwrap(),
            Verdict::Guarded { by: archived }
        );
        appended(log.append(guarded("task-3", archived)).await.unwrap());
    }
}

#[tokio::test]
async fn nothing_guarded_follows_what_its_guard_excludes_however_they_race() {
    for _ in 0..20 {
        let log = log().await;
        let mut race: Vec<_> = (0..20)
            .map(|n| log.append(guarded(&format!("task-{n}"), 0)))
            .collect();
        race.insert(10, log.append(archive()));
        join_all(race).await.into_iter().for_each(|verdict| {
            verdict.unwrap();
        });
        let events = log.read(0, 100).await.unwrap();
        let archived = events
            .iter()
            .position(|event| event.event_type == "test.Archived")
            .unwrap();
        assert_eq!(
            archived,
            events.len() - 1,
            "a guarded append came after the archive"
        );
    }
}

/// How many entries of the tags' indexes were read, by whoever has ended.
async fn tags_read(database: &TestDatabase) -> i64 {
    sqlx::query_scalar(
        "select sum(idx_tup_read)::bigint
         from pg_stat_user_indexes
         where relname like 'tags\\_%'",
    )
    .fetch_one(&mut owner(database).await)
    .await
    .unwrap()
}

#[tokio::test]
async fn what_a_guard_costs_does_not_grow_with_what_it_passes_over() {
    const PASSED_OVER: usize = 20_000;
    const GUARDED: i64 = 100;
    let database = database_with_large_segments().await;
    let log = open(&database, Service::Command).await;
    let happened = || event("test.Happened", &["project:1"]);
    for n in 0..PASSED_OVER / EVENTS_PER_APPEND_MAX {
        let events = (0..EVENTS_PER_APPEND_MAX).map(|_| happened()).collect();
        appended(
            log.append(append(&format!("other-{n}"), Expected::Any, events))
                .await
                .unwrap(),
        );
    }
    drop(log);
    sqlx::raw_sql("analyze")
        .execute(&mut owner(&database).await)
        .await
        .unwrap();
    ended(&database).await;

    let before = tags_read(&database).await;
    let log = open(&database, Service::Command).await;
    for n in 0..GUARDED {
        appended(log.append(guarded(&format!("task-{n}"), 0)).await.unwrap());
    }
    drop(log);
    ended(&database).await;
    let read = tags_read(&database).await - before;
    assert!(read <= 10 * GUARDED, "{read} entries were read");
}

/// Waits until nobody is connected any more: what a session counted is seen when it ends.
pub async fn ended(database: &TestDatabase) {
    let mut owner = owner(database).await;
    for _ in 0..200 {
        let others: i64 = sqlx::query_scalar(
            "select count(*) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()",
        )
        .fetch_one(&mut owner)
        .await
        .unwrap();
        if others == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("somebody stays connected");
}
