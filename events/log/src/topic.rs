//! Holds the topic against the log: the same events, each with what the relay says of it, in order, and nothing else.
//!
//! The log is read once, a page at a time, and all partitions of the topic beside it, so memory stays bounded however
//! long both are. The topic is read as its consumers must read it: records of another epoch are passed over,
//! repetitions are dropped. Read `topic/walk.rs` next for what is compared, `topic/report.rs` for what is said of it.

mod report;
mod walk;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use foldline_events::{PARTITIONS, Partition, Position, Recorded};
use rdkafka::{
    Offset,
    consumer::{Consumer, StreamConsumer},
    topic_partition_list::TopicPartitionList,
};

use crate::{
    Error, Log,
    kafka::{KafkaOptions, topic_of},
};

pub use report::{FINDINGS_MAX, Finding, Findings, Report};
use walk::{Early, Walk};

/// How many events of the log are held in memory, where they do not reach [`crate::READ_BYTES_MAX`] before.
const PAGE_EVENTS_MAX: usize = 2_000;
/// How much librdkafka fetches ahead of each partition, in KiB, and at a time for all of them, in bytes.
const FETCHED_KIB_MAX: &str = "1024";
const FETCHED_BYTES_MAX: &str = "8388608";
/// How long the brokers may take to say where a partition begins and ends.
const BOUNDS_TIMEOUT_MS: u64 = 10_000;

/// Which positions are compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Range {
    /// The first one. Without it the log's first: then what retention has removed from the topic is not missed.
    pub from: Option<Position>,
    /// The last one. Without it the relay's mark as it is at the start, and the topic is read to its end.
    pub to: Option<Position>,
}

/// Compares a cell's topic with its log. The log is one opened as [`crate::Service::Relay`]; the relay may go on
/// meanwhile.
///
/// # Errors
/// [`Error::NotCarried`] when the range ends (or begins) above the relay's mark, [`Error::NoTopic`] and
/// [`Error::TopicPartitions`] when there is nothing to compare with. What differs is no error; the [`Report`] says it.
pub async fn verify(log: &Log, kafka: &KafkaOptions, range: Range) -> Result<Report, Error> {
    let topic = topic_of(log.cell());
    let mark = mark(log, &topic).await?;
    let from = range.from.unwrap_or(1).max(1);
    let through = range.to.unwrap_or(mark);
    let named = [range.from, range.to].into_iter().flatten();
    if let Some(position) = named.max().filter(|position| *position > mark) {
        return Err(Error::NotCarried { position, mark });
    }
    // Of a log that was never carried, or got another epoch since, nothing is there to be compared.
    if mark == 0 && range.to.is_none() && log.head().await?.position > 0 {
        return Err(Error::NotCarried {
            position: from,
            mark,
        });
    }
    // After the mark, so that everything up to it lies before the ends.
    let consumer = consumer(kafka)?;
    let bounds = bounds(&consumer, &topic).await?;

    let mut report = Report::new(log, &topic, from, through);
    let mut walks = walks(log, &consumer, &topic, &bounds, range)?;
    let mut early = Early::new(Arc::clone(&consumer));
    let mut after = from - 1;
    while after < through {
        let mut page = log.read(after, PAGE_EVENTS_MAX).await?;
        page.retain(|event| event.position <= through);
        let Some(last) = page.last().map(|event| event.position) else {
            return Err(Error::Gap {
                after,
                found: through,
            });
        };
        let mut by_partition = apart(page);
        for walk in &mut walks {
            let events = by_partition.remove(&walk.partition).unwrap_or_default();
            walk.compare(events, last, &mut early, &mut report).await?;
        }
        after = last;
    }
    for walk in &mut walks {
        if range.to.is_none() {
            walk.drain(log, &mut early, &mut report).await?;
        }
    }
    Ok(report)
}

/// How far the relay has carried the log; 0 when it never ran.
async fn mark(log: &Log, topic: &str) -> Result<Position, Error> {
    let query = sqlx::query_scalar("select mark from log.relay where topic = $1").bind(topic);
    let mark = log.inner.read(async |on| query.fetch_optional(on).await);
    Ok(mark.await?.unwrap_or(0))
}

fn consumer(kafka: &KafkaOptions) -> Result<Arc<StreamConsumer>, Error> {
    let consumer = kafka
        .client()
        // Partitions are assigned by hand: nobody joins this group.
        .set("group.id", "foldline.verify-topic")
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        .set("allow.auto.create.topics", "false")
        .set("enable.partition.eof", "true")
        .set("fetch.wait.max.ms", "100")
        .set("queued.max.messages.kbytes", FETCHED_KIB_MAX)
        .set("fetch.max.bytes", FETCHED_BYTES_MAX)
        .create();
    consumer.map(Arc::new).map_err(|source| Error::Kafka {
        doing: "creating the consumer".to_owned(),
        source,
    })
}

/// The first offset of each partition and the one after its last.
async fn bounds(consumer: &Arc<StreamConsumer>, topic: &str) -> Result<Vec<(i64, i64)>, Error> {
    let (consumer, topic) = (Arc::clone(consumer), topic.to_owned());
    let asking = tokio::task::spawn_blocking(move || {
        let timeout = Duration::from_millis(BOUNDS_TIMEOUT_MS);
        let kafka_error = |source| Error::Kafka {
            doing: format!("asking for the bounds of {topic}"),
            source,
        };
        let metadata = consumer
            .fetch_metadata(Some(&topic), timeout)
            .map_err(kafka_error)?;
        let known = metadata.topics().iter().find(|known| known.name() == topic);
        let found = known.map_or(0, |known| known.partitions().len());
        let needed = usize::from(PARTITIONS.unsigned_abs());
        if found == 0 {
            return Err(Error::NoTopic { topic });
        }
        if found != needed {
            return Err(Error::TopicPartitions {
                topic,
                found,
                needed,
            });
        }
        (0..PARTITIONS)
            .map(|partition| consumer.fetch_watermarks(&topic, i32::from(partition), timeout))
            .collect::<Result<_, _>>()
            .map_err(kafka_error)
    });
    asking.await.expect("asking for offsets does not panic")
}

/// Begins to read every partition from its first offset.
fn walks(
    log: &Log,
    consumer: &Arc<StreamConsumer>,
    topic: &str,
    bounds: &[(i64, i64)],
    range: Range,
) -> Result<Vec<Walk>, Error> {
    let kafka_error = |source| Error::Kafka {
        doing: format!("reading {topic}"),
        source,
    };
    let mut wanted = TopicPartitionList::new();
    for (partition, (low, _)) in (0..).zip(bounds) {
        wanted
            .add_partition_offset(topic, partition, Offset::Offset(*low))
            .map_err(kafka_error)?;
    }
    consumer.assign(&wanted).map_err(kafka_error)?;
    let walk = |(partition, (low, end)): (Partition, &(i64, i64))| {
        let queue = consumer
            .split_partition_queue(topic, i32::from(partition))
            .expect("the partition was assigned just above");
        let bounds = *low..*end;
        Walk::new(log.epoch(), topic, partition, queue, bounds, range.from)
    };
    Ok((0..).zip(bounds).map(walk).collect())
}

fn apart(page: Vec<Recorded>) -> BTreeMap<Partition, Vec<Recorded>> {
    let mut by_partition: BTreeMap<Partition, Vec<Recorded>> = BTreeMap::new();
    for event in page {
        by_partition.entry(event.partition).or_default().push(event);
    }
    by_partition
}
