//! The relay and the feed from Kafka, over a real broker: complete, in order, whatever happens to the topic.

use std::{collections::BTreeMap, time::Duration};

use foldline_log::{
    ACTOR_BYTES_MAX, Delivery, EVENT_TYPE_BYTES_MAX, Error, Feed, KafkaOptions, Log, Mark,
    PAYLOAD_BYTES_MAX, STREAM_BYTES_MAX, Service, Start, TAG_BYTES_MAX, TAGS_PER_EVENT_MAX,
    TRACE_CONTEXT_BYTES_MAX,
    feed::{KafkaFeed, KafkaFeedOptions},
    relay::{self, RelayStatus},
};
use foldline_schema::testing::TestDatabase;
use rdkafka::{
    ClientConfig, Message,
    admin::{AdminClient, AdminOptions, NewTopic, TopicReplication},
    client::DefaultClientContext,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::store::{SEGMENT_POSITIONS, appended, database, one, open, owner};

/// Generous: recovery on a loaded machine, not speed.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub fn kafka() -> KafkaOptions {
    KafkaOptions {
        brokers: std::env::var("KAFKA_BROKERS").expect("KAFKA_BROKERS is set; run `make test`"),
        properties: BTreeMap::new(),
    }
}

/// A database whose cell, and so whose topic, nobody else uses.
pub async fn cell() -> TestDatabase {
    let database = database().await;
    let name = format!("t-{}", &Uuid::new_v4().simple().to_string()[..16]);
    sqlx::query("update log.cell set name = $1, epoch = gen_random_uuid()")
        .bind(name)
        .execute(&mut owner(&database).await)
        .await
        .unwrap();
    database
}

pub struct Relay {
    status: watch::Receiver<RelayStatus>,
    stop: CancellationToken,
    pub task: JoinHandle<Result<(), Error>>,
}

impl Relay {
    pub async fn start(database: &TestDatabase) -> Self {
        let log = open(database, Service::Relay).await;
        let (sender, status) = watch::channel(RelayStatus::default());
        let stop = CancellationToken::new();
        let task = tokio::spawn(relay::run(log, kafka(), sender, stop.clone()));
        Self { status, stop, task }
    }

    pub async fn reaches(&mut self, position: i64) {
        let reached = self.status.wait_for(|status| status.mark >= position);
        tokio::time::timeout(PATIENCE, reached)
            .await
            .expect("the relay gets there")
            .unwrap();
    }

    pub async fn stop(self) {
        self.stop.cancel();
        self.task.await.unwrap().unwrap();
    }
}

pub async fn feed(database: &TestDatabase) -> Feed {
    feed_of(database, format!("group-{}", Uuid::new_v4())).await
}

async fn feed_of(database: &TestDatabase, group: String) -> Feed {
    let log = open(database, Service::Projector).await;
    let options = KafkaFeedOptions {
        kafka: kafka(),
        group,
    };
    Feed::Kafka(Box::new(KafkaFeed::new(log, &options).unwrap()))
}

/// Folds from the start until every partition has reached `through`; returns the positions per partition.
pub async fn fold(feed: &mut Feed, through: i64) -> BTreeMap<i16, Vec<i64>> {
    let mut reached: BTreeMap<i16, i64> = (0..32).map(|partition| (partition, 0)).collect();
    let mut folded: BTreeMap<i16, Vec<i64>> = BTreeMap::new();
    let folding = async {
        while reached.values().any(|position| *position < through) {
            match feed.next().await.unwrap() {
                Delivery::Assigned(partitions) => {
                    let starts: Vec<Start> = partitions
                        .into_iter()
                        .map(|partition| Start {
                            partition,
                            after: Mark::START,
                            offset: None,
                        })
                        .collect();
                    feed.start(&starts).await.unwrap();
                    folded.clear();
                }
                Delivery::Slices(slices) => {
                    for slice in slices {
                        let positions = slice.events.iter().map(|event| event.position);
                        folded.entry(slice.partition).or_default().extend(positions);
                        reached.insert(slice.partition, slice.through.position);
                    }
                }
                Delivery::Revoked(_) => {}
            }
        }
    };
    tokio::time::timeout(PATIENCE, folding)
        .await
        .expect("the feed gets there");
    folded.retain(|_, positions| !positions.is_empty());
    folded
}

