//! Events as long as they may be: whoever reads many of them holds few at a time, and loses none.

use std::{collections::BTreeSet, process::Stdio};

use foldline_events::Recorded;
use foldline_log::{
    AnyLog, Expected, Log, NewEvent, PAGE_EVENTS_MAX, PAYLOAD_BYTES_MAX, READ_BYTES_MAX, Selection,
    Service,
};
use foldline_schema::testing::TestDatabase;
use futures_util::TryStreamExt;
use tokio::process::Command;

use crate::{
    kafka::{cell, kafka},
    store::{append, appended, both, event, log, open, tenant},
    tailing::program,
};

/// So many fit into a batch.
const APPEND_EVENTS: usize = 20;
/// What a process of a development build takes while it reads: itself, a page and what is on its way.
const READER_KIB_MAX: u64 = 48 * 1024;
/// The same with librdkafka, which holds as much again in two places.
const CARRIER_KIB_MAX: u64 = 112 * 1024;

/// Far more than the bounds; 2 GiB at full size.
fn backlog() -> usize {
    if std::env::var_os("FOLDLINE_SOAK").is_some() {
        8_000
    } else {
        800
    }
}

/// A payload at its limit, which no database can make much shorter.
fn long() -> NewEvent {
    let mut long = event("test.Happened", &["long:1"]);
    long.encoded.payload = String::with_capacity(PAYLOAD_BYTES_MAX);
    long.encoded.payload.push('"');
    while long.encoded.payload.len() < PAYLOAD_BYTES_MAX - 40 {
        let random: u128 = rand::random();
        long.encoded.payload.push_str(&format!("{random:032x}"));
    }
    long.encoded.payload.push('"');
    long
}

async fn fill(log: &AnyLog, events: usize) {
    for _ in 0..events / APPEND_EVENTS {
        let events = (0..APPEND_EVENTS).map(|_| long()).collect();
        let many = append("task-1", Expected::Any, events);
        appended(log.append(many).await.unwrap());
    }
}

fn positions(events: &[Recorded]) -> Vec<i64> {
    events.iter().map(|event| event.position).collect()
}

/// Full with the event that reached the bound.
fn assert_bounded(page: &[Recorded]) {
    let (last, others) = page.split_last().unwrap();
    let bytes: usize = others.iter().map(|event| event.payload.len()).sum();
    assert!(bytes < READ_BYTES_MAX, "{bytes} before {}", last.position);
}

#[tokio::test]
async fn a_page_that_is_full_of_long_events_goes_on_where_it_ended() {
    const EVENTS: usize = 5 * APPEND_EVENTS;
    for log in both().await {
        fill(&log, EVENTS).await;
        let all: Vec<i64> = (1..=i64::try_from(EVENTS).unwrap()).collect();

        let mut read = Vec::new();
        loop {
            let after = read.last().copied().unwrap_or(0);
            let page = log.read(after, PAGE_EVENTS_MAX).await.unwrap();
            if page.is_empty() {
                break;
            }
            assert_bounded(&page);
            read.extend(positions(&page));
        }
        assert_eq!(read, all);

        let tagged = Selection {
            tenant: Some(tenant()),
            tags: vec!["long:1".to_owned()],
            ..Selection::default()
        };
        for selection in [Selection::default(), tagged] {
            let (mut read, mut after) = (Vec::new(), 0);
            loop {
                let page = log
                    .read_selected(&selection, after, PAGE_EVENTS_MAX)
                    .await
                    .unwrap();
                assert_bounded(&page.events);
                read.extend(positions(&page.events));
                if page.through == page.head {
                    break;
                }
                after = page.through;
            }
            assert_eq!(read, all, "{selection:?}");
        }
    }
}

#[tokio::test]
async fn walks_and_partitions_of_long_events_are_whole() {
    const EVENTS: usize = 5 * APPEND_EVENTS;
    let log: Log = log().await;
    fill(&AnyLog::Postgres(log.clone()), EVENTS).await;
    let all: Vec<i64> = (1..=i64::try_from(EVENTS).unwrap()).collect();
    let backward: Vec<i64> = all.iter().rev().copied().collect();

    let everything = Selection::default();
    for (walk, expected) in [
        (log.walk(&everything, 0), &all),
        (log.walk_stream(&tenant(), "task-1", 0), &all),
        (
            log.walk_stream_backward(&tenant(), "task-1", i64::MAX),
            &backward,
        ),
    ] {
        let walked: Vec<Recorded> = walk.try_collect().await.unwrap();
        assert_eq!(positions(&walked), *expected);
    }
    let partition = log.read(0, 1).await.unwrap()[0].partition;
    let mut read: Vec<i64> = Vec::new();
    while read.len() < EVENTS {
        let after = read.last().copied().unwrap_or(0);
        let page = log.read_partition(partition, after, 1_000_000, 1_000).await;
        let page = page.unwrap();
        assert_bounded(&page);
        read.extend(positions(&page));
    }
    assert_eq!(read, all);
}

/// Reads the whole log in a process of its own; returns the most memory that it had.
async fn reader(database: &TestDatabase, way: &str) -> u64 {
    let output = Command::new(program("readers"))
        .arg(way)
        .env("LOG_URL", &database.url)
        .stderr(Stdio::inherit())
        .output()
        .await
        .expect("`cargo test` builds the examples");
    assert!(output.status.success(), "{way} failed");
    let said = String::from_utf8(output.stdout).unwrap();
    let (events, kib) = said.trim().split_once(' ').unwrap();
    assert_eq!(events, backlog().to_string(), "{way}");
    println!("{way}: {kib} KiB");
    kib.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_payloads_at_their_limit_is_read_in_bounded_memory() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    fill(&AnyLog::Postgres(log), backlog()).await;
    let mut beyond = BTreeSet::new();
    for way in [
        "pages",
        "selection",
        "tag",
        "walk",
        "stream",
        "backward",
        "partition",
        "feed",
    ] {
        let kib = reader(&database, way).await;
        if kib > READER_KIB_MAX {
            beyond.insert((way, kib));
        }
    }
    assert_eq!(beyond, BTreeSet::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_payloads_at_their_limit_is_carried_to_kafka_and_followed_in_bounded_memory() {
    let _is_needed = kafka();
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    fill(&AnyLog::Postgres(log), backlog()).await;
    let mut beyond = BTreeSet::new();
    // The second relay begins by reading the end of the topic, and ends with nothing to carry.
    for way in ["relay", "kafka", "relay"] {
        let kib = reader(&database, way).await;
        if kib > CARRIER_KIB_MAX {
            beyond.insert((way, kib));
        }
    }
    assert_eq!(beyond, BTreeSet::new());
}
