//! Carries the log to Kafka, completely and in order.
//!
//! One leader per log, by a session lock on a direct connection. It reads after its mark, produces, waits for every
//! delivery report, and only then moves the mark, by compare-and-set on the connection that holds the lock. While some pages
//! are delivered the next is read and produced, in a backlog and at the head alike, so nobody's event waits for the
//! delivery of another's; the mark follows page by page. On any error it drops the producer and sends everything from the
//! mark again. Two relays may overlap for a moment: each is complete and in order, and consumers drop what they have.
//! Nothing reaches Kafka that is not committed here; commands go on when Kafka is down.

mod acknowledged;
mod history;

use std::{collections::VecDeque, time::Duration};

use foldline_events::{PARTITIONS, Partition, Position, Recorded};
use futures_util::{FutureExt, future::BoxFuture};
use rdkafka::producer::{FutureProducer, Producer};
use sqlx::{Connection, PgConnection, Row};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    Error, Log, Mark, Wake,
    install::SEGMENTS_AHEAD,
    kafka::{Outgoing, TOPIC_UNKNOWN_MS_MAX, Topic, ensure_topic, topic_of},
    known_bug,
    reading::in_time,
    store::STATEMENT_TIMEOUT,
};

use acknowledged::{Acknowledging, Delivered, is_there, producing};

pub use crate::kafka::{KafkaOptions, topic_of as topic};

/// How many events a page holds, where they do not reach [`crate::READ_BYTES_MAX`] before.
const BATCH_EVENTS_MAX: usize = 2_000;
/// How many pages are produced and not delivered at most, while another is being read.
const PAGES_UNDER_WAY_MAX: usize = 3;
/// How often idle partitions are told at most that the log moved. Each time it is a request to the broker for every one of them.
const WATERMARK_INTERVAL_MS: u64 = 250;
/// How often the leader looks whether there are segments ahead.
const ROOM_INTERVAL_MS: u64 = 1_000;
/// How often the leader looks whether the topic is still the one that it writes to.
const TOPIC_INTERVAL_MS: u64 = 5_000;
/// How long a follower waits before it tries to lead again.
const FOLLOWER_PAUSE_MS: u64 = 500;
/// How long to wait after a failed session.
const FAILURE_PAUSE_MS: u64 = 500;
/// How long the leader's session may be silent before the database ends it, so that another may lead: a process that was
/// stopped, or whose machine was, answers for its connection all the same. First while it prepares, then while it leads,
/// when it says something every second.
const PREPARING_SILENCE_MAX: &str = "60s";
const LEADING_SILENCE_MAX: &str = "20s";
/// How long unsent records may take to be given up when a session ends.
const PURGE_TIMEOUT_MS: u64 = 100;

/// The leader's session lock in the log's database; its number is "rela" in ASCII.
pub(crate) const LEADER_LOCK: i64 = 1_919_249_505;

/// What the relay is doing, for health and metrics.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayStatus {
    /// Whether this process is the one that relays.
    pub leader: bool,
    /// Everything up to here is in Kafka.
    pub mark: Position,
    /// Why the last session failed, until one works again.
    pub failure: Option<String>,
}

/// Relays until `shutdown`. Failures end a session, not the relay; only a foreign log or topic ends it.
///
/// # Errors
/// [`Error::AnotherLog`], [`Error::AnotherEpoch`] and [`Error::TopicOfAnotherLog`] when the log or the topic is not the one that
/// was relayed; [`Error::TopicPartitions`] when the topic has another number of partitions. Somebody has to look then.
pub async fn run(
    log: Log,
    kafka: KafkaOptions,
    status: watch::Sender<RelayStatus>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    loop {
        let ended = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            ended = lead(&log, &kafka, &status) => ended,
        };
        let pause_ms = match ended {
            Ok(()) => FOLLOWER_PAUSE_MS,
            Err(
                error @ (Error::AnotherLog { .. }
                | Error::AnotherEpoch { .. }
                | Error::TopicOfAnotherLog { .. }
                | Error::TopicPartitions { .. }),
            ) => return Err(error),
            Err(error) => {
                let failure = chain(&error);
                tracing::warn!(error = %failure, "relay session ended; sending again from the mark");
                metrics::counter!("foldline_relay_sessions_failed_total").increment(1);
                status.send_modify(|status| {
                    status.leader = false;
                    status.failure = Some(failure);
                });
                FAILURE_PAUSE_MS
            }
        };
        tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
        }
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        words = format!("{words}: {cause}");
        source = cause.source();
    }
    words
}

