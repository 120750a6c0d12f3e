//! One partition of the topic, record by record, beside the same partition of the log.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    ops::Range,
    sync::Arc,
    time::Duration,
};

use foldline_events::{Partition, Position, Recorded};
use futures_util::FutureExt;
use rdkafka::{
    Message,
    consumer::{DefaultConsumerContext, StreamConsumer, stream_consumer::StreamPartitionQueue},
    error::{KafkaError, RDKafkaErrorCode},
    message::OwnedMessage,
};
use uuid::Uuid;

use super::report::{Finding, Report};
use crate::{
    Error, Log, Mark,
    kafka::{Incoming, Outgoing},
};

/// How long the brokers may take to send the next record.
const RECORD_SECONDS_MAX: u64 = 30;
/// How many missing events of a partition are remembered, in case they come later.
const MISSING_REMEMBERED_MAX: usize = 10_000;

/// How many records beyond the mark are held against the log at a time.
const BEYOND_MAX: usize = 1_000;

/// One partition of the topic while it is compared.
pub(super) struct Walk {
    pub(super) partition: Partition,
    epoch: Uuid,
    topic: String,
    queue: StreamPartitionQueue<DefaultConsumerContext>,
    /// The first offset that the topic has kept, and the one after the last that is looked at.
    bounds: Range<i64>,
    /// The offset to come.
    next: i64,
    /// A record that lies beyond what was compared so far.
    ahead: Option<Kept>,
    /// The first position that was asked for, if any was.
    asked_from: Option<Position>,
    /// Whether a record of this log was met.
    begun: bool,
    /// How far a consumer would be.
    reached: Position,
    /// The last event of the log in this partition; none while that is not known.
    last: Option<Position>,
    missing: BTreeSet<Position>,
}

struct Kept {
    message: OwnedMessage,
    record: Incoming,
}

/// What librdkafka had fetched before each partition got a queue of its own, and what it says beside records.
pub(super) struct Early {
    consumer: Arc<StreamConsumer>,
    messages: BTreeMap<i32, VecDeque<Result<OwnedMessage, KafkaError>>>,
}

impl Early {
    pub(super) fn new(consumer: Arc<StreamConsumer>) -> Self {
        Self {
            consumer,
            messages: BTreeMap::new(),
        }
    }

    fn note(&mut self, received: Result<OwnedMessage, KafkaError>) {
        let partition = match &received {
            Ok(message) => message.partition(),
            Err(KafkaError::PartitionEOF(partition)) => *partition,
            Err(error) => {
                // librdkafka goes on by itself; whoever waits for a record has a bound.
                tracing::warn!(%error, "reading from Kafka is in trouble");
                return;
            }
        };
        self.messages
            .entry(partition)
            .or_default()
            .push_back(received);
    }

    fn take(&mut self, partition: Partition) -> Option<Result<OwnedMessage, KafkaError>> {
        while let Some(received) = self.consumer.recv().now_or_never() {
            let received = received.map(|message| message.detach());
            self.note(received);
        }
        self.messages.get_mut(&i32::from(partition))?.pop_front()
    }
}

impl Walk {
    pub(super) fn new(
        epoch: Uuid,
        topic: &str,
        partition: Partition,
        queue: StreamPartitionQueue<DefaultConsumerContext>,
        bounds: Range<i64>,
        asked_from: Option<Position>,
    ) -> Self {
        let from = asked_from.unwrap_or(1);
        Self {
            partition,
            epoch,
            topic: topic.to_owned(),
            queue,
            next: bounds.start,
            bounds,
            ahead: None,
            asked_from,
            begun: false,
            reached: 0,
            last: (from <= 1).then_some(0),
            missing: BTreeSet::new(),
        }
    }

    /// Compares this partition's next events, which are all it has up to `through`.
    pub(super) async fn compare(
        &mut self,
        events: Vec<Recorded>,
        through: Position,
        early: &mut Early,
        report: &mut Report,
    ) -> Result<(), Error> {
        report.events += events.len() as u64;
        let mut events = VecDeque::from(events);
        while let Some(kept) = self.kept(early, report).await? {
            let position = kept.record.through.position;
            if position > through {
                self.skip_to(Position::MAX, kept.record.predecessor, &mut events, report);
                self.ahead = Some(kept);
                return Ok(());
            }
            self.meet(&kept, &mut events, report);
        }
        self.skip_to(Position::MAX, Position::MAX, &mut events, report);
        Ok(())
    }

    /// Looks at the records beyond what was compared: their events must be in the log, wherever the mark is.
    pub(super) async fn drain(
        &mut self,
        log: &Log,
        early: &mut Early,
        report: &mut Report,
    ) -> Result<(), Error> {
        let mut beyond = Vec::new();
        while let Some(kept) = self.kept(early, report).await? {
            self.reached = kept.record.through.position;
            let what = "the log has no such event at this position".to_owned();
            beyond.push((kept.record.through, finding(&kept, what)));
            if beyond.len() == BEYOND_MAX {
                complain_of_strangers(log, &mut beyond, report).await?;
            }
        }
        complain_of_strangers(log, &mut beyond, report).await
    }

