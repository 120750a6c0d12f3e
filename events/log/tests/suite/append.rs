//! Versions, positions, conflicts, atomicity.

use std::time::Duration;

use chrono::{DateTime, Utc};
use foldline_events::partition_of;
use foldline_log::{
    ACTOR_BYTES_MAX, Append, BYTES_PER_APPEND_MAX, EVENT_TYPE_BYTES_MAX, Error, Expected, Guard,
    INPUT_HMAC_BYTES_MAX, Log, PAYLOAD_BYTES_MAX, STREAM_BYTES_MAX, Service, TAG_BYTES_MAX,
    TRACE_CONTEXT_BYTES_MAX, Verdict, Write,
};
use futures_util::future::join_all;

use crate::store::{
    SEGMENT_POSITIONS, append, appended, both, database, event, log, one, open, owner, tenant,
};

/// Two segments more than the migration made.
const EVENTS: i64 = SEGMENT_POSITIONS * 5;

#[tokio::test]
async fn positions_are_gapless_from_1_across_segments_that_nobody_made_ahead() {
    let log = log().await;
    let appends = (0..EVENTS).map(|n| log.append(one(&format!("task-{}", n % 7))));
    let mut positions: Vec<i64> = join_all(appends)
        .await
        .into_iter()
        .map(|verdict| appended(verdict.unwrap()).cursor.position)
        .collect();
    positions.sort_unstable();
    assert_eq!(positions, (1..=EVENTS).collect::<Vec<_>>());
    let events = log.read(0, 1_000).await.unwrap();
    assert_eq!(events.len(), positions.len());
    for stream in 0..7 {
        let events = log
            .read_stream(&tenant(), &format!("task-{stream}"), 0, 1_000)
            .await
            .unwrap();
        let versions: Vec<i64> = events.iter().map(|event| event.version).collect();
        assert_eq!(versions, (1..=versions.len() as i64).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn an_event_comes_back_as_it_was_appended_byte_for_byte() {
    for log in both().await {
        let mut request = append(
            "task-1",
            Expected::NoStream,
            vec![event("test.Happened", &["a:1", "b:2"])],
        );
        request.trace_context =
            Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".to_owned());
        request.writes[0].events[0].encoded.payload =
            "{\"b\":1.10,  \"a\":\"\\u00e9\",\"b\":2}".to_owned();
        let receipt = appended(log.append(request.clone()).await.unwrap());

        let [event] = &log.read_stream(&tenant(), "task-1", 0, 10).await.unwrap()[..] else {
            panic!("one event");
        };
        let sent = &request.writes[0].events[0];
        assert_eq!(event.payload, sent.encoded.payload);
        assert_eq!((event.position, event.version, event.id), (1, 1, sent.id));
        assert_eq!(
            (event.tags.as_slice(), event.event_type.as_str()),
            (&sent.encoded.tags[..], "test.Happened")
        );
        assert_eq!(
            (event.occurred_at, &event.actor),
            (sent.occurred_at, &request.actor)
        );
        assert_eq!(
            (event.command_id, event.correlation_id),
            (request.command_id, request.correlation_id)
        );
        assert_eq!(
            (event.causation_id, &event.trace_context),
            (request.causation_id, &request.trace_context)
        );
        assert_eq!(event.partition, partition_of(&tenant(), "task-1"));
        assert_eq!(receipt.cursor.partition, Some(event.partition));
        assert_eq!(receipt.cursor.epoch, log.epoch());
    }
}

#[tokio::test]
async fn of_50_writers_expecting_one_version_exactly_one_wins() {
    for log in both().await {
        appended(log.append(one("task-1")).await.unwrap());
        let rivals = (0..50).map(|_| {
            log.append(append(
                "task-1",
                Expected::Exactly(1),
                vec![event("test.Happened", &[])],
            ))
        });
        let verdicts: Vec<Verdict> = join_all(rivals)
            .await
            .into_iter()
            .map(Result::unwrap)
            .collect();
        let won = verdicts
            .iter()
            .filter(|verdict| matches!(verdict, Verdict::Appended(_)))
            .count();
        let conflict = Verdict::Conflict {
            stream: "task-1".to_owned(),
            version: 2,
        };
        let lost = verdicts
            .iter()
            .filter(|verdict| **verdict == conflict)
            .count();
        assert_eq!((won, lost), (1, 49));
    }
}

/// Appends at the version that it knows of, until the stream is at `until`; the versions that it won.
async fn rival(log: Log, until: i64) -> Vec<i64> {
    let (mut known, mut won) = (0, Vec::new());
    while known < until {
        let expected = match known {
            0 => Expected::NoStream,
            version => Expected::Exactly(version),
        };
        let append = append("task-1", expected, vec![event("test.Happened", &[])]);
        known = match log.append(append).await.unwrap() {
            Verdict::Appended(receipt) => {
                won.push(receipt.version);
                receipt.version
            }
            Verdict::Conflict { version, .. } => version,
            other @ (Verdict::Known(_) | Verdict::InputDiffers | Verdict::Guarded { .. }) => {
                panic!("neither won nor a conflict: {other:?}")
            }
        };
    }
    won
}

#[tokio::test(flavor = "multi_thread")]
async fn of_50_writers_on_one_stream_each_version_has_one_winner_and_nobody_waits_for_ever() {
    const VERSIONS: i64 = 60;
    let database = database().await;
    let mut logs = Vec::new();
    for _ in 0..3 {
        logs.push(open(&database, Service::Command).await);
    }
    let rivals = (0..50).map(|n| rival(logs[n % logs.len()].clone(), VERSIONS));
    let won = tokio::time::timeout(Duration::from_secs(120), join_all(rivals)).await;
    let mut won = won.expect("no deadlock").concat();
    won.sort_unstable();
    assert_eq!(won, (1..=won.len() as i64).collect::<Vec<_>>());
    let events = logs[0].read_stream(&tenant(), "task-1", 0, 1_000).await;
    assert_eq!(events.unwrap().len(), won.len());
}

#[tokio::test]
async fn every_expectation_means_what_it_says() {
    for log in both().await {
        let new = |expected| append("task-1", expected, vec![event("test.Happened", &[])]);
        let conflict = |version| Verdict::Conflict {
            stream: "task-1".to_owned(),
            version,
        };
        assert_eq!(
            log.append(new(Expected::Exists)).await.unwrap(),
            conflict(0)
        );
        assert_eq!(
            log.append(new(Expected::Exactly(1))).await.unwrap(),
            conflict(0)
        );
        assert_eq!(
            appended(log.append(new(Expected::NoStream)).await.unwrap()).version,
            1
        );
        assert_eq!(
            log.append(new(Expected::NoStream)).await.unwrap(),
            conflict(1)
        );
        assert_eq!(
            appended(log.append(new(Expected::Exists)).await.unwrap()).version,
            2
        );
        assert_eq!(
            appended(log.append(new(Expected::Any)).await.unwrap()).version,
            3
        );
        assert_eq!(
            log.append(new(Expected::Exactly(2))).await.unwrap(),
            conflict(3)
        );
        assert_eq!(
            appended(log.append(new(Expected::Exactly(3))).await.unwrap()).version,
            4
        );
    }
}

#[tokio::test]
async fn several_streams_are_appended_to_wholly_or_not_at_all() {
    for log in both().await {
        let two_streams = |second: Expected| {
            let mut request = append("task-1", Expected::Any, vec![event("test.Happened", &[])]);
            let events = vec![event("test.Happened", &[]), event("test.Happened", &[])];
            request.writes.push(Write::to("task-2", second, events));
            request
        };
        let refused = log.append(two_streams(Expected::Exists)).await.unwrap();
        assert_eq!(
            refused,
            Verdict::Conflict {
                stream: "task-2".to_owned(),
                version: 0
            }
        );
        assert_eq!(log.head().await.unwrap().position, 0);

        let receipt = appended(log.append(two_streams(Expected::NoStream)).await.unwrap());
        assert_eq!(
            (
                receipt.stream.as_str(),
                receipt.version,
                receipt.cursor.position
            ),
            ("task-1", 1, 3)
        );
        let apart = partition_of(&tenant(), "task-1") != partition_of(&tenant(), "task-2");
        assert_eq!(receipt.cursor.partition.is_none(), apart);
        assert_eq!(
            log.read_stream(&tenant(), "task-2", 0, 10)
                .await
                .unwrap()
                .len(),
            2
        );
    }
}

#[tokio::test]
async fn a_stream_can_be_checked_without_being_written() {
    for log in both().await {
        let checked = |expected| {
            let mut request = one("task-1");
            request.writes.push(Write::check("task-2", expected));
            request
        };
        assert!(matches!(
            log.append(checked(Expected::Exists)).await.unwrap(),
            Verdict::Conflict { .. }
        ));
        appended(log.append(checked(Expected::NoStream)).await.unwrap());
        assert_eq!(log.head().await.unwrap().position, 1);
    }
}

#[tokio::test]
async fn one_bad_append_fails_alone() {
    for log in both().await {
        let guarded = |after| {
            let mut guarded = one(&format!("task-bad-{after}"));
            guarded.guards = vec![Guard {
                tags: vec!["tag".to_owned()],
                event_types: vec!["test.Never".to_owned()],
                after,
            }];
            guarded
        };
        let mut all = vec![log.append(guarded(100)), log.append(guarded(200))];
        all.extend((0..20).map(|n| log.append(one(&format!("task-{n}")))));
        let mut verdicts = join_all(all).await.into_iter();
        for _ in 0..2 {
            let bad = verdicts.next().unwrap();
            assert!(matches!(bad, Err(Error::BeyondHead { .. })), "{bad:?}");
        }
        for verdict in verdicts {
            appended(verdict.unwrap());
        }
        assert_eq!(log.head().await.unwrap().position, 20);
    }
}

#[tokio::test]
async fn an_append_that_can_never_be_stored_is_refused_before_it_costs_anything() {
    for log in both().await {
        let mut no_events = one("task-1");
        no_events.writes[0].events.clear();
        let mut twice = one("task-1");
        twice.writes.push(twice.writes[0].clone());
        let mut huge = one("task-1");
        huge.writes[0].events[0].encoded.payload = format!("\"{}\"", "x".repeat(PAYLOAD_BYTES_MAX));
        let large = |count| {
            let mut large = one("task-1");
            let event = &mut large.writes[0].events[0];
            event.encoded.payload = "1".repeat(PAYLOAD_BYTES_MAX);
            large.writes[0].events = vec![event.clone(); count];
            large
        };
        let many_large = large(BYTES_PER_APPEND_MAX / PAYLOAD_BYTES_MAX);
        let mut long_tag = one("task-1");
        long_tag.writes[0].events[0].encoded.tags = vec!["a".repeat(BYTES_PER_APPEND_MAX)];
        // It is stored with each event.
        let mut long_actor = append(
            "task-1",
            Expected::Any,
            vec![event("test.Happened", &[]); 1_000],
        );
        long_actor.actor = "a".repeat(BYTES_PER_APPEND_MAX / 1_000);
        let below = append(
            "task-1",
            Expected::Exactly(-1),
            vec![event("test.Happened", &[])],
        );
        let with = |change: fn(&mut Append)| {
            let mut changed = one("task-1");
            change(&mut changed);
            changed
        };
        let of_texts = [
            with(|it| it.writes[0].stream = String::new()),
            with(|it| it.writes[0].stream = "a".repeat(STREAM_BYTES_MAX + 1)),
            with(|it| it.writes[0].stream = "task\0".to_owned()),
            with(|it| it.actor = "a".repeat(ACTOR_BYTES_MAX + 1)),
            with(|it| it.actor = "\0".to_owned()),
            with(|it| it.trace_context = Some("a".repeat(TRACE_CONTEXT_BYTES_MAX + 1))),
            with(|it| it.input_hmac = vec![0; INPUT_HMAC_BYTES_MAX + 1]),
            with(|it| it.writes[0].events[0].encoded.event_type = ""),
            with(|it| it.writes[0].events[0].encoded.event_type = "test.\0"),
            with(|it| it.writes[0].events[0].encoded.schema_version = 0),
            with(|it| it.writes[0].events[0].occurred_at = DateTime::<Utc>::MIN_UTC),
            with(|it| it.writes[0].events[0].encoded.payload = "{".to_owned()),
            with(|it| it.writes[0].events[0].encoded.payload = "{\"a\":\"\0\"}".to_owned()),
            with(|it| it.writes[0].events[0].encoded.tags = vec!["a".repeat(TAG_BYTES_MAX + 1)]),
            with(|it| it.writes[0].events[0].encoded.tags = vec!["a\0".to_owned()]),
            with(|it| {
                it.guards = vec![Guard {
                    tags: vec!["tag".to_owned()],
                    event_types: vec!["a".repeat(EVENT_TYPE_BYTES_MAX + 1)],
                    after: 0,
                }];
            }),
        ];
        for malformed in [
            no_events, twice, huge, many_large, long_tag, long_actor, below,
        ]
        .into_iter()
        .chain(of_texts)
        {
            let answer = log.append(malformed.clone()).await;
            assert!(matches!(answer, Err(Error::Malformed(_))), "{malformed:?}");
        }
        let as_large_as_may_be = large(BYTES_PER_APPEND_MAX / PAYLOAD_BYTES_MAX - 1);
        appended(log.append(as_large_as_may_be).await.unwrap());
    }
}

#[tokio::test]
async fn a_killed_connection_costs_a_retry_and_no_event() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    appended(log.append(one("task-1")).await.unwrap());
    let mut owner = crate::store::owner(&database).await;
    for n in 0..10 {
        sqlx::raw_sql("select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
            .execute(&mut owner)
            .await
            .unwrap();
        let verdict = log.append(one("task-1")).await.unwrap();
        assert!(
            matches!(verdict, Verdict::Appended(_) | Verdict::Known(_)),
            "{n}"
        );
    }
    assert_eq!(log.head().await.unwrap().position, 11);
}

#[tokio::test]
async fn times_of_recording_never_go_back_when_the_server_s_clock_does() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    appended(log.append(one("task-1")).await.unwrap());
    // The clock was an hour ahead when this was recorded.
    let ahead = "update log.batches set recorded_at = recorded_at + interval '1 hour';
                 update log.events set recorded_at = recorded_at + interval '1 hour'";
    sqlx::raw_sql(ahead)
        .execute(&mut owner(&database).await)
        .await
        .unwrap();

    appended(log.append(one("task-2")).await.unwrap());
    let together = (0..20).map(|n| log.append(one(&format!("task-{n}-of-many"))));
    for verdict in join_all(together).await {
        appended(verdict.unwrap());
    }
    let events = log.read(0, 100).await.unwrap();
    assert_eq!(events.len(), 22);
    for pair in events.windows(2) {
        assert!(pair[0].recorded_at <= pair[1].recorded_at, "{pair:?}");
    }
    let last = events.last().unwrap();
    assert_eq!(log.position_at(last.recorded_at).await.unwrap(), 22);
}
