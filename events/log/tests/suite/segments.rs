//! Hundreds of segments slow nothing: an append and the read of a page at the head touch the segments that they concern,
//! and no other. Counted by the database, not timed.

use std::collections::BTreeMap;

use foldline_log::{Expected, Log, Service};
use foldline_schema::testing::TestDatabase;
use sqlx::PgConnection;

use crate::store::{append, appended, event, migrate, one, open, owner};

const SEGMENT_POSITIONS: i64 = 5;
const EVENTS: i64 = 1_500;
const EVENTS_PER_APPEND: i64 = 500;

/// How often each segment was scanned or inserted into.
async fn touches(owner: &mut PgConnection) -> BTreeMap<String, i64> {
    let touches: Vec<(String, i64)> = sqlx::query_as(
        "select relname::text, coalesce(seq_scan, 0) + coalesce(idx_scan, 0) + n_tup_ins
         from pg_stat_user_tables
         where schemaname = 'log'
           and relname ~ '^(events|tags)_[0-9]+$'",
    )
    .fetch_all(owner)
    .await
    .unwrap();
    touches.into_iter().collect()
}

/// The first positions of the segments that something touches, in order and each once.
async fn touched(database: &TestDatabase, something: impl AsyncFnOnce(&Log)) -> Vec<i64> {
    let mut owner = owner(database).await;
    let before = touches(&mut owner).await;
    let log = open(database, Service::Command).await;
    something(&log).await;
    drop(log);
    // A session tells what it touched when it ends, at the latest.
    loop {
        let others: i64 = sqlx::query_scalar(
            "select count(*)
             from pg_stat_activity
             where datname = current_database()
               and backend_type = 'client backend'
               and pid <> pg_backend_pid()",
        )
        .fetch_one(&mut owner)
        .await
        .unwrap();
        if others == 0 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let after = touches(&mut owner).await;
    let moved = after
        .iter()
        .filter(|(segment, touches)| before.get(*segment).unwrap_or(&0) != *touches);
    let mut firsts: Vec<i64> = moved
        .map(|(segment, _)| segment.split_once('_').unwrap().1.parse().unwrap())
        .collect();
    firsts.sort_unstable();
    firsts.dedup();
    firsts
}

#[tokio::test]
async fn of_hundreds_of_segments_an_append_and_a_page_at_the_head_touch_only_their_own() {
    let database = TestDatabase::empty().await;
    migrate(database.url.clone(), SEGMENT_POSITIONS).await;
    let filling = touched(&database, async |log| {
        for _ in 0..EVENTS / EVENTS_PER_APPEND {
            let events = (0..EVENTS_PER_APPEND).map(|_| event("test.Happened", &["kind:test"]));
            let many = append("task-1", Expected::Any, events.collect());
            appended(log.append(many).await.unwrap());
        }
    })
    .await;
    assert!(filling.len() >= 300, "{} segments", filling.len());
    // Plans know how long the segments are, as they do in the long run.
    sqlx::raw_sql("vacuum analyze")
        .execute(&mut owner(&database).await)
        .await
        .unwrap();

    let appending = touched(&database, async |log| {
        appended(log.append(one("task-2")).await.unwrap());
    })
    .await;
    // The last that holds events, and those made ahead.
    let last = EVENTS - SEGMENT_POSITIONS;
    assert!(
        !appending.is_empty() && appending.len() <= 5,
        "{appending:?}"
    );
    assert!(
        appending.iter().all(|first| *first >= last),
        "{appending:?}"
    );

    let after = EVENTS - 2 * SEGMENT_POSITIONS;
    let reading = touched(&database, async |log| {
        assert_eq!(log.read(after, 8).await.unwrap().len(), 8);
    })
    .await;
    assert!(!reading.is_empty() && reading.len() <= 6, "{reading:?}");
    assert!(reading.iter().all(|first| *first >= after), "{reading:?}");
}
