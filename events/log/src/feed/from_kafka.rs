//! The feed from Kafka: a consumer group spreads the partitions, records name their predecessor, and a hole before a
//! record is read from Postgres.
//!
//! Kafka's offsets only say where to read on. What has been folded is said by the consumer's own checkpoints, and
//! completeness by predecessors; so a recreated topic, lost records or a stray offset cost time, never an event.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use foldline_events::{Partition, Position};
use futures_util::FutureExt;
use rdkafka::{
    ClientContext, Message, Offset,
    consumer::{BaseConsumer, Consumer, ConsumerContext, Rebalance, StreamConsumer},
    error::KafkaError,
    message::BorrowedMessage,
    topic_partition_list::TopicPartitionList,
};
use tokio::{sync::Notify, time::Instant};

use super::{DELIVERY_EVENTS_MAX, Delivery, Mark, Slice, Start};
use crate::{
    Error, Log,
    kafka::{Incoming, KafkaOptions, TOPIC_UNKNOWN_MS_MAX, topic_of},
    known_bug,
    page::Room,
};

/// How long a seek may take; it is retried by the next assignment and otherwise only costs reading more.
const SEEK_TIMEOUT_MS: u64 = 1_000;
/// How often a seek is tried while the consumer is still getting ready to fetch.
const SEEK_TRIES_MAX: u32 = 20;
const SEEK_PAUSE_MS: u64 = 50;
/// After how long without a record the last one of every partition is read again; see [`KafkaFeed::look_again`].
const LOOK_AGAIN_MS: u64 = 20_000;
/// After how much longer without one the consumer is made anew, where the log holds more than it has brought; see
/// [`KafkaFeed::begin_anew`].
const BEGIN_ANEW_MS: u64 = 10_000;
/// How much librdkafka fetches ahead of us, in KiB for all partitions, and how much more it may have asked for then, in bytes.
const FETCHED_KIB_MAX: &str = "8192";
const FETCHED_BYTES_MAX: &str = "8388608";
/// How long librdkafka lets a partition rest that has so much fetched; a second, unless said otherwise, in which nothing comes.
const FETCH_PAUSE_MS: &str = "20";
/// How long to wait after Kafka complained.
const TROUBLE_PAUSE_MS: u64 = 200;

/// Which topic to read, and as whom.
#[derive(Debug, Clone)]
pub struct KafkaFeedOptions {
    /// The brokers.
    pub kafka: KafkaOptions,
    /// The consumer group: processes with the same one share the partitions.
    pub group: String,
}

/// Reads a cell's topic, and the log where the topic has a hole.
pub struct KafkaFeed {
    log: Log,
    topic: String,
    options: KafkaFeedOptions,
    consumer: StreamConsumer<Assignments>,
    /// Whether it is a member of its group.
    subscribed: bool,
    /// The generation in which each partition was last reported to our caller.
    reported: BTreeMap<Partition, u64>,
    /// How far each started partition has been delivered.
    reached: BTreeMap<Partition, Position>,
    /// The offset that each started partition would read next.
    next: BTreeMap<Partition, i64>,
    /// When a record came last, or the last ones were looked at again.
    heard_at: Instant,
    /// No record has come since the last ones were looked at again.
    looked_again: bool,
    /// Records taken from Kafka and not delivered yet; at most one delivery's worth.
    taken: VecDeque<Incoming>,
    /// What Kafka complained of last, until a record comes.
    trouble: Option<KafkaError>,
}

impl KafkaFeed {
    /// Reads the topic of the log's cell. Needs tokio's runtime of several threads: librdkafka is asked on the thread of the
    /// task that asks for the next delivery. It begins when [`Feed::next`](crate::Feed::next) is asked.
    ///
    /// # Errors
    /// [`Error::Kafka`] for properties that librdkafka does not know or take.
    pub fn new(log: Log, options: &KafkaFeedOptions) -> Result<Self, Error> {
        let topic = topic_of(log.cell());
        let consumer = consumer(options)?;
        Ok(Self {
            log,
            topic,
            options: options.clone(),
            consumer,
            subscribed: false,
            reported: BTreeMap::new(),
            reached: BTreeMap::new(),
            next: BTreeMap::new(),
            heard_at: Instant::now(),
            looked_again: false,
            taken: VecDeque::new(),
            trouble: None,
        })
    }

    pub(super) async fn next(&mut self) -> Result<Delivery, Error> {
        if !self.subscribed {
            // Not before: a member of a group that asks for nothing would hold partitions that nobody reads.
            self.subscribe()?;
        }
        loop {
            if let Some(change) = self.assignment_change() {
                return Ok(change);
            }
            if self.taken.is_empty() {
                self.take().await?;
            }
            let slices = self.slices().await?;
            if !slices.is_empty() {
                return Ok(Delivery::Slices(slices));
            }
        }
    }