/// One session: ends with `Ok` when another relay leads or took over.
async fn lead(
    log: &Log,
    kafka: &KafkaOptions,
    status: &watch::Sender<RelayStatus>,
) -> Result<(), Error> {
    let bounds = [
        ("idle_session_timeout", PREPARING_SILENCE_MAX),
        ("statement_timeout", STATEMENT_TIMEOUT),
    ];
    let direct = log.inner.direct.clone().options(bounds);
    let mut connection = in_time(PgConnection::connect_with(&direct))
        .await?
        .map_err(Error::Connect)?;
    let leading = sqlx::query_scalar("select pg_try_advisory_lock($1)")
        .bind(LEADER_LOCK)
        .fetch_one(&mut connection);
    let leader: bool = in_time(leading).await?.map_err(Error::reading)?;
    if !leader {
        status.send_modify(|status| status.leader = false);
        return Ok(());
    }
    let topic = topic_of(log.cell());
    match ensure_topic(kafka, &topic).await? {
        Topic::Made => {}
        Topic::Found => history::compare(log, kafka, &topic).await?,
    }
    let mut session = Session::begin(log.clone(), kafka, connection, topic, status.clone()).await?;
    status.send_modify(|status| {
        *status = RelayStatus {
            leader: true,
            mark: session.mark.position,
            failure: None,
        };
    });
    session.run().await
}

/// A page of the log that is being read: its events, and the head of the log.
type Reading = BoxFuture<'static, Result<(Vec<Recorded>, Position), Error>>;

/// A page on its way to Kafka.
struct Sent {
    acknowledging: Acknowledging,
    events: u64,
    /// Where the mark and the heads are once it is delivered.
    mark: Mark,
    heads: Vec<Position>,
}

struct Session {
    log: Log,
    wake: Wake,
    connection: PgConnection,
    producer: FutureProducer,
    topic: String,
    mark: Mark,
    /// The last event that was produced, and the last event's position in each partition up to it: the predecessor of what
    /// comes next there.
    produced: Mark,
    heads: Vec<Position>,
    /// How far each partition was told, by an event or a watermark, that it is complete; and when the idle ones were last told,
    /// and what.
    complete: Vec<Position>,
    last_told: Option<(Instant, Position)>,
    telling: Option<Acknowledging>,
    /// When it was last made sure that there are segments ahead.
    room_made_at: Option<Instant>,
    /// When the topic was last looked at, and a record that it must have.
    topic_seen_at: Instant,
    delivered: Option<Delivered>,
    status: watch::Sender<RelayStatus>,
}

impl Drop for Session {
    /// Records still queued would be sent after those of the next session, out of order; they are given up instead.
    fn drop(&mut self) {
        self.producer
            .purge(rdkafka::producer::PurgeConfig::default().queue().inflight());
        let _ = self.producer.flush(Duration::from_millis(PURGE_TIMEOUT_MS));
    }
}

impl Session {
    async fn begin(
        log: Log,
        kafka: &KafkaOptions,
        mut connection: PgConnection,
        topic: String,
        status: watch::Sender<RelayStatus>,
    ) -> Result<Self, Error> {
        // A move of the mark that a crash of the server takes back costs repetitions, which consumers drop.
        let setting = sqlx::query(
            "select set_config('synchronous_commit', 'off', false), set_config('idle_session_timeout', $1, false)",
        )
        .bind(LEADING_SILENCE_MAX)
        .execute(&mut connection);
        in_time(setting).await?.map_err(Error::reading)?;
        let beginning = sqlx::query(
            "insert into log.relay (topic, mark, event_id, heads, moved_at)
             values ($1, 0, $2, array_fill(0::bigint, array[32]), now())
             on conflict on constraint relay_pkey do update
             set topic = excluded.topic
             returning mark, event_id, heads",
        )
        .bind(&topic)
        .bind(Mark::START.event_id)
        .fetch_one(&mut connection);
        let row = in_time(beginning).await?.map_err(Error::reading)?;
        let mark = Mark {
            position: row.get("mark"),
            event_id: row.get("event_id"),
        };
        log.verify(&[mark]).await?;
        let producer = kafka
            .client()
            .set("enable.idempotence", "true")
            // Never give a record up while later ones go on: that would leave a gap.
            .set("message.timeout.ms", "0")
            .set("linger.ms", "1")
            .set("topic.metadata.propagation.max.ms", TOPIC_UNKNOWN_MS_MAX)
            // Only with the number of partitions that it must have.
            .set("allow.auto.create.topics", "false")
            .create()
            .map_err(|source| Error::Kafka {
                doing: "creating the producer".to_owned(),
                source,
            })?;
        Ok(Self {
            wake: log.wake(),
            log,
            connection,
            producer,
            topic,
            mark,
            produced: mark,
            heads: row.get("heads"),
            // A wiped topic must show as a hole even when nothing new happens.
            complete: vec![0; usize::from(PARTITIONS.unsigned_abs())],
            last_told: None,
            telling: None,
            room_made_at: None,
            topic_seen_at: Instant::now(),
            delivered: None,
            status,
        })
    }

