//! Snapshots: given out as they were kept, or not at all.

use foldline_events::{Recorded, Tenant, Version};
use foldline_log::{Error, Expected, Folding, Log, SNAPSHOT_BYTES_MAX, Service, Snapshot};
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use crate::store::{append, appended, database, event, log, open, owner, tenant};

const STREAM: &str = "task-1";

fn of<'a>(tenant: &'a Tenant, fold: &'a str) -> Folding<'a> {
    Folding {
        tenant,
        stream: STREAM,
        fold,
    }
}

/// A stream of five events, behind one event of another stream.
async fn filled(log: &Log) -> Vec<Recorded> {
    for (stream, events) in [("task-2", 1), (STREAM, 5)] {
        let events = (0..events).map(|_| event("test.Happened", &[])).collect();
        let append = append(stream, Expected::NoStream, events);
        appended(log.append(append).await.unwrap());
    }
    log.read_stream(&tenant(), STREAM, 0, 10).await.unwrap()
}

async fn keep(log: &Log, of: Folding<'_>, event: &Recorded, state: &[u8]) -> bool {
    let kept = log.keep_snapshot(of, event.version, event.id, event.position, state);
    kept.await.unwrap()
}

async fn rows(owner: &mut PgConnection) -> Vec<(String, Version)> {
    sqlx::query_as("select fold, version from log.snapshots order by fold")
        .fetch_all(owner)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_snapshot_comes_back_as_it_was_kept_byte_for_byte() {
    let log = log().await;
    let events = filled(&log).await;
    let (tenant, state) = (tenant(), (0..=u8::MAX).collect::<Vec<u8>>());
    assert!(keep(&log, of(&tenant, "a"), &events[2], &state).await);
    let expected = Snapshot {
        version: 3,
        position: 4,
        event_id: events[2].id,
        state,
    };
    let found = log.snapshot(of(&tenant, "a")).await.unwrap();
    assert_eq!(found, Some(expected));

    let elsewhere = Tenant::parse("globex").unwrap();
    for other in [of(&elsewhere, "a"), of(&tenant, "b")] {
        assert_eq!(log.snapshot(other).await.unwrap(), None);
    }
}

#[tokio::test]
async fn an_older_snapshot_does_not_take_the_place_of_a_newer_one() {
    let log = log().await;
    let events = filled(&log).await;
    let tenant = tenant();
    let of = of(&tenant, "a");
    assert!(keep(&log, of, &events[3], b"4").await);
    assert!(!keep(&log, of, &events[2], b"3").await);
    assert!(!keep(&log, of, &events[3], b"4 again").await);
    assert_eq!(log.snapshot(of).await.unwrap().unwrap().state, b"4");
    assert!(keep(&log, of, &events[4], b"5").await);
    assert_eq!(log.snapshot(of).await.unwrap().unwrap().state, b"5");
}

#[tokio::test]
async fn a_state_of_events_that_the_log_does_not_hold_is_not_kept() {
    let log = log().await;
    let events = filled(&log).await;
    let (tenant, elsewhere) = (tenant(), Tenant::parse("globex").unwrap());
    let head = &events[4];
    for (tenant, version, event_id, through) in [
        (&tenant, head.version, Uuid::now_v7(), head.position),
        (&tenant, head.version - 1, head.id, head.position),
        (&tenant, head.version + 1, head.id, head.position),
        (&tenant, head.version, head.id, head.position - 1),
        (&elsewhere, head.version, head.id, head.position),
    ] {
        let kept = log.keep_snapshot(of(tenant, "a"), version, event_id, through, b"state");
        assert!(!kept.await.unwrap());
        assert_eq!(log.snapshot(of(tenant, "a")).await.unwrap(), None);
    }
}

/// While two builds run side by side, neither makes the other replay; and builds long gone leave nothing behind.
#[tokio::test]
async fn of_a_stream_the_two_folds_that_kept_last_stay() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    let events = filled(&log).await;
    let tenant = tenant();
    let mut owner = owner(&database).await;
    for (event, fold, expected) in [
        (0, "a", vec![("a", 1)]),
        (0, "b", vec![("a", 1), ("b", 1)]),
        (1, "a", vec![("a", 2), ("b", 1)]),
        (2, "b", vec![("a", 2), ("b", 3)]),
        (3, "c", vec![("b", 3), ("c", 4)]),
        (4, "b", vec![("b", 5), ("c", 4)]),
    ] {
        assert!(keep(&log, of(&tenant, fold), &events[event], b"state").await);
        let expected: Vec<(String, Version)> = expected
            .into_iter()
            .map(|(fold, version)| (fold.to_owned(), version))
            .collect();
        assert_eq!(rows(&mut owner).await, expected);
    }
}

#[tokio::test]
async fn a_damaged_snapshot_and_one_of_another_history_are_dropped() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    let events = filled(&log).await;
    let tenant = tenant();
    let of = of(&tenant, "a");
    let mut owner = owner(&database).await;
    for wrong in [
        "update log.snapshots set state = 'stale'",
        "update log.snapshots set event_id = gen_random_uuid()",
        "update log.snapshots set version = 4",
        "update log.snapshots set position = 5",
        // At the place of another event of its stream.
        "update log.snapshots s set (version, position, event_id) = (e.version, e.position, e.id)
         from log.events e where e.stream = s.stream and e.version = 4",
        // Another event at its place, as in a log that was restored and has gone on.
        "update log.events set id = gen_random_uuid() where version = 5",
        "delete from log.events where version = 5",
    ] {
        assert!(keep(&log, of, &events[4], b"state").await, "{wrong}");
        let changed = sqlx::raw_sql(AssertSqlSafe(wrong)).execute(&mut owner);
        assert_eq!(changed.await.unwrap().rows_affected(), 1, "{wrong}");
        // One that has seen nothing of what is changed.
        let log = open(&database, Service::Command).await;
        assert_eq!(log.snapshot(of).await.unwrap(), None, "{wrong}");
        assert_eq!(rows(&mut owner).await, [], "{wrong}");
        if wrong.contains("set id") {
            let back = "update log.events set id = $1 where version = 5";
            let back = sqlx::query(back).bind(events[4].id);
            back.execute(&mut owner).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_snapshot_that_is_too_large_is_refused() {
    let log = log().await;
    let events = filled(&log).await;
    let tenant = tenant();
    let state = vec![0; SNAPSHOT_BYTES_MAX + 1];
    let of = of(&tenant, "a");
    let refused = log
        .keep_snapshot(of, 5, events[4].id, events[4].position, &state)
        .await;
    assert!(matches!(refused, Err(Error::SnapshotTooLarge { bytes, .. }) if bytes == state.len()));
    assert!(keep(&log, of, &events[4], &state[1..]).await);
    let found = log.snapshot(of).await.unwrap().unwrap();
    assert_eq!(found.state, state[1..]);
}
