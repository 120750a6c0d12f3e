//! Loading streams with and without snapshots, over a real Postgres.

#![expect(
    clippy::disallowed_methods,
    reason = "tests are an edge: ids and times enter with them"
)]

use std::time::Duration;

use chrono::Utc;
use foldline_domain::{Decider, tasks::Task};
use foldline_events::{
    Event,
    tasks::{TaskEvent, TaskRenamed},
};
use foldline_log::{
    Append, EVENTS_PER_APPEND_MAX, Expected, Folding, LogOptions, NewEvent, Service, Write,
};
use foldline_schema::testing::TestDatabase;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::*;
use crate::snapshots::SNAPSHOT_EVERY_EVENTS;

/// Longer than a page, and by less than what makes the next snapshot due.
const LONG: usize = 700;
/// How long something that happens by itself may take, at the very most.
const PATIENCE: Duration = Duration::from_secs(60);

async fn database() -> TestDatabase {
    TestDatabase::prepared(async |url| {
        let mut owner = PgConnection::connect(&url).await.unwrap();
        foldline_schema::migrate_log(&mut owner, "test", foldline_schema::SEGMENT_POSITIONS)
            .await
            .unwrap();
        foldline_log::install(&mut owner).await.unwrap();
        owner.close().await.unwrap();
    })
    .await
}

async fn open(database: &TestDatabase) -> Log {
    let options = LogOptions::new(database.url.parse().unwrap(), Service::Command);
    Log::open(options).await.unwrap()
}

async fn owner(database: &TestDatabase) -> PgConnection {
    PgConnection::connect(&database.url).await.unwrap()
}

/// Of a process that has just started.
fn cold(log: &Log) -> Streams<Task> {
    Streams::new(log, 64 * 1024 * 1024)
}

fn key(stream: &str) -> Key {
    Key {
        tenant: Tenant::parse("acme").unwrap(),
        stream: stream.to_owned(),
    }
}

/// Everything that can happen to a task, over and over, with a title of its own after every second event.
fn history(events: usize) -> impl Iterator<Item = TaskEvent> {
    let examples: Vec<TaskEvent> = foldline_events::examples()
        .iter()
        .map(|it| Event::decode(it.event_type, it.schema_version, &it.payload).unwrap())
        .filter_map(Task::narrow)
        .collect();
    assert!(matches!(examples[0], TaskEvent::Created(_)));
    (0..events).map(move |n| match n % 2 {
        0 => examples[n / 2 % examples.len()].clone(),
        _ => TaskEvent::Renamed(TaskRenamed {
            title: format!("title {n}"),
        }),
    })
}

async fn fill(log: &Log, key: &Key, events: impl Iterator<Item = TaskEvent>) {
    let id = Uuid::now_v7();
    let events: Vec<NewEvent> = events
        .map(|event| Event::Task(event).encode(id))
        .map(|encoded| NewEvent::new(Uuid::now_v7(), Utc::now(), encoded))
        .collect();
    for events in events.chunks(EVENTS_PER_APPEND_MAX) {
        let write = Write::to(&key.stream, Expected::Any, events.to_vec());
        let append = Append::new(key.tenant.clone(), Uuid::now_v7(), "ada", vec![write]);
        log.append(append).await.unwrap();
    }
}

/// The stream folded from its first event, by nothing but the rules; up to a version.
async fn replayed(log: &Log, key: &Key, through: Version) -> Folded<Task> {
    let mut folded = None;
    let mut after = 0;
    loop {
        let page = log.read_stream(&key.tenant, &key.stream, after, 1_000);
        let page = page.await.unwrap();
        let within = page.iter().filter(|event| event.version <= through);
        for recorded in within {
            folded = fold(folded, &recorded.clone().into()).unwrap();
        }
        match page.last() {
            Some(last) if last.version < through => after = last.version,
            _ => return folded.unwrap(),
        }
    }
}