/// As if a second relay started from the beginning while the first was still at work.
pub async fn resend(database: &TestDatabase) {
    sqlx::raw_sql(
        "update log.relay
         set mark = 0,
             event_id = '00000000-0000-0000-0000-000000000000',
             heads = array_fill(0::bigint, array[32])",
    )
    .execute(&mut owner(database).await)
    .await
    .unwrap();
}

pub async fn by_partition(log: &Log) -> BTreeMap<i16, Vec<i64>> {
    let mut all: BTreeMap<i16, Vec<i64>> = BTreeMap::new();
    for event in log.read(0, 10_000).await.unwrap() {
        all.entry(event.partition).or_default().push(event.position);
    }
    all
}

pub async fn fill(log: &Log, events: usize) -> i64 {
    let mut last = 0;
    for n in 0..events {
        last = appended(log.append(one(&format!("task-{}", n % 13))).await.unwrap())
            .cursor
            .position;
    }
    last
}

pub fn admin() -> AdminClient<DefaultClientContext> {
    ClientConfig::new()
        .set("bootstrap.servers", kafka().brokers)
        .create()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_log_comes_out_of_kafka_complete_in_order_and_alike() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    let last = fill(&log, 100).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(last).await;
    let mut feed = feed(&database).await;
    assert_eq!(fold(&mut feed, last).await, by_partition(&log).await);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_rests_leaves_every_partition_to_the_others_until_it_asks_again() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    let head = fill(&log, 50).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(head).await;
    let expected = by_partition(&log).await;
    let group = format!("group-{}", Uuid::new_v4());
    let mut one = feed_of(&database, group.clone()).await;
    let mut other = feed_of(&database, group).await;
    assert_eq!(fold(&mut one, head).await, expected);
    one.rest().unwrap();
    assert_eq!(fold(&mut other, head).await, expected);
    other.rest().unwrap();
    assert_eq!(fold(&mut one, head).await, expected);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_is_a_cloud_event_that_carries_the_payload_byte_for_byte() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    appended(log.append(one("task-1")).await.unwrap());
    let event = log.read(0, 1).await.unwrap().remove(0);
    let mut relay = Relay::start(&database).await;
    relay.reaches(1).await;
    relay.stop().await;

    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", kafka().brokers)
        .set("group.id", "anyone")
        .set("auto.offset.reset", "earliest")
        .create()
        .unwrap();
    let mut wanted = rdkafka::TopicPartitionList::new();
    let topic = relay::topic(log.cell());
    wanted
        .add_partition_offset(
            &topic,
            i32::from(event.partition),
            rdkafka::Offset::Beginning,
        )
        .unwrap();
    consumer.assign(&wanted).unwrap();
    let message = consumer.poll(PATIENCE).unwrap().unwrap();
    assert_eq!(message.payload().unwrap(), event.payload.as_bytes());
    assert_eq!(message.key().unwrap(), b"acme/task-1");
    let headers: BTreeMap<&str, &str> = message
        .headers()
        .unwrap()
        .iter()
        .map(|header| {
            (
                header.key,
                std::str::from_utf8(header.value.unwrap()).unwrap(),
            )
        })
        .collect();
    for (name, value) in [
        ("ce_specversion", "1.0"),
        ("ce_id", &event.id.to_string()),
        ("ce_type", "test.Happened"),
        ("ce_source", "/foldline/acme"),
        ("ce_subject", "task-1"),
        ("ce_time", "2024-02-03T04:05:06.789000Z"),
        ("content-type", "application/json"),
        ("ce_epoch", &log.epoch().to_string()),
        ("ce_position", "1"),
        ("ce_predecessor", "0"),
        ("ce_streamversion", "1"),
    ] {
        assert_eq!(headers.get(name), Some(&value), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_topic_is_made_again_and_its_hole_is_read_from_the_log() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    let last = fill(&log, 60).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(last).await;
    relay.stop().await;
    admin()
        .delete_topics(&[&relay::topic(log.cell())], &AdminOptions::new())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;

    let mut relay = Relay::start(&database).await;
    let mut feed = feed(&database).await;
    assert_eq!(fold(&mut feed, last).await, by_partition(&log).await);
    let last = fill(&log, 10).await;
    relay.reaches(last).await;
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn records_sent_twice_by_two_relays_are_delivered_once() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    let last = fill(&log, 40).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(last).await;
    relay.stop().await;
    resend(&database).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(last).await;
    let mut feed = feed(&database).await;
    assert_eq!(fold(&mut feed, last).await, by_partition(&log).await);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_event_that_is_taken_is_carried_too() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    let mut largest = one(&"s".repeat(STREAM_BYTES_MAX));
    largest.actor = "a".repeat(ACTOR_BYTES_MAX);
    largest.trace_context = Some("t".repeat(TRACE_CONTEXT_BYTES_MAX));
    let encoded = &mut largest.writes[0].events[0].encoded;
    encoded.event_type = "test.Happened".repeat(EVENT_TYPE_BYTES_MAX / 13).leak();
    encoded.payload = format!("\"{}\"", "p".repeat(PAYLOAD_BYTES_MAX - 2));
    encoded.tags = (0..TAGS_PER_EVENT_MAX)
        .map(|n| format!("{n:0>TAG_BYTES_MAX$}"))
        .collect();
    let last = appended(log.append(largest).await.unwrap()).cursor.position;
    let mut relay = Relay::start(&database).await;
    relay.reaches(last).await;
    let mut feed = feed(&database).await;
    assert_eq!(fold(&mut feed, last).await, by_partition(&log).await);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_relay_makes_segments_ahead_of_the_head() {
    let database = cell().await;
    let mut owner = owner(&database).await;
    let mut relay = Relay::start(&database).await;
    let log = open(&database, Service::Command).await;
    let last = fill(&log, usize::try_from(3 * SEGMENT_POSITIONS).unwrap()).await;
    relay.reaches(last).await;
    // The one of the head, and two that no append asked for.
    let wanted = last / SEGMENT_POSITIONS + 1 + 2;
    let made = async {
        loop {
            let segments: i64 = sqlx::query_scalar(
                "select count(*) from pg_inherits where inhparent = 'log.events'::regclass",
            )
            .fetch_one(&mut owner)
            .await
            .unwrap();
            if segments >= wanted {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, made).await.unwrap();
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_with_another_number_of_partitions_is_refused() {
    let database = cell().await;
    let log = open(&database, Service::Relay).await;
    let topic = relay::topic(log.cell());
    let wrong = NewTopic::new(&topic, 7, TopicReplication::Fixed(1));
    admin()
        .create_topics([&wrong], &AdminOptions::new())
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let (sender, _status) = watch::channel(RelayStatus::default());
    let ended = tokio::time::timeout(
        PATIENCE,
        relay::run(log, kafka(), sender, CancellationToken::new()),
    )
    .await;
    assert!(matches!(
        ended.unwrap(),
        Err(Error::TopicPartitions { found: 7, .. })
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_mark_is_not_in_the_log_stops_and_says_so() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    let last = fill(&log, 5).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(last).await;
    relay.stop().await;
    sqlx::query("update log.relay set event_id = $1")
        .bind(Uuid::new_v4())
        .execute(&mut owner(&database).await)
        .await
        .unwrap();
    let relay = Relay::start(&database).await;
    let ended = tokio::time::timeout(PATIENCE, relay.task)
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(ended, Err(Error::AnotherLog { position: 5, .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_whose_log_was_given_another_epoch_stops_and_says_so() {
    let database = cell().await;
    let log = open(&database, Service::Command).await;
    let last = fill(&log, 5).await;
    let mut relay = Relay::start(&database).await;
    relay.reaches(last).await;
    let mut owner = owner(&database).await;
    sqlx::raw_sql(
        "update log.cell set epoch = gen_random_uuid();
         select pg_terminate_backend(pid)
         from pg_stat_activity
         where datname = current_database()
             and backend_type = 'client backend'
             and pid <> pg_backend_pid()",
    )
    .execute(&mut owner)
    .await
    .unwrap();
    let ended = tokio::time::timeout(PATIENCE, relay.task)
        .await
        .unwrap()
        .unwrap();
    assert!(
        matches!(ended, Err(Error::AnotherEpoch { .. })),
        "{ended:?}"
    );
}