    /// Holds a record against the events due. All of `events` up to it are taken out.
    fn meet(&mut self, kept: &Kept, events: &mut VecDeque<Recorded>, report: &mut Report) {
        let (position, predecessor) = (kept.record.through.position, kept.record.predecessor);
        let is_event = kept.record.event.is_some();
        // A watermark says that nothing else is there up to its position, and including it.
        let before = if is_event { position } else { position + 1 };
        self.skip_to(before, predecessor, events, report);
        self.begin(predecessor, report);
        self.reached = position;
        if !is_event {
            report.watermarks += 1;
            if self.last.is_some_and(|last| last != predecessor) {
                report
                    .different
                    .add(|| finding(kept, "header ce_predecessor".to_owned()));
            }
            return;
        }
        let Some(event) = pop_if(events, |due| due == position) else {
            if position >= report.from {
                let what = "the log has no such event in this partition".to_owned();
                report.extra.add(|| finding(kept, what));
            }
            return;
        };
        let last = self.last.replace(position).unwrap_or(predecessor);
        let expected = Outgoing::event(&self.topic, self.epoch, &event, last);
        let differing = expected.differences(&kept.message);
        if !differing.is_empty() {
            report.different.add(|| finding(kept, differing.join(", ")));
        }
    }

    /// Events before a position that the topic passed over.
    fn skip_to(
        &mut self,
        before: Position,
        predecessor: Position,
        events: &mut VecDeque<Recorded>,
        report: &mut Report,
    ) {
        while let Some(event) = pop_if(events, |due| due < before) {
            let position = event.position;
            self.last = Some(position);
            let at_beginning = !self.begun && position <= predecessor;
            if at_beginning && self.bounds.start > 0 && self.asked_from.is_none() {
                report.removed += 1;
                report.complete_from = report.complete_from.max(position + 1);
                continue;
            }
            let why = match (at_beginning, self.bounds.start) {
                (true, 0) => "was sent before the topic was made, or never",
                (true, _) => "was removed with the beginning of the topic, or never sent",
                (false, _) if position <= predecessor => "the next record names it as passed",
                (false, _) => "the next record does not know of it",
            };
            if at_beginning {
                report.complete_from = report.complete_from.max(position + 1);
            }
            if self.missing.len() < MISSING_REMEMBERED_MAX {
                self.missing.insert(position);
            }
            let partition = self.partition;
            report.missing.add(|| Finding {
                partition,
                offset: None,
                position: Some(position),
                what: format!("{} of {}/{} {why}", event.id, event.tenant, event.stream),
            });
        }
    }

    fn begin(&mut self, predecessor: Position, report: &mut Report) {
        if !self.begun {
            self.begun = true;
            if predecessor >= report.from {
                report.complete_from = report.complete_from.max(predecessor + 1);
            }
        }
    }

    /// The next record that a consumer of this log would take; none when all were looked at.
    async fn kept(
        &mut self,
        early: &mut Early,
        report: &mut Report,
    ) -> Result<Option<Kept>, Error> {
        if let Some(kept) = self.ahead.take() {
            return Ok(Some(kept));
        }
        while let Some(message) = self.receive(early).await? {
            report.records += 1;
            let record = match Incoming::read(&message) {
                Ok(record) => record,
                Err(error) => {
                    let partition = self.partition;
                    report.foreign.add(|| Finding {
                        partition,
                        offset: Some(message.offset()),
                        position: None,
                        what: if let Error::ForeignRecord { problem, .. } = error {
                            problem
                        } else {
                            error.to_string()
                        },
                    });
                    continue;
                }
            };
            let kept = Kept { message, record };
            if kept.record.epoch != self.epoch {
                report.of_other_epochs += 1;
            } else if kept.record.through.position <= self.reached {
                self.repeated(&kept, report);
            } else {
                return Ok(Some(kept));
            }
        }
        Ok(None)
    }

    /// Something that consumers drop: it was there before, or it comes too late.
    fn repeated(&mut self, kept: &Kept, report: &mut Report) {
        let position = kept.record.through.position;
        if kept.record.event.is_some() && self.missing.remove(&position) {
            report.missing.take_back(self.partition, position);
            let what = format!("it came after position {}", self.reached);
            report.out_of_order.add(|| finding(kept, what));
        } else {
            report.repeated += 1;
        }
    }

    async fn receive(&mut self, early: &mut Early) -> Result<Option<OwnedMessage>, Error> {
        if self.next >= self.bounds.end {
            return Ok(None);
        }
        let received = match early.take(self.partition) {
            Some(received) => received,
            None => {
                let patience = Duration::from_secs(RECORD_SECONDS_MAX);
                tokio::time::timeout(patience, self.queue.recv())
                    .await
                    .unwrap_or(Err(KafkaError::MessageConsumption(
                        RDKafkaErrorCode::OperationTimedOut,
                    )))
                    .map(|message| message.detach())
            }
        };
        match received {
            Ok(message) => {
                self.next = message.offset() + 1;
                Ok((message.offset() < self.bounds.end).then_some(message))
            }
            // What the brokers count before the end need not be a record.
            Err(KafkaError::PartitionEOF(_)) => {
                self.next = self.bounds.end;
                Ok(None)
            }
            Err(source) => Err(Error::Kafka {
                doing: format!("reading {}/{}", self.topic, self.partition),
                source,
            }),
        }
    }
}

async fn complain_of_strangers(
    log: &Log,
    beyond: &mut Vec<(Mark, Finding)>,
    report: &mut Report,
) -> Result<(), Error> {
    let known = log
        .ids_at(beyond.iter().map(|(mark, _)| mark.position))
        .await?;
    for (mark, finding) in beyond.drain(..) {
        if known.get(&mark.position) != Some(&mark.event_id) {
            report.extra.add(|| finding);
        }
    }
    Ok(())
}

/// The first event, if its position is as wanted.
fn pop_if(
    events: &mut VecDeque<Recorded>,
    is_wanted: impl Fn(Position) -> bool,
) -> Option<Recorded> {
    if is_wanted(events.front()?.position) {
        events.pop_front()
    } else {
        None
    }
}

fn finding(kept: &Kept, what: String) -> Finding {
    Finding {
        partition: kept.record.partition,
        offset: Some(kept.record.offset),
        position: Some(kept.record.through.position),
        what,
    }
}
