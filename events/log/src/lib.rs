//! The log: the one place that appends events, reads them back in order, and carries them to Kafka.
//!
//! It alone knows the event tables and Kafka. Callers see [`Log`] (append, read), [`Feed`] (ordered batches of
//! recorded events per partition, from Postgres or from Kafka) and [`relay`] (the log's way to Kafka). It must not
//! know any context's events beyond their envelope. Read `sql/append.sql` next: every promise about order is kept
//! there.

mod append;
mod batcher;
mod epoch;
mod error;
pub mod feed;
mod install;
mod kafka;
mod known_bug;
mod offline;
mod read;
pub mod relay;
mod store;
pub mod topic;
mod wake;

pub use append::{Append, Expected, Guard, NewEvent, Receipt, Verdict, Write};
pub use epoch::{NewEpoch, new_epoch};
pub use error::Error;
pub use feed::{Delivery, Feed, Mark, Slice, Start};
pub use install::install;
pub use kafka::KafkaOptions;
pub use offline::{Offline, OfflineAppend, OfflineImport};
pub use store::{Log, LogOptions, Service};
pub use wake::Wake;

/// How many streams one append may write or check.
pub const WRITES_PER_APPEND_MAX: usize = 16;
/// How many guards one append may carry.
pub const GUARDS_PER_APPEND_MAX: usize = 16;
/// How many events one append may record.
pub const EVENTS_PER_APPEND_MAX: usize = 1_000;
/// How long a payload may be, in bytes of JSON.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// How many tags one event may have.
pub const TAGS_PER_EVENT_MAX: usize = 16;
