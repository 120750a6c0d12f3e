//! Hundreds of segments slow nothing: an append and a read touch the segments that they concern, and no other. Counted by
//! the database, or shown by locking all others; not timed.

use std::{collections::BTreeMap, ops::RangeInclusive, time::Duration};

use chrono::{DateTime, Utc};
use foldline_events::{Position, Version, partition_of};
use foldline_log::{
    Append, Expected, Folding, Guard, Log, Mark, Selection, Service, TAGGED_SEGMENTS_MAX, Verdict,
};
use foldline_schema::testing::TestDatabase;
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::{
    guards::ended,
    store::{append, appended, event, migrate, one, open, owner, tenant},
};

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

/// How long reads and appends may take that wait for no lock: far above what they take on a loaded machine.
const SECONDS_MAX: u64 = 60;
/// More often than the database plans a statement anew before it may keep a plan.
const READS: usize = 12;

/// Reads while every segment but those that hold these positions is locked, so that whatever opens another, even to plan,
/// waits for ever. What does is complained of.
async fn opens_only(
    database: &TestDatabase,
    complaints: &mut Vec<String>,
    (what, positions): (&str, RangeInclusive<Position>),
    read: impl AsyncFn(&Log),
) {
    let mut owner = owner(database).await;
    let others: Vec<String> = sqlx::query_scalar(
        "select 'log.' || relname
         from pg_class
         where relnamespace = 'log'::regnamespace
           and relname ~ '^(events|tags)_[0-9]+$'
           and relkind = 'r'
           and split_part(relname, '_', 2)::bigint not between $1 and $2",
    )
    .bind(positions.start() / SEGMENT_POSITIONS * SEGMENT_POSITIONS)
    .bind(positions.end())
    .fetch_all(&mut owner)
    .await
    .unwrap();
    assert!(others.len() >= 560, "{} are locked", others.len());
    let log = open(database, Service::Command).await;
    let reads = || async {
        for _ in 0..READS {
            read(&log).await;
        }
    };
    // Whatever is planned or opened once in a connection is not meant.
    reads().await;
    let mut locking = owner.begin().await.unwrap();
    let lock = format!("lock table {} in access exclusive mode", others.join(", "));
    sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut *locking)
        .await
        .unwrap();
    let in_time = tokio::time::timeout(Duration::from_secs(SECONDS_MAX), reads()).await;
    locking.rollback().await.unwrap();
    if in_time.is_err() {
        complaints.push(format!("{what} opens segments beyond {positions:?}"));
    }
    drop(log);
    owner.close().await.unwrap();
    ended(database).await;
}

/// As many as the next append fills: hundreds in one statement take longer than it may on a loaded machine.
async fn make_segments(database: &TestDatabase) {
    let mut owner = owner(database).await;
    for ahead in [50, 100] {
        sqlx::query("select log.ensure_segments($1)")
            .bind(ahead)
            .execute(&mut owner)
            .await
            .unwrap();
    }
    owner.close().await.unwrap();
}

/// Three hundred segments, nearly all of one long stream, with three events of a short one at a position in the middle.
async fn many_segments() -> (TestDatabase, Position) {
    let database = TestDatabase::empty().await;
    migrate(database.url.clone(), SEGMENT_POSITIONS).await;
    let log = open(&database, Service::Command).await;
    let mut short = 0;
    for n in 0..EVENTS / EVENTS_PER_APPEND {
        make_segments(&database).await;
        let events = (0..EVENTS_PER_APPEND).map(|_| event("test.Happened", &["kind:test"]));
        let many = append("task-1", Expected::Any, events.collect());
        appended(log.append(many).await.unwrap());
        if n == 1 {
            let events = (0..3).map(|_| event("test.Happened", &["kind:test", "short:1"]));
            let few = append("task-2", Expected::NoStream, events.collect());
            short = appended(log.append(few).await.unwrap()).cursor.position - 2;
        }
    }
    drop(log);
    sqlx::raw_sql("vacuum analyze")
        .execute(&mut owner(&database).await)
        .await
        .unwrap();
    (database, short)
}