    async fn run(&mut self) -> Result<(), Error> {
        loop {
            self.tend().await?;
            let page = self
                .log
                .read_on(self.mark.position, BATCH_EVENTS_MAX)
                .await?;
            if page.0.is_empty() {
                self.rest().await?;
            } else if !self.carry(page).await? {
                tracing::info!(mark = self.mark.position, "another relay moved the mark");
                return Ok(());
            }
        }
    }

    /// What has to be done now and then, in a backlog too.
    async fn tend(&mut self) -> Result<(), Error> {
        self.make_room().await?;
        self.look_at_topic().await?;
        if self
            .telling_is_due()
            .is_some_and(|due| due <= Instant::now())
        {
            self.tell_idle_partitions()?;
        }
        Ok(())
    }

    /// Carries a page, and what follows it until everything is delivered and the log has no more. Returns false when another
    /// relay has moved the mark.
    async fn carry(&mut self, (page, mut head): (Vec<Recorded>, Position)) -> Result<bool, Error> {
        let mut under_way = VecDeque::from([self.produce(&page)?]);
        drop(page);
        let mut reading: Option<Reading> = None;
        loop {
            let may_read = reading.is_none() && under_way.len() < PAGES_UNDER_WAY_MAX;
            if may_read && self.produced.position < head {
                reading = Some(self.next_page());
            }
            tokio::select! {
                delivered = async { (&mut under_way[0].acknowledging).await }, if !under_way.is_empty() => {
                    self.delivered = delivered?.or(self.delivered);
                    if !self.confirm(&mut under_way).await? {
                        return Ok(false);
                    }
                }
                page = async { reading.as_mut().expect("looked at beside").await }, if reading.is_some() => {
                    reading = None;
                    let events;
                    (events, head) = page?;
                    if !events.is_empty() {
                        under_way.push_back(self.produce(&events)?);
                    }
                }
                () = self.wake.wait(), if may_read && reading.is_none() => {
                    reading = Some(self.next_page());
                }
                told = told(&mut self.telling) => self.told(told?),
                // Kafka may acknowledge nothing for long, and there is something to be done all the same.
                () = tokio::time::sleep(Duration::from_millis(ROOM_INTERVAL_MS)) => {}
            }
            if under_way.is_empty() && reading.is_none() && self.produced.position >= head {
                return Ok(true);
            }
            self.tend().await?;
        }
    }

    fn next_page(&self) -> Reading {
        let (log, after) = (self.log.clone(), self.produced.position);
        async move { log.read_on(after, BATCH_EVENTS_MAX).await }.boxed()
    }

    /// The leader makes segments ahead of the head, so that appends never meet a missing one.
    async fn make_room(&mut self) -> Result<(), Error> {
        let interval = Duration::from_millis(ROOM_INTERVAL_MS);
        if self
            .room_made_at
            .is_some_and(|made_at| made_at.elapsed() < interval)
        {
            return Ok(());
        }
        self.room_made_at = Some(Instant::now());
        let making = sqlx::query("select log.ensure_segments($1)")
            .bind(SEGMENTS_AHEAD)
            .execute(&mut self.connection);
        in_time(making).await?.map(drop).map_err(Error::reading)
    }

    /// A topic that was deleted, or deleted and made again, ends the session while nothing happens, too: the next one
    /// makes it, and tells every partition what it lacks.
    async fn look_at_topic(&mut self) -> Result<(), Error> {
        if self.topic_seen_at.elapsed() < Duration::from_millis(TOPIC_INTERVAL_MS) {
            return Ok(());
        }
        let (producer, topic) = (self.producer.clone(), self.topic.clone());
        let delivered = self.delivered;
        let looking = tokio::task::spawn_blocking(move || is_there(&producer, &topic, delivered));
        let is_there = looking.await.expect("asking for metadata does not panic");
        self.topic_seen_at = Instant::now();
        match is_there {
            Ok(true) => Ok(()),
            Ok(false) => Err(Error::NoTopic {
                topic: self.topic.clone(),
            }),
            // A broker that is away is nothing to end a session for: librdkafka goes on by itself.
            Err(error) => {
                tracing::debug!(%error, "looking at the topic");
                Ok(())
            }
        }
    }

    /// Waits for the log to move; tells idle partitions of the last move meanwhile, when that is due.
    async fn rest(&mut self) -> Result<(), Error> {
        let due = self.telling_is_due();
        tokio::select! {
            () = self.wake.wait() => Ok(()),
            told = told(&mut self.telling) => {
                self.told(told?);
                Ok(())
            }
            () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {
                self.tell_idle_partitions()
            }
        }
    }

