//! Reading back: pages, places in time, and the marks by which a restored log is noticed.

use chrono::{DateTime, Duration, Utc};
use foldline_events::{Cursor, Position, Recorded, Tenant, Version};
use foldline_log::{
    AnyLog, Delivery, Error, Expected, Feed, Log, LogOptions, Mark, Selection, Service, Start,
    StreamEvent, Verdict, feed::PostgresFeed,
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::store::{
    SEGMENT_POSITIONS, append, appended, both, database, database_with_large_segments, event, log,
    one, open, owner, tenant,
};

#[tokio::test]
async fn a_stream_is_read_in_pages() {
    for log in both().await {
        for _ in 0..5 {
            appended(log.append(one("task-1")).await.unwrap());
            appended(log.append(one("task-10")).await.unwrap());
        }
        let versions = |page: Vec<Recorded>| -> Vec<Version> {
            assert!(page.iter().all(|event| event.stream == "task-1"));
            page.iter().map(|event| event.version).collect()
        };
        let page = log.read_stream(&tenant(), "task-1", 2, 2).await.unwrap();
        assert_eq!(versions(page), [3, 4]);
        for (before, expected) in [
            (Version::MAX, vec![5, 4]),
            (4, vec![3, 2]),
            (2, vec![1]),
            (1, vec![]),
        ] {
            let page = log
                .read_stream_backward(&tenant(), "task-1", before, 2)
                .await
                .unwrap();
            assert_eq!(versions(page), expected);
        }
        assert!(
            log.read_stream(&tenant(), "task-2", 0, 2)
                .await
                .unwrap()
                .is_empty()
        );
    }
}

#[tokio::test]
async fn the_streams_of_a_tenant_are_listed_in_pages_and_no_others() {
    let database = database().await;
    let in_postgres = [Service::Command, Service::Projector];
    let [writer, reader] = in_postgres.map(|service| open(&database, service));
    let in_postgres = (
        AnyLog::Postgres(writer.await),
        AnyLog::Postgres(reader.await),
    );
    let [_, in_memory] = both().await;
    for (log, reader) in [in_postgres, (in_memory.clone(), in_memory)] {
        for stream in ["task-2", "task-10", "project-1", "task-2"] {
            appended(log.append(one(stream)).await.unwrap());
        }
        let mut of_another = one("task-3");
        of_another.tenant = Tenant::parse("zeta").unwrap();
        appended(log.append(of_another).await.unwrap());
        let (mut after, mut listed) = (String::new(), Vec::new());
        loop {
            let page = reader.streams_of(&tenant(), &after, 2).await.unwrap();
            assert!(page.len() <= 2);
            let Some(last) = page.last() else {
                break;
            };
            after.clone_from(last);
            listed.extend(page);
        }
        assert_eq!(listed, ["project-1", "task-10", "task-2"]);
    }
}

#[tokio::test]
async fn a_stream_is_read_to_be_folded_as_it_is_read_whole() {
    let database = database_with_large_segments().await;
    let in_one_segment = AnyLog::Postgres(open(&database, Service::Command).await);
    for log in both().await.into_iter().chain([in_one_segment]) {
        for stream in ["task-1", "task-2", "task-1"] {
            let events = (0..130).map(|_| event("test.Happened", &["a:1"])).collect();
            appended(
                log.append(append(stream, Expected::Any, events))
                    .await
                    .unwrap(),
            );
        }
        for (after, limit) in [
            (0, 1_000),
            (0, 100),
            (0, 101),
            (0, 99),
            (1, 100),
            (150, 100),
            (159, 101),
            (160, 100),
            (260, 9),
        ] {
            let whole = log
                .read_stream(&tenant(), "task-1", after, limit)
                .await
                .unwrap();
            let to_fold = log
                .read_to_fold(&tenant(), "task-1", after, limit)
                .await
                .unwrap();
            let expected: Vec<StreamEvent> = whole.into_iter().map(StreamEvent::from).collect();
            let is_full = expected.len() == limit;
            assert_eq!(to_fold.events, expected, "{limit} after {after}");
            assert_eq!(to_fold.may_go_on, is_full, "{limit} after {after}");
        }
        let unknown = log.read_to_fold(&tenant(), "task-3", 0, 200).await.unwrap();
        assert!(unknown.events.is_empty() && !unknown.may_go_on);
    }
}

#[tokio::test]
async fn pages_read_ahead_are_gapless_whenever_the_reader_stops_waiting_and_the_log_goes_on() {
    let log = log().await;
    let mut pages = log.pages(0, 7);
    let mut reached = 0;
    for round in 1..=10 {
        let events = (0..40).map(|_| event("test.Happened", &[])).collect();
        let stream = format!("task-{round}");
        appended(
            log.append(append(&stream, Expected::NoStream, events))
                .await
                .unwrap(),
        );
        while reached < round * 40 {
            // Given up after nothing, or after some of it.
            let patience = std::time::Duration::from_micros(u64::try_from(reached).unwrap() * 20);
            let Ok(page) = tokio::time::timeout(patience, pages.next()).await else {
                // The rest of it comes to whoever asks again.
                let page = pages.next().await.unwrap();
                reached = checked(reached, &page);
                continue;
            };
            reached = checked(reached, &page.unwrap());
        }
        assert!(pages.next().await.unwrap().is_empty());
    }

    /// Returns where the page ends.
    fn checked(reached: Position, page: &[Recorded]) -> Position {
        assert!(!page.is_empty(), "there is more after {reached}");
        let positions = page.iter().map(|event| event.position);
        assert!(positions.eq(reached + 1..=reached + page.len() as Position));
        reached + page.len() as Position
    }
}

#[tokio::test]
async fn the_position_at_a_time_is_the_last_one_recorded_by_then() {
    for log in both().await {
        for _ in 0..120 {
            appended(log.append(one("task-1")).await.unwrap());
        }
        let events = log.read(0, 1_000).await.unwrap();
        assert!(events.is_sorted_by_key(|event| event.recorded_at));
        for event in events.iter().step_by(17) {
            let expected = events
                .iter()
                .filter(|other| other.recorded_at <= event.recorded_at)
                .count();
            assert_eq!(
                log.position_at(event.recorded_at).await.unwrap(),
                expected as i64
            );
        }
        let before = events[0].recorded_at - Duration::microseconds(1);
        assert_eq!(log.position_at(before).await.unwrap(), 0);
        let after = events[119].recorded_at + Duration::hours(1);
        assert_eq!(log.position_at(after).await.unwrap(), 120);
        assert_eq!(log.position_at(DateTime::<Utc>::MIN_UTC).await.unwrap(), 0);
        assert_eq!(
            log.position_at(DateTime::<Utc>::MAX_UTC).await.unwrap(),
            120
        );
    }
}

#[tokio::test]
async fn a_cursor_of_another_epoch_or_beyond_the_head_is_refused() {
    for log in both().await {
        let first = appended(log.append(one("task-1")).await.unwrap()).cursor;
        let second = appended(log.append(one("task-1")).await.unwrap()).cursor;
        assert_eq!(log.position_of(&first).await.unwrap(), 1);
        assert_eq!(log.position_of(&second).await.unwrap(), 2);
        let foreign = Cursor {
            epoch: Uuid::now_v7(),
            ..first
        };
        let refused = log.position_of(&foreign).await;
        assert!(
            matches!(refused, Err(Error::AnotherEpoch { present, expected })
                if present == log.epoch() && expected == foreign.epoch)
        );
        let beyond = Cursor {
            position: 3,
            ..second
        };
        let refused = log.position_of(&beyond).await;
        assert!(matches!(
            refused,
            Err(Error::BeyondHead {
                position: 3,
                head: 2
            })
        ));
    }
}

#[tokio::test]
async fn a_mark_of_another_log_is_noticed() {
    let log = log().await;
    appended(log.append(one("task-1")).await.unwrap());
    let head = log.head().await.unwrap();
    log.verify(&[Mark::START, head]).await.unwrap();
    let swapped = Mark {
        event_id: Uuid::now_v7(),
        ..head
    };
    let beyond = Mark {
        position: 2,
        ..head
    };
    for foreign in [swapped, beyond] {
        let refused = log.verify(&[head, foreign]).await;
        assert!(
            matches!(refused, Err(Error::AnotherLog { position, .. }) if position == foreign.position)
        );
    }
}

#[tokio::test]
async fn an_empty_log_reads_as_nothing() {
    for log in both().await {
        assert_eq!(log.head().await.unwrap(), Mark::START);
        assert!(log.read(0, 10).await.unwrap().is_empty());
        assert_eq!(log.position_at(crate::store::at()).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn the_postgres_feed_delivers_every_started_partition_from_its_own_start() {
    let database = database().await;
    let writer = open(&database, Service::Command).await;
    for n in 0..100 {
        appended(writer.append(one(&format!("task-{n}"))).await.unwrap());
    }
    let all = writer.read(0, 1_000).await.unwrap();
    let mut feed = Feed::Postgres(PostgresFeed::new(open(&database, Service::Projector).await));
    let Delivery::Assigned(partitions) = feed.next().await.unwrap() else {
        panic!("assigned first")
    };
    let half = Mark {
        position: 50,
        event_id: all[49].id,
    };
    let starts: Vec<Start> = partitions
        .iter()
        .map(|&partition| Start {
            partition,
            after: if partition % 2 == 0 {
                half
            } else {
                Mark::START
            },
            offset: None,
        })
        .collect();
    feed.start(&starts).await.unwrap();
    let Delivery::Slices(slices) = feed.next().await.unwrap() else {
        panic!("slices next")
    };
    let mut delivered: Vec<i64> = slices
        .iter()
        .flat_map(|slice| &slice.events)
        .map(|event| event.position)
        .collect();
    delivered.sort_unstable();
    let expected: Vec<i64> = all
        .iter()
        .filter(|event| event.position > 50 || event.partition % 2 == 1)
        .map(|event| event.position)
        .collect();
    assert_eq!(delivered, expected);
    assert!(slices.iter().all(|slice| slice.through.position == 100));
    assert_eq!(slices.len(), 32);
}

#[tokio::test]
async fn a_context_of_ones_own_lives_on_the_log() {
    let database = database().await;
    let program = std::env::current_exe().unwrap();
    let program = program.ancestors().nth(2).unwrap();
    let program = program.join("examples/own_context");
    for (cents, answer) in [
        ("100", "100 cents at "),
        ("-30", "70 cents at "),
        ("-71", ""),
    ] {
        let output = tokio::process::Command::new(&program)
            .arg(cents)
            .env("LOG_URL", &database.url)
            .output()
            .await
            .expect("`make test` builds the examples");
        let said = String::from_utf8(output.stdout).unwrap();
        assert!(said.starts_with(answer), "{cents}: {said}");
        assert_eq!(output.status.success(), !answer.is_empty());
    }
    let log = open(&database, Service::Command).await;
    let events = log.read_stream(&tenant(), "account-1", 0, 10).await;
    let payloads = events.unwrap().into_iter().map(|event| event.payload);
    assert_eq!(payloads.collect::<Vec<_>>(), ["100", "-30"]);
}

/// What the library asks of whoever uses it is seen by the length of that program.
#[test]
fn the_example_of_a_context_of_ones_own_takes_no_more_than_40_lines_of_code() {
    let code = include_str!("../../examples/own_context.rs")
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with("//"));
    let lines = code.count();
    assert!((1..=40).contains(&lines), "it takes {lines}");
}

/// The database plans a read with the segments that there are, and then looks at what is committed: at a head in a segment
/// that was made in between, too.
#[tokio::test]
async fn a_segment_made_while_a_read_is_planned_is_no_gap() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    let mut owner = owner(&database).await;
    let end: Position = sqlx::query_scalar(
        "select max(substr(relname, 8)::bigint) + $1
         from pg_class
         where relname ~ '^events_[0-9]+$'",
    )
    .bind(SEGMENT_POSITIONS)
    .fetch_one(&mut owner)
    .await
    .unwrap();
    let events = (1..end).map(|_| event("test.Happened", &[])).collect();
    appended(
        log.append(append("task-1", Expected::NoStream, events))
            .await
            .unwrap(),
    );
    let options = LogOptions {
        connections_max: 1,
        ..LogOptions::new(database.url.parse().unwrap(), Service::Projector)
    };
    let reader = Log::open(options).await.unwrap();
    assert_eq!(reader.read(end - 3, 10).await.unwrap().len(), 2);

    // Whoever plans to read the last segment waits for it, and knows of none after it.
    let segment = format!("log.events_{}", end - SEGMENT_POSITIONS);
    let lock = format!("begin; lock table {segment} in access exclusive mode");
    sqlx::raw_sql(AssertSqlSafe(lock))
        .execute(&mut owner)
        .await
        .unwrap();
    let reading = tokio::spawn({
        let reader = reader.clone();
        async move { reader.read(end - 3, 10).await }
    });
    loop {
        let waits: bool = sqlx::query_scalar(
            "select exists (select from pg_locks where relation = $1::regclass and not granted)",
        )
        .bind(&segment)
        .fetch_one(&mut owner)
        .await
        .unwrap();
        if waits {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    let more = (0..5).map(|_| event("test.Happened", &[])).collect();
    appended(
        log.append(append("task-2", Expected::NoStream, more))
            .await
            .unwrap(),
    );
    sqlx::raw_sql("commit").execute(&mut owner).await.unwrap();

    let mut read = reading.await.unwrap().unwrap();
    let last = read.last().unwrap().position;
    read.extend(reader.read(last, 10).await.unwrap());
    let positions = read.iter().map(|event| event.position);
    assert!(positions.eq(end - 2..end + 5));
}

#[tokio::test]
async fn an_event_that_is_missing_at_the_end_of_a_page_is_noticed() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    let events = (0..30).map(|_| event("test.Happened", &[])).collect();
    let many = append("task-1", Expected::Any, events);
    appended(log.append(many).await.unwrap());
    // One that has not seen what will be gone.
    let log = open(&database, Service::Projector).await;
    let damage = "delete from log.events where position between 11 and 20 or position > 25";
    let mut owner = owner(&database).await;
    sqlx::raw_sql(damage).execute(&mut owner).await.unwrap();

    assert_eq!(log.read(0, 10).await.unwrap().len(), 10);
    // Before the gap, at its edge, within it; and at the end of the log, where nothing comes after it.
    for (read_after, after, found) in [
        (5, 10, 21),
        (10, 10, 21),
        (12, 12, 21),
        (20, 25, 31),
        (27, 27, 31),
    ] {
        for limit in [10, 100] {
            let read = log.read(read_after, limit).await;
            let is_gap = matches!(
                read,
                Err(Error::Gap { after: at, found: next }) if (at, next) == (after, found)
            );
            assert!(is_gap, "after {read_after}, by {limit}: {read:?}");
        }
    }
    let head = log.head().await;
    assert!(
        matches!(
            head,
            Err(Error::Gap {
                after: 29,
                found: 31
            })
        ),
        "{head:?}"
    );
}

#[tokio::test]
async fn after_the_greatest_version_a_stream_has_no_event() {
    for log in both().await {
        appended(log.append(one("task-1")).await.unwrap());
        let beyond = log.read_stream(&tenant(), "task-1", Version::MAX, 10).await;
        assert_eq!(beyond.unwrap(), []);
        if let AnyLog::Postgres(log) = &log {
            let to_fold = log
                .read_to_fold(&tenant(), "task-1", Version::MAX, 10)
                .await;
            assert_eq!(to_fold.unwrap().events, []);
        }
        let mut never = one("task-1");
        never.writes[0].expected = Expected::Exactly(Version::MAX);
        let verdict = log.append(never).await;
        assert!(
            matches!(verdict, Ok(Verdict::Conflict { .. })),
            "{verdict:?}"
        );
    }
}

#[tokio::test]
async fn a_name_with_a_nul_is_that_of_nothing() {
    for log in both().await {
        let tagged = vec![event("test.Happened", &["a:1"])];
        appended(
            log.append(append("task-1", Expected::NoStream, tagged))
                .await
                .unwrap(),
        );
        let name = "task\0".to_owned();
        let forward = log.read_stream(&tenant(), &name, 0, 10).await;
        assert_eq!(forward.unwrap(), []);
        let backward = log.read_stream_backward(&tenant(), &name, 10, 10).await;
        assert_eq!(backward.unwrap(), []);
        if let AnyLog::Postgres(log) = &log {
            let to_fold = log.read_to_fold(&tenant(), &name, 0, 10).await.unwrap();
            assert_eq!(to_fold.events, []);
        }
        for selection in [
            Selection {
                types: vec![name.clone()],
                ..Selection::default()
            },
            Selection {
                stream_prefix: Some(name.clone()),
                ..Selection::default()
            },
            Selection {
                tenant: Some(tenant()),
                tags: vec!["a:1".to_owned(), name.clone()],
                ..Selection::default()
            },
        ] {
            let page = log.read_selected(&selection, 0, 10).await.unwrap();
            assert_eq!((page.events.len(), page.through), (0, page.head));
        }
    }
}