    pub(super) async fn start(&mut self, starts: &[Start]) -> Result<(), Error> {
        let marks: Vec<Mark> = starts.iter().map(|start| start.after).collect();
        self.log.verify(&marks).await?;
        for start in starts {
            self.reached.insert(start.partition, start.after.position);
            self.next
                .insert(start.partition, start.offset.unwrap_or_default());
            self.taken
                .retain(|record| record.partition != start.partition);
        }
        for start in starts {
            if !self.seek(start.partition, start.offset).await {
                self.hangs();
                break;
            }
        }
        Ok(())
    }

    fn subscribe(&mut self) -> Result<(), Error> {
        self.consumer
            .subscribe(&[&self.topic])
            .map_err(kafka_error("subscribing"))?;
        self.subscribed = true;
        self.heard_at = Instant::now();
        self.looked_again = false;
        Ok(())
    }

    /// Compares what librdkafka says we own with what our caller was told.
    fn assignment_change(&mut self) -> Option<Delivery> {
        let owned = self.consumer.context().owned();
        let lost: Vec<Partition> = self
            .reported
            .iter()
            .filter(|(partition, generation)| owned.get(partition) != Some(generation))
            .map(|(partition, _)| *partition)
            .collect();
        if !lost.is_empty() {
            for partition in &lost {
                self.reported.remove(partition);
                self.reached.remove(partition);
                self.next.remove(partition);
            }
            self.taken
                .retain(|record| !lost.contains(&record.partition));
            return Some(Delivery::Revoked(lost));
        }
        let new: Vec<Partition> = owned
            .keys()
            .filter(|partition| !self.reported.contains_key(partition))
            .copied()
            .collect();
        self.reported = owned;
        (!new.is_empty()).then_some(Delivery::Assigned(new))
    }

    /// Waits for one record or a change of assignment, then takes whatever else is there.
    async fn take(&mut self) -> Result<(), Error> {
        let changed = self.consumer.context().changed();
        let silent_ms = match self.looked_again {
            false => LOOK_AGAIN_MS,
            true => BEGIN_ANEW_MS,
        };
        let silent_at = self.heard_at + Duration::from_millis(silent_ms);
        let first = tokio::select! {
            () = changed.notified() => return Ok(()),
            first = self.consumer.recv() => first,
            () = tokio::time::sleep_until(silent_at) => {
                if self.looked_again {
                    self.begin_anew().await?;
                } else {
                    self.look_again().await;
                }
                return Ok(());
            }
        };
        let mut room = Room::default();
        let mut next = Some(first);
        while let Some(message) = next.take() {
            match message {
                Ok(message) => {
                    self.trouble = None;
                    self.heard_at = Instant::now();
                    self.looked_again = false;
                    if let Ok(partition) = Partition::try_from(message.partition()) {
                        let next = self.next.entry(partition);
                        next.and_modify(|next| *next = message.offset() + 1);
                    }
                    if let Some(record) = ours(&message) {
                        record.event.iter().for_each(|event| _ = room.take(event));
                        self.taken.push_back(record);
                    }
                }
                Err(error) => {
                    self.complain(error);
                    tokio::time::sleep(Duration::from_millis(TROUBLE_PAUSE_MS)).await;
                    return Ok(());
                }
            }
            if self.taken.len() < DELIVERY_EVENTS_MAX && !room.is_full() {
                next = self.consumer.recv().now_or_never();
            }
        }
        Ok(())
    }

    /// In a topic that was deleted and made again under us, the offset that we wait for may be just the end of the new
    /// one: nothing would come, while the records before it say what we lack. So the last one is read again.
    async fn look_again(&mut self) {
        self.heard_at = Instant::now();
        self.looked_again = true;
        for (partition, next) in self.next.clone() {
            if !self.seek(partition, Some(next)).await {
                return self.hangs();
            }
        }
    }

    /// A consumer that cannot be told where to read on is not waited for.
    fn hangs(&mut self) {
        self.looked_again = true;
        let long_ago = Instant::now().checked_sub(Duration::from_millis(BEGIN_ANEW_MS));
        self.heard_at = long_ago.unwrap_or(self.heard_at);
    }