    /// When the idle partitions are to be told; never while they know, or are being told.
    fn telling_is_due(&self) -> Option<Instant> {
        let is_untold = |complete: &Position| *complete < self.produced.position;
        let is_due = self.telling.is_none() && self.complete.iter().any(is_untold);
        let interval = Duration::from_millis(WATERMARK_INTERVAL_MS);
        is_due.then(|| {
            self.last_told
                .map_or_else(Instant::now, |(told_at, _)| told_at + interval)
        })
    }

    /// Produces events in order, after whatever was produced before.
    fn produce(&mut self, events: &[Recorded]) -> Result<Sent, Error> {
        fail::fail_point!("relay_before_produce", |_| std::process::abort());
        let is_never_sent = known_bug::is_on(known_bug::MARK_BEFORE_DELIVERY, &self.topic);
        let mut deliveries = Vec::with_capacity(events.len());
        for event in events {
            let partition = usize::from(event.partition.unsigned_abs());
            let head = self.heads[partition];
            let record = Outgoing::event(&self.topic, self.log.epoch(), event, head);
            self.heads[partition] = event.position;
            self.complete[partition] = event.position;
            if is_never_sent {
                continue;
            }
            deliveries.push(record.produce(&self.producer).map_err(producing)?);
        }
        let last = events.last().expect("only called with events");
        self.produced = Mark::from(last);
        Ok(Sent {
            acknowledging: Acknowledging::of(deliveries, &self.status),
            events: events.len() as u64,
            mark: self.produced,
            heads: self.heads.clone(),
        })
    }

    /// Moves the mark after a page that was delivered, and those after it that were, too. Returns false when another relay
    /// has moved it meanwhile.
    async fn confirm(&mut self, under_way: &mut VecDeque<Sent>) -> Result<bool, Error> {
        let Some(mut sent) = under_way.pop_front() else {
            return Ok(true);
        };
        while let Some(next) = under_way.front_mut()
            && let Some(delivered) = (&mut next.acknowledging).now_or_never()
        {
            self.delivered = delivered?.or(self.delivered);
            let events = sent.events;
            sent = under_way.pop_front().expect("looked at just above");
            sent.events += events;
        }
        fail::fail_point!("relay_before_mark", |_| std::process::abort());
        let moved = sqlx::query(
            "update log.relay
             set mark = $1, event_id = $2, heads = $3, moved_at = now()
             where topic = $4
               and mark = $5",
        )
        .bind(sent.mark.position)
        .bind(sent.mark.event_id)
        .bind(&sent.heads)
        .bind(&self.topic)
        .bind(self.mark.position)
        .execute(&mut self.connection);
        let moved = in_time(moved).await?.map_err(Error::reading)?;
        fail::fail_point!("relay_after_mark", |_| std::process::abort());
        if moved.rows_affected() == 0 {
            return Ok(false);
        }
        self.mark = sent.mark;
        self.status
            .send_modify(|status| status.mark = sent.mark.position);
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge; positions stay below 2^52"
        )]
        metrics::gauge!("foldline_relay_mark").set(sent.mark.position as f64);
        metrics::counter!("foldline_relay_events_total").increment(sent.events);
        Ok(true)
    }

    /// Tells idle partitions that they hold nothing else up to the last event produced; those that had an event since the
    /// last time are told next time, if they have none until then. A new session tells all of them, because the topic may have
    /// been wiped meanwhile.
    fn tell_idle_partitions(&mut self) -> Result<(), Error> {
        let told_to = self.last_told.map_or(Position::MAX, |(_, told_to)| told_to);
        let mut deliveries = Vec::new();
        for partition in 0..PARTITIONS {
            let index = usize::from(Partition::unsigned_abs(partition));
            let complete = &mut self.complete[index];
            let had_an_event = *complete > told_to;
            if had_an_event || *complete == self.produced.position {
                continue;
            }
            *complete = self.produced.position;
            let (epoch, head) = (self.log.epoch(), self.heads[index]);
            let record = Outgoing::watermark(&self.topic, epoch, partition, self.produced, head);
            deliveries.push(record.produce(&self.producer).map_err(producing)?);
        }
        self.telling = Some(Acknowledging::of(deliveries, &self.status));
        self.last_told = Some((Instant::now(), self.produced.position));
        Ok(())
    }

    fn told(&mut self, delivered: Option<Delivered>) {
        self.telling = None;
        self.delivered = delivered.or(self.delivered);
    }
}

/// Waits until the idle partitions have been told; for ever when they are not being told.
async fn told(telling: &mut Option<Acknowledging>) -> Result<Option<Delivered>, Error> {
    match telling {
        Some(telling) => telling.await,
        None => std::future::pending().await,
    }
}
