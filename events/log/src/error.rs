//! Everything of the log that can go wrong on our side. A [`crate::Verdict`] is not an error.

use foldline_events::{DecodeError, Position, Tenant};
use uuid::Uuid;

use crate::prepared;

/// Which bound of what may wait an append would have broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    /// The appends that its tenant may have waiting, beside those of others.
    #[error("its tenant has as many appends waiting as it may beside those of others")]
    AppendsOfTenant,
    /// Their bytes.
    #[error(
        "the appends of its tenant that are waiting take as many bytes as they may beside those of others"
    )]
    BytesOfTenant,
    /// The appends of all tenants that may wait.
    #[error("as many appends of all tenants are waiting as may")]
    Appends,
    /// Their bytes.
    #[error("the appends of all tenants that are waiting take as many bytes as they may")]
    Bytes,
    /// The reads that its tenant may have waiting for its share of the connections, or for how long one may wait.
    #[error(
        "its tenant has as many reads waiting as it may, or one has waited for as long as it may"
    )]
    ReadsOfTenant,
}

/// What kept an operation from being done, and what was done all the same.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum Error {
    /// The database cannot be reached, or does not let us in.
    #[error("cannot connect to the log's database")]
    Connect(#[source] sqlx::Error),
    /// The database holds no log yet, or one of an older build.
    #[error(
        "the log's database is older than this build, or was never prepared; run `foldline migrate` first. It lacks: \
         {lacks}"
    )]
    NotMigrated { lacks: String },
    /// The functions that the log needs could not be put into its database.
    #[error("cannot install the log's functions")]
    Install(#[source] sqlx::Error),
    /// An offline import was asked of a log that has events.
    #[error(
        "this log is not empty: its head is at position {head}; only an empty one takes an offline import"
    )]
    NotEmpty { head: Position },
    /// A read failed and may be tried again: no connection was to be had, or one broke.
    #[error("cannot read the log")]
    Read(#[source] sqlx::Error),
    /// A snapshot could not be written or dropped. Nothing depends on it.
    #[error("cannot write a snapshot")]
    Snapshot(#[source] sqlx::Error),
    /// The state is longer than [`crate::SNAPSHOT_BYTES_MAX`]; it is not kept.
    #[error("a snapshot has {bytes} bytes, and at most {bytes_max} are kept")]
    SnapshotTooLarge { bytes: usize, bytes_max: usize },
    /// The database was away for too long, or somebody held a lock of it. Where a try of this append was not answered, it is
    /// stored or is not: sent again with its command id it gets the answer. Where none was, it is not stored.
    #[error(
        "the log could not be written for {waited_ms} ms; {}, retry it with the same id",
        match .is_unknown {
            true => "whether the command was recorded is unknown",
            false => "the command was not recorded",
        }
    )]
    Unavailable {
        waited_ms: u64,
        /// Whether a try was not answered.
        is_unknown: bool,
        #[source]
        source: sqlx::Error,
    },
    /// Too much is waiting already, which `full` names. Nothing was recorded; the same may be asked again in a moment.
    #[error("something of tenant {tenant} was turned away: {full}; try again in a moment")]
    Overloaded { tenant: Tenant, full: Full },
    /// The database takes no such append, and never will. Nothing was recorded.
    #[error("the append was refused by the database and not recorded")]
    Refused(#[source] sqlx::Error),
    /// The append breaks a rule or bound that this says in words, and never will go through. Nothing was recorded.
    #[error("the append is malformed and was not recorded: {0}")]
    Malformed(String),
    /// What appends is gone, perhaps in the middle of it: the log is being closed, or it panicked. The append is stored, or is
    /// not: sent again with its command id it gets the answer.
    #[error(
        "the log is shutting down; whether the command was recorded is unknown, retry it with the same id"
    )]
    Unanswered,
    /// The log is being closed. Nothing was recorded.
    #[error("the log is shutting down; nothing was recorded")]
    Closed,
    /// Positions are missing: the log is damaged.
    #[error(
        "the log after position {after} goes on at {found}: positions must be gapless, so this log is damaged"
    )]
    Gap { after: Position, found: Position },
    /// Others are connected where nobody may be.
    #[error("others are using the log's database: {by}; stop all roles first")]
    InUse { by: String },
    /// The epoch could not be changed; it is what it was.
    #[error("cannot give the log a new epoch")]
    NewEpoch(#[source] sqlx::Error),
    /// Whoever asks has seen another event at a position: it holds what was made of another log.
    #[error(
        "position {position} of this log is not the event {expected}: the log was restored or replaced, so what was \
         built from it must be rebuilt"
    )]
    AnotherLog { position: Position, expected: Uuid },
    /// A cursor, checkpoint or record is of another incarnation of the log.
    #[error("the log's epoch is {present}, not {expected}: it was restored or replaced")]
    AnotherEpoch { present: Uuid, expected: Uuid },
    /// Whoever asks has seen more than this log holds.
    #[error(
        "the log's head is at position {head}, before {position}: the log was set back, or the position is of another \
         log"
    )]
    BeyondHead { position: Position, head: Position },
    /// What is recorded as a tenant is none.
    #[error("a recorded tenant id is not valid")]
    Tenant(#[from] foldline_events::tenant::InvalidTenant),
    /// A recorded payload is not what its type and version say.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// Kafka failed while something was being done with it.
    #[error("Kafka: {doing}")]
    Kafka {
        doing: String,
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// The topic has another number of partitions, by which events would go elsewhere.
    #[error("topic {topic} has {found} partitions where the log needs {needed}; recreate it")]
    TopicPartitions {
        topic: String,
        found: usize,
        needed: usize,
    },
    /// The topic holds, under this log's epoch, an event that this log does not.
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
    /// The relay has not made the topic yet, or somebody removed it.
    #[error("there is no topic {topic}; the relay makes it")]
    NoTopic { topic: String },
    /// Somebody holds a lock that replacing the log's functions needs. What was replaced before stays; migrating again goes on.
    #[error(
        "somebody holds a lock of the log{}; wait for that session or end it, and migrate again",
        .pid.map(|pid| format!(": the server's process {pid}")).unwrap_or_default()
    )]
    InstallBlocked { pid: Option<i32> },
    /// A comparison was asked for of what the relay has not sent yet.
    #[error("position {position} is not in Kafka yet: the relay has carried the log up to {mark}")]
    NotCarried { position: Position, mark: Position },
    /// Somebody else writes to the topic, or a record was damaged.
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