    /// Not even the last records came again. Where the log holds more than was delivered, the consumer hangs, as librdkafka's
    /// sometimes does when the broker has lost topic and group; so another takes its place.
    async fn begin_anew(&mut self) -> Result<(), Error> {
        self.heard_at = Instant::now();
        self.looked_again = false;
        let head = self.log.head().await?.position;
        let lowest = self.reached.values().copied().min().unwrap_or(0);
        if lowest >= head {
            return Ok(());
        }
        tracing::warn!(
            head,
            lowest,
            "Kafka brings nothing of what the log holds; beginning anew with another consumer"
        );
        metrics::counter!("foldline_feed_consumers_replaced_total").increment(1);
        self.replace()?;
        self.subscribe()
    }

    /// Leaves the group; another consumer joins it when the next delivery is asked for.
    pub(super) fn rest(&mut self) -> Result<(), Error> {
        // First, so that what stays ours after all is told as new.
        self.reported.clear();
        self.reached.clear();
        self.next.clear();
        if self.subscribed {
            self.replace()?;
        }
        Ok(())
    }

    /// Another consumer takes the place of ours, which leaves the group.
    fn replace(&mut self) -> Result<(), Error> {
        let another = consumer(&self.options)?;
        let left = mem::replace(&mut self.consumer, another);
        // Closing it may take as long as it likes.
        thread::spawn(move || drop(left));
        self.subscribed = false;
        self.taken.clear();
        self.trouble = None;
        Ok(())
    }

    /// librdkafka goes on by itself; what it says here is a broker away or a topic not made yet. Once is enough.
    fn complain(&mut self, error: KafkaError) {
        metrics::counter!("foldline_feed_kafka_errors_total").increment(1);
        if self.trouble.as_ref() != Some(&error) {
            tracing::warn!(%error, "reading from Kafka is in trouble; it goes on by itself");
            self.trouble = Some(error);
        }
    }

    /// Turns the records taken into slices, reading from the log whatever is missing before one of them.
    ///
    /// Cancel safe: what is missing is read before anything is taken out, so nothing is lost at the one wait.
    async fn slices(&mut self) -> Result<Vec<Slice>, Error> {
        let mut slices: BTreeMap<Partition, Slice> = BTreeMap::new();
        let mut events = 0;
        while events < DELIVERY_EVENTS_MAX {
            let Some(record) = self.taken.front() else {
                break;
            };
            let (partition, predecessor) = (record.partition, record.predecessor);
            if !self.is_wanted(record) {
                self.taken.pop_front();
                continue;
            }
            if predecessor > self.reached[&partition] {
                if slices.is_empty() {
                    slices.insert(partition, self.fill(partition, predecessor).await?);
                }
                break;
            }
            let record = self.taken.pop_front().expect("looked at just above");
            events += 1;
            self.reached.insert(partition, record.through.position);
            extend(&mut slices, record);
        }
        // What the relay carried was in the log; where it is no more, the log has lost its end.
        for slice in slices.values() {
            self.log.inner.seen.note(slice.through);
        }
        Ok(slices.into_values().collect())
    }

    /// A page of what the topic lacks in a partition before a record; the caller comes back for the rest.
    async fn fill(&mut self, partition: Partition, through: Position) -> Result<Slice, Error> {
        let after = self.reached[&partition];
        tracing::info!(
            partition,
            after,
            through,
            "reading from the log what the topic lacks"
        );
        metrics::counter!("foldline_feed_holes_total").increment(1);
        let events = self
            .log
            .read_partition(partition, after, through, DELIVERY_EVENTS_MAX)
            .await?;
        let Some(last) = events.last() else {
            return Err(Error::Gap {
                after,
                found: through,
            });
        };
        let through = Mark::from(last);
        self.reached.insert(partition, through.position);
        Ok(Slice {
            partition,
            events,
            through,
            offset: None,
        })
    }

    /// Ours, started, of this log, and not had yet.
    fn is_wanted(&self, record: &Incoming) -> bool {
        if record.epoch != self.log.epoch() {
            tracing::warn!(
                epoch = %record.epoch, partition = record.partition, offset = record.offset,
                "passing over a record of another incarnation of the log"
            );
            return false;
        }
        let is_new = |reached: &Position| {
            record.through.position > *reached
                || known_bug::is_on(known_bug::NO_DEDUPE, &self.topic)
        };
        self.reached.get(&record.partition).is_some_and(is_new)
    }

    /// Where to read on: at the last record that was had, not after it. It is dropped as a repetition; but in a topic
    /// that was made again it is another one, and shows what the consumer lacks even when nothing comes after it.
    fn offset(&self, partition: Partition, next: Option<i64>) -> Offset {
        let Some(next) = next else {
            return Offset::Beginning;
        };
        let timeout = Duration::from_millis(SEEK_TIMEOUT_MS);
        let bounds = || {
            self.consumer
                .fetch_watermarks(&self.topic, i32::from(partition), timeout)
        };
        match tokio::task::block_in_place(bounds) {
            Ok((low, high)) if next <= low || next > high => Offset::Beginning,
            Ok(_) | Err(_) => Offset::Offset((next - 1).max(0)),
        }
    }

