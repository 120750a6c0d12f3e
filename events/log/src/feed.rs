//! Ordered batches of recorded events per partition, from Postgres or from Kafka: the same partitions, the same
//! events, the same order.
//!
//! A consumer asks for the [`next`](Feed::next) delivery in a loop. When partitions are assigned it looks up its own
//! checkpoints and answers with [`start`](Feed::start); slices come for started partitions only. The feed drops what
//! is at or below the start, so that each event of a partition is delivered once per start, gapless and in order.

mod from_kafka;
mod from_postgres;

use foldline_events::{Partition, Position, Recorded};
use uuid::Uuid;

use crate::Error;
pub use from_kafka::{KafkaFeed, KafkaFeedOptions};
pub use from_postgres::PostgresFeed;

/// How many events one delivery holds at most, where they do not reach [`crate::READ_BYTES_MAX`] before.
pub const DELIVERY_EVENTS_MAX: usize = 16_000;

/// A source of recorded events.
pub enum Feed {
    /// The log itself; all partitions are the consumer's, or those that it starts.
    Postgres(PostgresFeed),
    /// The topic; a group's consumers share the partitions.
    Kafka(Box<KafkaFeed>),
}

/// A place in the log that can be compared with the log again: the id tells whether it is still the same log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Counted from 1; 0 is before everything.
    pub position: Position,
    /// The id of the event at that position; nil for position 0.
    pub event_id: Uuid,
}

impl Mark {
    /// Before everything.
    pub const START: Self = Self {
        position: 0,
        event_id: Uuid::nil(),
    };
}

impl From<&Recorded> for Mark {
    fn from(event: &Recorded) -> Self {
        Self {
            position: event.position,
            event_id: event.id,
        }
    }
}

/// Where a consumer wants a partition to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Start {
    /// Which one.
    pub partition: Partition,
    /// Everything up to here has been folded.
    pub after: Mark,
    /// The Kafka offset stored with it, if any: a hint where to read on, never trusted for order.
    pub offset: Option<i64>,
}

/// What the feed has to say.
#[derive(Debug)]
pub enum Delivery {
    /// These partitions are the consumer's now; it must answer with [`Feed::start`].
    Assigned(Vec<Partition>),
    /// These partitions are no longer the consumer's.
    Revoked(Vec<Partition>),
    /// At least one slice, each of another partition.
    Slices(Vec<Slice>),
}

/// The next stretch of one partition.
#[derive(Debug)]
pub struct Slice {
    /// Which one.
    pub partition: Partition,
    /// In order of position; may be empty when only other partitions moved.
    pub events: Vec<Recorded>,
    /// The partition holds nothing else up to here.
    pub through: Mark,
    /// The Kafka offset to read on from, for the consumer to keep with its rows.
    pub offset: Option<i64>,
}

impl Feed {
    /// The next delivery; waits as long as there is none. Cancel safe: a delivery not returned is made again.
    ///
    /// # Errors
    /// What reading the log meets ([`crate::Log::read`]), and from Kafka [`Error::Kafka`] and [`Error::ForeignRecord`]. Make
    /// another feed then, and start where the last delivery ended.
    pub async fn next(&mut self) -> Result<Delivery, Error> {
        match self {
            Self::Postgres(feed) => feed.next().await,
            Self::Kafka(feed) => feed.next().await,
        }
    }

    /// Begins (or begins again) to deliver partitions.
    ///
    /// # Errors
    /// [`Error::AnotherLog`] when a start is not in this log: it was restored or replaced, and whoever asks holds rows of
    /// another one. Otherwise as [`Self::next`].
    pub async fn start(&mut self, starts: &[Start]) -> Result<(), Error> {
        match self {
            Self::Postgres(feed) => feed.start(starts).await,
            Self::Kafka(feed) => feed.start(starts).await,
        }
    }

    /// Takes no part until the next delivery is asked for: what was started is not delivered until it is started again, and others
    /// may have it.
    ///
    /// # Errors
    /// [`Error::Kafka`] when there can be no other consumer.
    pub fn rest(&mut self) -> Result<(), Error> {
        match self {
            Self::Postgres(feed) => {
                feed.rest();
                Ok(())
            }
            Self::Kafka(feed) => feed.rest(),
        }
    }

    /// For metrics and logs.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Kafka(_) => "kafka",
        }
    }
}
