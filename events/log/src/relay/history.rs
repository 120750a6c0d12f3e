//! Whether what the topic ends with is in the log.
//!
//! A log that was restored from a backup, or lost its end in a failover, goes back; the topic does not. Its mark goes
//! back with it, so the mark alone proves nothing: going on from there would give the topic other events at positions
//! that it has, and consumers, who drop what is at or below theirs, would never see them.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use foldline_events::PARTITIONS;
use rdkafka::{
    Offset,
    consumer::{BaseConsumer, Consumer},
    error::{KafkaError, RDKafkaErrorCode},
    topic_partition_list::TopicPartitionList,
};

use crate::{
    Error, Log, Mark,
    kafka::{Incoming, KafkaOptions},
};

/// How many records at the end of each partition are looked at: more than one, in case the last is not ours.
const LAST_RECORDS: i64 = 16;
/// How much librdkafka fetches ahead, and at a time.
const FETCHED_KIB_MAX: &str = "1024";
const FETCHED_BYTES_MAX: &str = "4194304";
/// How long reading them may take.
const READ_SECONDS_MAX: u64 = 15;
const POLL_MS: u64 = 100;

/// Compares the last records of every partition with the log.
///
/// # Errors
/// [`Error::TopicOfAnotherLog`] for a record of this epoch whose event is not in the log at its position.
pub(super) async fn compare(log: &Log, kafka: &KafkaOptions, topic: &str) -> Result<(), Error> {
    let (kafka, name) = (kafka.clone(), topic.to_owned());
    let reading = tokio::task::spawn_blocking(move || last_records(&kafka, &name));
    let mut records = reading.await.expect("reading the topic does not panic")?;
    records.retain(|record| record.epoch == log.epoch());
    let marks: Vec<Mark> = records.iter().map(|record| record.through).collect();
    match log.verify(&marks).await {
        Err(Error::AnotherLog { position, expected }) => {
            let stranger = Mark {
                position,
                event_id: expected,
            };
            let record = records.iter().find(|record| record.through == stranger);
            let record = record.expect("only marks of records were compared");
            Err(Error::TopicOfAnotherLog {
                topic: topic.to_owned(),
                partition: i32::from(record.partition),
                offset: record.offset,
                position,
                found: expected,
            })
        }
        otherwise => otherwise,
    }
}

/// The last records of every partition; those that are not ours in form are left out.
fn last_records(kafka: &KafkaOptions, topic: &str) -> Result<Vec<Incoming>, Error> {
    let kafka_error = |source| Error::Kafka {
        doing: format!("reading the end of {topic}"),
        source,
    };
    let consumer: BaseConsumer = kafka
        .client()
        // Partitions are assigned by hand: nobody joins this group.
        .set("group.id", "foldline.relay")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "10")
        .set("queued.max.messages.kbytes", FETCHED_KIB_MAX)
        .set("fetch.max.bytes", FETCHED_BYTES_MAX)
        .create()
        .map_err(kafka_error)?;
    let mut wanted = TopicPartitionList::new();
    let mut unread: BTreeSet<i32> = (0..i32::from(PARTITIONS)).collect();
    for partition in &unread {
        wanted
            .add_partition_offset(topic, *partition, Offset::OffsetTail(LAST_RECORDS))
            .map_err(kafka_error)?;
    }
    consumer.assign(&wanted).map_err(kafka_error)?;
    let until = Instant::now() + Duration::from_secs(READ_SECONDS_MAX);
    let mut records = Vec::new();
    while !unread.is_empty() {
        if Instant::now() > until {
            let code = RDKafkaErrorCode::OperationTimedOut;
            return Err(kafka_error(KafkaError::MessageConsumption(code)));
        }
        match consumer.poll(Duration::from_millis(POLL_MS)) {
            // Without its event, which may be long and is not compared.
            Some(Ok(message)) => records.extend(Incoming::read(&message).map(|record| Incoming {
                event: None,
                ..record
            })),
            Some(Err(KafkaError::PartitionEOF(partition))) => {
                unread.remove(&partition);
            }
            // A broker that is away, or does not know a new topic yet.
            Some(Err(error)) => tracing::debug!(%error, topic, "reading the end of the topic"),
            None => {}
        }
    }
    Ok(records)
}
