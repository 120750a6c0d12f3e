//! Reading back: pages, places in time, and the marks by which a restored log is noticed.

use chrono::Duration;
use foldline_log::{Delivery, Error, Feed, Mark, Service, Start, feed::PostgresFeed};
use uuid::Uuid;

use crate::store::{appended, database, log, one, open, tenant};

#[tokio::test]
async fn a_stream_is_read_in_pages() {
    let log = log().await;
    for _ in 0..5 {
        appended(log.append(one("task-1")).await.unwrap());
    }
    let page = log.read_stream(&tenant(), "task-1", 2, 2).await.unwrap();
    assert_eq!(
        page.iter().map(|event| event.version).collect::<Vec<_>>(),
        [3, 4]
    );
    assert!(
        log.read_stream(&tenant(), "task-2", 0, 2)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn the_position_at_a_time_is_the_last_one_recorded_by_then() {
    let log = log().await;
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
    let log = log().await;
    assert_eq!(log.head().await.unwrap(), Mark::START);
    assert!(log.read(0, 10).await.unwrap().is_empty());
    assert_eq!(log.position_at(crate::store::at()).await.unwrap(), 0);
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
