//! Everything of the log that can go wrong on our side. A [`crate::Verdict`] is not an error.

use foldline_events::{DecodeError, Position, Tenant};
use uuid::Uuid;

use crate::prepared;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot connect to the log's database")]
    Connect(#[source] sqlx::Error),
    #[error(
        "the log's database is older than this build, or was never prepared; run `foldline migrate` first. It lacks: \
         {lacks}"
    )]
    NotMigrated { lacks: String },
    #[error("cannot install the log's functions")]
    Install(#[source] sqlx::Error),
    #[error(
        "this log is not empty: its head is at position {head}; only an empty one takes an offline import"
    )]
    NotEmpty { head: Position },
    #[error("cannot read the log")]
    Read(#[source] sqlx::Error),
    #[error("cannot write a snapshot")]
    Snapshot(#[source] sqlx::Error),
    #[error("a snapshot has {bytes} bytes, and at most {bytes_max} are kept")]
    SnapshotTooLarge { bytes: usize, bytes_max: usize },
    #[error(
        "the log could not be written for {waited_ms} ms; whether the command was recorded is unknown, retry it with the same id"
    )]
    Unavailable {
        waited_ms: u64,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "too many appends of tenant {tenant} are waiting already, beside those of others; try again in a moment"
    )]
    Overloaded { tenant: Tenant },
    #[error("the append was refused by the database and not recorded")]
    Refused(#[source] sqlx::Error),
    #[error("the append is malformed and was not recorded: {0}")]
    Malformed(String),
    #[error("the log is shutting down; nothing was recorded")]
    Closed,
    #[error(
        "the log after position {after} goes on at {found}: positions must be gapless, so this log is damaged"
    )]
    Gap { after: Position, found: Position },
    #[error("others are using the log's database: {by}; stop all roles first")]
    InUse { by: String },
    #[error("cannot give the log a new epoch")]
    NewEpoch(#[source] sqlx::Error),
    #[error(
        "position {position} of this log is not the event {expected}: the log was restored or replaced, so what was \
         built from it must be rebuilt"
    )]
    AnotherLog { position: Position, expected: Uuid },
    #[error("the log's epoch is {present}, not {expected}: it was restored or replaced")]
    AnotherEpoch { present: Uuid, expected: Uuid },
    #[error(
        "the log's head is at position {head}, before {position}: the log was set back, or the position is of another \
         log"
    )]
    BeyondHead { position: Position, head: Position },
    #[error("a recorded tenant id is not valid")]
    Tenant(#[from] foldline_events::tenant::InvalidTenant),
    #[error(transparent)]
    Decode(#[from] DecodeError),
    #[error("Kafka: {doing}")]
    Kafka {
        doing: String,
        #[source]
        source: rdkafka::error::KafkaError,
    },
    #[error("topic {topic} has {found} partitions where the log needs {needed}; recreate it")]
    TopicPartitions {
        topic: String,
        found: usize,
        needed: usize,
    },
    #[error(
        "{topic}/{partition}@{offset} holds event {found} at position {position}, which is not in this log: the log \
         was restored or replaced. Stop all roles and run `foldline log new-epoch`"
    )]
    TopicOfAnotherLog {
        topic: String,
        partition: i32,
        offset: i64,
        position: Position,
        found: Uuid,
    },
    #[error("there is no topic {topic}; the relay makes it")]
    NoTopic { topic: String },
    #[error("position {position} is not in Kafka yet: the relay has carried the log up to {mark}")]
    NotCarried { position: Position, mark: Position },
    #[error("a record at {topic}/{partition}@{offset} is not one of ours: {problem}")]
    ForeignRecord {
        topic: String,
        partition: i32,
        offset: i64,
        problem: String,
    },
}

impl Error {
    /// What a failed read was: one that did not find our functions or tables is nobody's fault who reads.
    pub(crate) fn reading(source: sqlx::Error) -> Self {
        if prepared::is_absent(&source) {
            Self::not_migrated(&source)
        } else {
            Self::Read(source)
        }
    }

    pub(crate) fn not_migrated(said: &sqlx::Error) -> Self {
        let lacks = match said.as_database_error() {
            Some(error) => error.message().to_owned(),
            None => said.to_string(),
        };
        Self::NotMigrated { lacks }
    }
}