/// Leaves out what is known of snapshots and of the rest of the log: that is no part of what a stream folds to.
fn of_the_stream(folded: &Folded<Task>) -> Folded<Task> {
    Folded {
        kept: 0,
        complete: folded.position,
        ..folded.clone()
    }
}

async fn assert_loads_as_by_replay(log: &Log, key: &Key, case: &str) {
    let loaded = cold(log).load(key, Reading::Cached).await.unwrap().unwrap();
    let replayed = replayed(log, key, Version::MAX).await;
    assert_eq!(of_the_stream(&loaded), replayed, "{case}");
}

async fn execute(owner: &mut PgConnection, statement: &str) -> u64 {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(owner)
        .await
        .unwrap()
        .rows_affected()
}

/// The states kept of a stream, and the versions they are of.
async fn kept(owner: &mut PgConnection, key: &Key) -> Vec<(Version, Vec<u8>)> {
    sqlx::query_as("select version, state from log.snapshots where stream = $1 order by version")
        .bind(&key.stream)
        .fetch_all(owner)
        .await
        .unwrap()
}

async fn wait_until_kept(owner: &mut PgConnection, key: &Key, version: Version) -> Vec<u8> {
    let waiting = async {
        loop {
            let kept = kept(owner, key).await;
            if let [(of, state)] = &kept[..]
                && *of == version
            {
                return state.clone();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

#[tokio::test]
async fn a_snapshot_never_changes_what_a_stream_folds_to() {
    const EVENTS: usize = 1_600;
    let log = open(&database().await).await;
    let fold_by = Snapshots::of::<Task>(log.clone());
    for version in [1, 499, 500, 501, 999, 1_000, 1_001, 1_599, 1_600] {
        let key = key(&format!("task-{version}"));
        fill(&log, &key, history(EVENTS)).await;
        let then = replayed(&log, &key, version).await;
        let state = serde_json::to_vec(&then.state).unwrap();
        let of = fold_by.folding(&key);
        assert!(
            log.keep_snapshot(of, version, then.event_id, then.position, &state)
                .await
                .unwrap()
        );
        assert_loads_as_by_replay(&log, &key, &format!("kept at {version}")).await;
    }
}

#[tokio::test]
async fn a_wrong_snapshot_is_dropped_and_the_stream_replayed() {
    let database = database().await;
    let log = open(&database).await;
    let mut owner = owner(&database).await;
    let wrong = [
        (
            "damaged, and still readable",
            "state = convert_to(replace(convert_from(state, 'UTF8'), 'title ', 'tilte '), 'UTF8')",
        ),
        (
            "kept damaged, and not readable",
            "state = '{', digest = sha256('{')",
        ),
        ("of another history", "event_id = gen_random_uuid()"),
        ("at another version", "version = version - 1"),
        ("at another position", "position = position - 1"),
        (
            "beyond the end",
            "version = version + 1000, position = position + 100000",
        ),
    ];
    for (n, (case, damage)) in wrong.into_iter().enumerate() {
        let key = key(&format!("task-{n}"));
        fill(&log, &key, history(LONG)).await;
        assert_loads_as_by_replay(&log, &key, case).await;
        let right = wait_until_kept(&mut owner, &key, LONG as Version).await;

        let damage = format!(
            "update log.snapshots set {damage} where stream = '{}'",
            key.stream
        );
        assert_eq!(execute(&mut owner, &damage).await, 1, "{case}");
        assert_loads_as_by_replay(&log, &key, case).await;
        // One that was left would stand in the way of this: a newer one is not overwritten, nor one of the same version.
        let again = wait_until_kept(&mut owner, &key, LONG as Version).await;
        assert_eq!(again, right, "{case}");
    }
}

#[tokio::test]
async fn a_snapshot_of_another_stream_is_not_taken() {
    let database = database().await;
    let log = open(&database).await;
    let mut owner = owner(&database).await;
    let (mine, other) = (key("task-1"), key("task-2"));
    fill(&log, &other, history(LONG + 100)).await;
    assert_loads_as_by_replay(&log, &other, "kept").await;
    wait_until_kept(&mut owner, &other, (LONG + 100) as Version).await;
    fill(&log, &mine, history(LONG)).await;
    let moved = "update log.snapshots set stream = 'task-1' where stream = 'task-2'";
    assert_eq!(execute(&mut owner, moved).await, 1);
    assert_loads_as_by_replay(&log, &mine, "moved").await;
}

#[tokio::test]
async fn what_another_fold_kept_is_neither_taken_nor_dropped() {
    let database = database().await;
    let log = open(&database).await;
    let mut owner = owner(&database).await;
    let key = key("task-1");
    fill(&log, &key, history(LONG)).await;
    let head = replayed(&log, &key, Version::MAX).await;
    let of = Folding {
        tenant: &key.tenant,
        stream: &key.stream,
        fold: "another build",
    };
    log.keep_snapshot(
        of,
        head.version,
        head.event_id,
        head.position,
        b"of its own",
    )
    .await
    .unwrap();
    assert_loads_as_by_replay(&log, &key, "of another fold").await;
    let waiting = async {
        while kept(&mut owner, &key).await.len() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    let others = log.snapshot(of).await.unwrap().unwrap();
    assert_eq!(others.state, b"of its own");
}

#[tokio::test]
async fn a_short_stream_is_loaded_without_looking_for_a_snapshot() {
    let database = database().await;
    let log = open(&database).await;
    let key = key("task-1");
    fill(&log, &key, history(STREAM_PAGE_EVENTS - 1)).await;
    let head = replayed(&log, &key, Version::MAX).await;
    let of = Snapshots::of::<Task>(log.clone());
    // Whoever looks at it drops it.
    log.keep_snapshot(
        of.folding(&key),
        head.version,
        head.event_id,
        head.position,
        b"wrong",
    )
    .await
    .unwrap();
    assert_loads_as_by_replay(&log, &key, "short").await;
    let kept = kept(&mut owner(&database).await, &key).await;
    assert_eq!(kept, [(head.version, b"wrong".to_vec())]);
}

/// How many rows of the log's events were read while something was done with a log of its own.
async fn events_read(
    database: &TestDatabase,
    owner: &mut PgConnection,
    something: impl AsyncFnOnce(&Log, &mut PgConnection),
) -> i64 {
    let before = rows_read(owner).await;
    let log = open(database).await;
    something(&log, owner).await;
    drop(log);
    no_other_session(owner).await;
    rows_read(owner).await - before
}

async fn rows_read(owner: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "select sum(coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0))::bigint
         from pg_stat_user_tables
         where schemaname = 'log'
           and relname like 'events%'",
    )
    .fetch_one(owner)
    .await
    .unwrap()
}

/// A session tells what it read when it ends, at the latest.
async fn no_other_session(owner: &mut PgConnection) {
    let waiting = async {
        loop {
            let others: i64 = sqlx::query_scalar(
                "select count(*)
                 from pg_stat_activity
                 where datname = current_database()
                   and backend_type = 'client backend'
                   and pid <> pg_backend_pid()",
            )
            .fetch_one(&mut *owner)
            .await
            .unwrap();
            if others == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test]
async fn of_a_stream_of_100_000_events_only_a_page_and_what_follows_its_snapshot_are_read() {
    const EVENTS: i64 = 100_000;
    const SINCE: i64 = 120;
    /// Looked up beside them: the snapshot's own event, the first event of each read, and what planning looks at.
    const BESIDE_MAX: i64 = 10;
    let database = database().await;
    let key = key("task-1");
    let mut owner = owner(&database).await;
    let load = async |log: &Log| {
        let streams = cold(log);
        let loaded = streams.load(&key, Reading::Cached).await.unwrap();
        loaded.unwrap().version
    };
    let log = open(&database).await;
    fill(&log, &key, history(EVENTS as usize)).await;
    drop(log);
    no_other_session(&mut owner).await;
    // Plans know how long the log is, as they do in the long run.
    execute(&mut owner, "vacuum analyze").await;

    let without = events_read(&database, &mut owner, async |log, owner| {
        assert_eq!(load(log).await, EVENTS);
        wait_until_kept(owner, &key, EVENTS).await;
        fill(log, &key, history(SINCE as usize)).await;
    })
    .await;
    assert!(without >= EVENTS, "{without}");

    let with = events_read(&database, &mut owner, async |log, _| {
        assert_eq!(load(log).await, EVENTS + SINCE);
    })
    .await;
    let needed = STREAM_PAGE_EVENTS as i64 + SINCE;
    assert!(
        (needed..=needed + BESIDE_MAX).contains(&with),
        "{with} of {needed}"
    );
    let log = open(&database).await;
    assert_loads_as_by_replay(&log, &key, "100,000 events").await;
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_stands_in_nobody_s_way() {
    let database = database().await;
    let log = open(&database).await;
    let keys = [1, 2, 3, 4].map(|n| key(&format!("task-{n}")));
    for key in &keys {
        fill(&log, key, history(LONG)).await;
    }
    let mut owner = owner(&database).await;
    let mut transaction = owner.begin().await.unwrap();
    // It lets readers in.
    execute(
        &mut transaction,
        "lock table log.snapshots in share row exclusive mode",
    )
    .await;
    let streams = cold(&log);
    for key in &keys {
        let loaded = tokio::time::timeout(PATIENCE, streams.load(key, Reading::Cached));
        let loaded = loaded.await.unwrap().unwrap().unwrap();
        assert_eq!(loaded.version, LONG as Version);
        let waiting = async {
            loop {
                let waiting: i64 = sqlx::query_scalar(
                    "select count(*)
                     from pg_locks
                     where relation = 'log.snapshots'::regclass
                       and database = (select oid from pg_database where datname = current_database())
                       and not granted",
                )
                .fetch_one(&mut *transaction)
                .await
                .unwrap();
                if waiting > 0 {
                    return waiting;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waiting = tokio::time::timeout(PATIENCE, waiting).await.unwrap();
        assert_eq!(waiting, 1, "one is written at a time");
    }
    transaction.rollback().await.unwrap();
    wait_until_kept(&mut owner, &keys[0], LONG as Version).await;
}

#[tokio::test]
async fn without_a_place_for_snapshots_every_stream_is_replayed() {
    let database = database().await;
    let log = open(&database).await;
    let key = key("task-1");
    fill(&log, &key, history(LONG)).await;
    execute(&mut owner(&database).await, "drop table log.snapshots").await;
    assert_loads_as_by_replay(&log, &key, "no table").await;
}

#[tokio::test]
async fn a_snapshot_is_due_once_so_many_events_lie_behind_the_last() {
    let database = database().await;
    let log = open(&database).await;
    let mut owner = owner(&database).await;
    let key = key("task-1");
    let every = SNAPSHOT_EVERY_EVENTS as usize;
    fill(&log, &key, history(every)).await;
    assert_loads_as_by_replay(&log, &key, "the first").await;
    let first = wait_until_kept(&mut owner, &key, every as Version).await;

    fill(&log, &key, history(every - 1)).await;
    let streams = cold(&log);
    let loaded = streams.load(&key, Reading::Cached).await.unwrap().unwrap();
    assert_eq!(loaded.kept, every as Version);
    assert_eq!(kept(&mut owner, &key).await, [(every as Version, first)]);

    // The stream grows here, where its state is in the cache.
    fill(&log, &key, history(1)).await;
    let loaded = streams.load(&key, Reading::Fresh).await.unwrap().unwrap();
    assert_eq!(loaded.kept, 2 * every as Version);
    wait_until_kept(&mut owner, &key, 2 * every as Version).await;
}
