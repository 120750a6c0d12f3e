//! A topic that is deleted under a relay and a consumer that go on: it is made again, and nothing is lost.

use std::{collections::BTreeMap, time::Duration};

use foldline_log::{Delivery, Error, Feed, Log, Mark, Service, Start, relay};
use rdkafka::admin::{AdminOptions, NewTopic, TopicReplication};

use crate::{
    kafka::{PATIENCE, Relay, admin, by_partition, cell, feed, fill},
    store::open,
};

/// A consumer that keeps its checkpoints, as a projector does.
#[derive(Default)]
struct Follower {
    starts: BTreeMap<i16, Start>,
    folded: BTreeMap<i16, Vec<i64>>,
}

impl Follower {
    /// Follows until every partition has reached `through`.
    async fn follow(&mut self, feed: &mut Feed, through: i64) {
        let reached = |starts: &BTreeMap<i16, Start>| {
            let there = |start: &Start| start.after.position >= through;
            starts.len() == 32 && starts.values().all(there)
        };
        let following = async {
            while !reached(&self.starts) {
                match feed.next().await.unwrap() {
                    Delivery::Assigned(partitions) => {
                        let starts: Vec<Start> = partitions
                            .into_iter()
                            .map(|partition| {
                                *self.starts.entry(partition).or_insert(new(partition))
                            })
                            .collect();
                        feed.start(&starts).await.unwrap();
                    }
                    Delivery::Slices(slices) => {
                        for slice in slices {
                            let start = self.starts.get_mut(&slice.partition).unwrap();
                            start.after = slice.through;
                            start.offset = slice.offset.or(start.offset);
                            let positions = slice.events.iter().map(|event| event.position);
                            self.folded
                                .entry(slice.partition)
                                .or_default()
                                .extend(positions);
                        }
                    }
                    Delivery::Revoked(_) => {}
                }
            }
        };
        tokio::time::timeout(PATIENCE, following)
            .await
            .expect("the feed gets there");
        self.folded.retain(|_, positions| !positions.is_empty());
    }
}

fn new(partition: i16) -> Start {
    Start {
        partition,
        after: Mark::START,
        offset: None,
    }
}

async fn delete(log: &Log) {
    let topic = relay::topic(log.cell());
    let deleted = admin()
        .delete_topics(&[&topic], &AdminOptions::new())
        .await
        .unwrap();
    deleted.into_iter().for_each(|deleted| {
        deleted.unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_under_load_costs_the_relay_and_its_consumers_nothing() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    fill(&log, 50).await;
    let mut relay = Relay::start(&database).await;
    let mut feed = feed(&database).await;
    let mut follower = Follower::default();
    follower.follow(&mut feed, 50).await;

    for _ in 0..2 {
        delete(&log).await;
        let last = fill(&log, 200).await;
        relay.reaches(last).await;
        follower.follow(&mut feed, last).await;
    }
    assert_eq!(follower.folded, by_partition(&log).await);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_deleted_while_nothing_happens_is_made_again_and_tells_what_it_lacks() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    let last = fill(&log, 50).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(last).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    delete(&log).await;
    // A consumer that begins now learns from the new topic that it lacks everything.
    let mut feed = feed(&database).await;
    let mut follower = Follower::default();
    follower.follow(&mut feed, last).await;
    assert_eq!(follower.folded, by_partition(&log).await);
    relay.stop().await;
}

/// As somebody does who has no patience with it, before the relay gets there.
async fn recreate(log: &Log, partitions: i32) {
    let topic = relay::topic(log.cell());
    let options = AdminOptions::new();
    let recreating = async {
        loop {
            // What is being deleted, or was, is gone all the same.
            let _ = admin().delete_topics(&[&topic], &options).await.unwrap();
            let new = NewTopic::new(&topic, partitions, TopicReplication::Fixed(1));
            let made = admin().create_topics([&new], &options).await.unwrap();
            if made[0].is_ok() {
                return;
            }
        }
    };
    tokio::time::timeout(PATIENCE, recreating)
        .await
        .expect("the topic can be made");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_somebody_else_makes_again_costs_the_relay_and_its_consumers_nothing() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    let last = fill(&log, 50).await;
    let mut relay = Relay::start(&database).await;
    let mut feed = feed(&database).await;
    let mut follower = Follower::default();
    follower.follow(&mut feed, last).await;

    recreate(&log, 32).await;
    let last = fill(&log, 200).await;
    relay.reaches(last).await;
    follower.follow(&mut feed, last).await;
    assert_eq!(follower.folded, by_partition(&log).await);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_somebody_makes_again_with_fewer_partitions_ends_the_relay() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    let last = fill(&log, 50).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(last).await;

    recreate(&log, 1).await;
    let ended = tokio::time::timeout(PATIENCE, relay.task).await;
    let ended = ended.expect("the relay ends").unwrap();
    assert!(
        matches!(
            ended,
            Err(Error::TopicPartitions {
                found: 1,
                needed: 32,
                ..
            })
        ),
        "{ended:?}"
    );
}