#[tokio::test]
async fn of_hundreds_of_segments_a_page_opens_only_those_that_it_lies_in() {
    let (database, short) = many_segments().await;
    let head = EVENTS + 3;
    let recorded_at: DateTime<Utc> =
        sqlx::query_scalar("select recorded_at from log.events where position = $1")
            .bind(short)
            .fetch_one(&mut owner(&database).await)
            .await
            .unwrap();
    let partition = partition_of(&tenant(), "task-2");
    let mut found = Vec::new();

    let its = ("a page", short..=short + 7);
    opens_only(&database, &mut found, its, async |log| {
        assert_eq!(log.read(short - 1, 8).await.unwrap().len(), 8);
    })
    .await;
    let its = ("the head", head..=head);
    opens_only(&database, &mut found, its, async |log| {
        assert_eq!(log.head().await.unwrap().position, head);
    })
    .await;
    let its = ("the end", head..=head + 1);
    opens_only(&database, &mut found, its, async |log| {
        assert!(log.read(head, 1).await.unwrap().is_empty());
    })
    .await;
    let its = ("a partition", short..=short + 7);
    opens_only(&database, &mut found, its, async |log| {
        let events = log.read_partition(partition, short - 1, short + 7, 3).await;
        assert_eq!(events.unwrap().len(), 3);
    })
    .await;
    let earlier = Selection {
        recorded_before: Some(recorded_at),
        ..Selection::default()
    };
    let its = ("a window", short - 6..=short);
    opens_only(&database, &mut found, its, async |log| {
        let page = log.read_selected(&earlier, short - 6, 10).await.unwrap();
        assert_eq!((page.events.len(), page.through), (5, head));
    })
    .await;
    // The append's own events have its time; the next one's first event shows where they end.
    let its = ("a time", short + 3..=short + 3);
    opens_only(&database, &mut found, its, async |log| {
        assert_eq!(log.position_at(recorded_at).await.unwrap(), short + 2);
    })
    .await;
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn of_hundreds_of_segments_a_stream_and_a_tag_open_only_those_that_they_may_be_in() {
    let (database, short) = many_segments().await;
    let mut found = Vec::new();

    // The segment in which it ends, where it began.
    let its = ("a stream", short..=short + 2);
    opens_only(&database, &mut found, its, async |log| {
        for after in 0..4 {
            let events = log.read_stream(&tenant(), "task-2", after, 10).await;
            assert_eq!(events.unwrap().len(), usize::try_from(3 - after).unwrap());
        }
    })
    .await;
    let its = ("a stream's end", short..=short + 2);
    opens_only(&database, &mut found, its, async |log| {
        let (tenant, last) = (tenant(), Version::MAX);
        let events = log.read_stream_backward(&tenant, "task-2", last, 2).await;
        assert_eq!(events.unwrap()[0].version, 3);
    })
    .await;
    let its = ("a long stream's end", EVENTS + 2..=EVENTS + 3);
    opens_only(&database, &mut found, its, async |log| {
        let events = log.read_stream(&tenant(), "task-1", EVENTS - 2, 10).await;
        assert_eq!(events.unwrap().len(), 2);
    })
    .await;
    let tagged = Selection {
        tenant: Some(tenant()),
        tags: vec!["short:1".to_owned()],
        ..Selection::default()
    };
    let of_page = TAGGED_SEGMENTS_MAX * SEGMENT_POSITIONS;
    let its = ("a tag", short..=short + of_page - 2);
    opens_only(&database, &mut found, its, async |log| {
        let page = log.read_selected(&tagged, short - 1, 10).await.unwrap();
        assert_eq!((page.events.len(), page.head), (3, EVENTS + 3));
    })
    .await;
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn of_hundreds_of_segments_a_snapshot_and_a_mark_open_only_those_of_their_events() {
    let (database, short) = many_segments().await;
    let (tenant, last) = (tenant(), short + 2);
    let of = Folding {
        tenant: &tenant,
        stream: "task-2",
        fold: "a",
    };
    let event_id: Uuid = sqlx::query_scalar("select id from log.events where position = $1")
        .bind(last)
        .fetch_one(&mut owner(&database).await)
        .await
        .unwrap();
    let mut found = Vec::new();

    // It is known to be within the positions of one append, which here are most segments.
    let log = open(&database, Service::Command).await;
    let kept = log.keep_snapshot(of, 3, event_id, last, b"state").await;
    assert!(kept.unwrap());
    drop(log);
    let its = ("what was kept", last..=last);
    opens_only(&database, &mut found, its, async |log| {
        assert!(log.snapshot(of).await.unwrap().is_some());
    })
    .await;
    let its = ("a mark", last..=last);
    opens_only(&database, &mut found, its, async |log| {
        let mark = Mark {
            position: last,
            event_id,
        };
        log.verify(&[mark]).await.unwrap();
    })
    .await;
    assert!(found.is_empty(), "{found:?}");
}

/// More than the appends of a test take.
const AFTER_HEAD: i64 = 400;

fn guarded(stream: &str, tags: &[&str], event_types: &[&str], after: Position) -> Append {
    let owned = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
    let mut guarded = append(
        stream,
        Expected::Any,
        vec![event("test.Happened", &["some:1"])],
    );
    guarded.guards.push(Guard {
        tags: owned(tags),
        event_types: owned(event_types),
        after,
    });
    guarded
}

#[tokio::test]
async fn of_hundreds_of_segments_an_append_opens_those_at_the_head_whatever_it_expects() {
    let (database, _) = many_segments().await;
    let head = EVENTS + 3;
    let at_head = |what| (what, head..=head + AFTER_HEAD);
    let mut found = Vec::new();

    opens_only(&database, &mut found, at_head("any version"), async |log| {
        let any = append("task-3", Expected::Any, vec![event("test.Happened", &[])]);
        appended(log.append(any).await.unwrap());
    })
    .await;
    opens_only(
        &database,
        &mut found,
        at_head("a stream that exists"),
        async |log| {
            let exists = vec![event("test.Happened", &["some:1"])];
            let exists = append("task-2", Expected::Exists, exists);
            appended(log.append(exists).await.unwrap());
        },
    )
    .await;
    opens_only(&database, &mut found, at_head("a conflict"), async |log| {
        let late = append(
            "task-1",
            Expected::Exactly(7),
            one("task-1").writes.remove(0).events,
        );
        let verdict = log.append(late).await.unwrap();
        assert!(matches!(verdict, Verdict::Conflict { .. }), "{verdict:?}");
    })
    .await;
    let again = one("task-4");
    opens_only(&database, &mut found, at_head("a retry"), async |log| {
        let verdict = log.append(again.clone()).await.unwrap();
        let is_stored = matches!(verdict, Verdict::Appended(_) | Verdict::Known(_));
        assert!(is_stored, "{verdict:?}");
    })
    .await;
    assert!(found.is_empty(), "{found:?}");
}

/// What facts were loaded at, a moment ago.
async fn a_segment_ago(log: &Log) -> Position {
    log.head().await.unwrap().position - SEGMENT_POSITIONS
}

#[tokio::test]
async fn of_hundreds_of_segments_a_guard_opens_only_those_after_its_position() {
    let (database, _) = many_segments().await;
    let head = EVENTS + 3;
    let since = |what| (what, head - SEGMENT_POSITIONS + 1..=head + AFTER_HEAD);
    let mut found = Vec::new();

    let never = ["test.Archived", "test.Deleted"];
    opens_only(&database, &mut found, since("one guard"), async |log| {
        let after = a_segment_ago(log).await;
        let mut alone = guarded("task-5", &["kind:test"], &never, after);
        alone.writes[0].stream = format!("task-{}", alone.command_id);
        alone.writes[0].expected = Expected::NoStream;
        appended(log.append(alone).await.unwrap());
    })
    .await;
    opens_only(
        &database,
        &mut found,
        since("guards of a batch"),
        async |log| {
            let after = a_segment_ago(log).await;
            let batch = (0..5).map(|n| {
                let tags = ["kind:test", "short:1"];
                log.append(guarded(
                    &format!("task-6{n}"),
                    &tags[..1 + n % 2],
                    &never,
                    after,
                ))
            });
            for verdict in join_all(batch).await {
                appended(verdict.unwrap());
            }
        },
    )
    .await;
    for (tags, what) in [
        (&["kind:test"][..], "what a guard excludes"),
        (
            &["kind:test", "some:1"][..],
            "what a guard of several tags excludes",
        ),
    ] {
        opens_only(&database, &mut found, since(what), async |log| {
            let after = a_segment_ago(log).await;
            let excluded = event("test.Excluded", &["kind:test", "some:1"]);
            let excluded = append("task-7", Expected::Any, vec![excluded]);
            appended(log.append(excluded).await.unwrap());
            let late = guarded("task-8", tags, &["test.Excluded"], after);
            let verdict = log.append(late).await.unwrap();
            assert!(matches!(verdict, Verdict::Guarded { .. }), "{verdict:?}");
        })
        .await;
    }
    assert!(found.is_empty(), "{found:?}");
}

#[tokio::test]
async fn a_guard_sees_what_came_hundreds_of_segments_ago() {
    let (database, short) = many_segments().await;
    let log = open(&database, Service::Command).await;
    for tags in [&["short:1"][..], &["kind:test", "short:1"]] {
        for (after, by) in [
            (0, Some(short + 2)),
            (short + 1, Some(short + 2)),
            (short + 2, None),
        ] {
            let verdict = log.append(guarded("task-9", tags, &["test.Happened"], after));
            match (verdict.await.unwrap(), by) {
                (Verdict::Appended(_), None) => {}
                (Verdict::Guarded { by }, Some(expected)) => assert_eq!(by, expected),
                (verdict, by) => panic!("{tags:?} after {after}: {verdict:?}, not {by:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_stream_that_began_hundreds_of_segments_ago_is_read_whole() {
    let (database, short) = many_segments().await;
    let log = open(&database, Service::Command).await;
    let tenant = tenant();
    for after in [0, 1, 3, 700, 1_450, EVENTS - 1, EVENTS] {
        let events = log.read_stream(&tenant, "task-1", after, 400).await;
        let versions: Vec<Version> = events.unwrap().iter().map(|it| it.version).collect();
        let expected: Vec<Version> = (after + 1..=EVENTS.min(after + 400)).collect();
        assert_eq!(versions, expected, "after {after}");
        let events = log.read_to_fold(&tenant, "task-1", after, 400).await;
        let versions: Vec<Version> = events.unwrap().events.iter().map(|it| it.version).collect();
        assert_eq!(versions, expected, "to fold, after {after}");
        let before = EVENTS + 1 - after;
        let events = log.read_stream_backward(&tenant, "task-1", before, 400);
        let versions: Vec<Version> = events.await.unwrap().iter().map(|it| it.version).collect();
        let expected: Vec<Version> = (1.max(before - 400)..before).rev().collect();
        assert_eq!(versions, expected, "before {before}");
    }
    let positions: Vec<Position> = log
        .read_stream(&tenant, "task-1", 0, 2_000)
        .await
        .unwrap()
        .iter()
        .map(|event| event.position)
        .collect();
    let not_short = |position: &Position| !(short..short + 3).contains(position);
    let expected: Vec<Position> = (1..=EVENTS + 3).filter(not_short).collect();
    assert_eq!(positions, expected);
}

#[tokio::test]
async fn of_hundreds_of_segments_an_append_and_a_page_at_the_head_touch_only_their_own() {
    let database = TestDatabase::empty().await;
    migrate(database.url.clone(), SEGMENT_POSITIONS).await;
    let filling = touched(&database, async |log| {
        for _ in 0..EVENTS / EVENTS_PER_APPEND {
            make_segments(&database).await;
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