    /// Reads on where the consumer's checkpoint says, and says whether it does. Failing costs repetitions, which are dropped.
    async fn seek(&self, partition: Partition, next: Option<i64>) -> bool {
        let offset = self.offset(partition, next);
        let timeout = Duration::from_millis(SEEK_TIMEOUT_MS);
        for tried in 1..=SEEK_TRIES_MAX {
            let seek = || {
                let partition = i32::from(partition);
                self.consumer.seek(&self.topic, partition, offset, timeout)
            };
            // librdkafka answers from a thread of its own; until then this one is not free for other tasks.
            match tokio::task::block_in_place(seek) {
                Ok(()) => return true,
                Err(error) if tried == SEEK_TRIES_MAX => {
                    tracing::warn!(%error, partition, "reading on from elsewhere than the checkpoint");
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(SEEK_PAUSE_MS)).await,
            }
        }
        false
    }
}

fn consumer(options: &KafkaFeedOptions) -> Result<StreamConsumer<Assignments>, Error> {
    options
        .kafka
        .client()
        .set("group.id", &options.group)
        // Offsets are kept with the rows; the group only spreads partitions.
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest")
        // Only the relay makes the topic: it knows how many partitions it must have.
        .set("allow.auto.create.topics", "false")
        .set("session.timeout.ms", "10000")
        .set("topic.metadata.refresh.interval.ms", "2000")
        .set("topic.metadata.propagation.max.ms", TOPIC_UNKNOWN_MS_MAX)
        .set("fetch.wait.max.ms", "100")
        .set("fetch.error.backoff.ms", "100")
        .set("queued.max.messages.kbytes", FETCHED_KIB_MAX)
        .set("fetch.max.bytes", FETCHED_BYTES_MAX)
        .set("fetch.queue.backoff.ms", FETCH_PAUSE_MS)
        .create_with_context(Assignments::default())
        .map_err(kafka_error("creating the consumer"))
}

/// What to call an error of Kafka's while something was done.
fn kafka_error(doing: &str) -> impl FnOnce(KafkaError) -> Error {
    let doing = doing.to_owned();
    move |source| Error::Kafka { doing, source }
}

/// A record that is not ours in form is passed over: were it one of ours, the next would show the hole.
fn ours(message: &BorrowedMessage<'_>) -> Option<Incoming> {
    Incoming::read(message)
        .inspect_err(|error| {
            metrics::counter!("foldline_feed_foreign_records_total").increment(1);
            tracing::error!(%error, "passing over a record that somebody else put into the topic");
        })
        .ok()
}

fn extend(slices: &mut BTreeMap<Partition, Slice>, record: Incoming) {
    let partition = record.partition;
    let slice = slices.entry(partition).or_insert_with(|| Slice {
        partition,
        events: Vec::new(),
        through: record.through,
        offset: None,
    });
    slice.events.extend(record.event);
    slice.through = record.through;
    slice.offset = Some(record.offset + 1);
}

/// What librdkafka's callbacks say we own: each partition with the generation of its assignment, so that a partition
/// taken away and given back between two looks is noticed.
#[derive(Default)]
struct Assignments {
    state: Mutex<AssignmentState>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct AssignmentState {
    generation: u64,
    owned: BTreeMap<Partition, u64>,
}

impl Assignments {
    fn owned(&self) -> BTreeMap<Partition, u64> {
        self.state
            .lock()
            .expect("no holder of this lock panics")
            .owned
            .clone()
    }

    fn changed(&self) -> Arc<Notify> {
        Arc::clone(&self.changed)
    }

    fn change(&self, partitions: &TopicPartitionList, is_ours: impl Fn(u64) -> Option<u64>) {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        state.generation += 1;
        let generation = state.generation;
        for element in partitions.elements() {
            let Ok(partition) = Partition::try_from(element.partition()) else {
                continue;
            };
            match is_ours(generation) {
                Some(generation) => state.owned.insert(partition, generation),
                None => state.owned.remove(&partition),
            };
        }
        drop(state);
        self.changed.notify_one();
    }
}

impl ClientContext for Assignments {}

impl ConsumerContext for Assignments {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            self.change(partitions, |_| None);
        }
    }

    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            self.change(partitions, Some);
        }
    }
}
