//! The log: the one place that appends events, reads them back in order, and carries them to Kafka.
//!
//! It alone knows the event tables and Kafka. Callers see [`Log`] (append, read), [`Feed`] (ordered batches of
//! recorded events per partition, from Postgres or from Kafka) and [`relay`] (the log's way to Kafka). It must not
//! know any context's events beyond their envelope. Read `sql/append.sql` next: every promise about order is kept
//! there.
//!
//! # With events of one's own
//!
//! The log takes any event that is encoded as JSON text with a type and tags; `examples/own_context.rs` is a whole
//! program in 40 lines that reads, folds, decides and appends. [`MemoryLog`] answers the same without a database, for tests, and
//! [`AnyLog`] holds either:
//!
//! ```
//! use foldline_events::{Encoded, Tenant};
//! use foldline_log::{Append, Expected, MemoryLog, NewEvent, Selection, Verdict, Write};
//! use uuid::Uuid;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let log = MemoryLog::new(Uuid::now_v7(), chrono::Utc::now);
//! let tenant = Tenant::parse("acme")?;
//! let deposited = Encoded {
//!     event_type: "bank.Deposited",
//!     schema_version: 1,
//!     payload: r#"{"cents":100}"#.to_owned(),
//!     tags: vec!["account:1".to_owned()],
//! };
//! let event = NewEvent::new(Uuid::now_v7(), chrono::Utc::now(), deposited);
//! let write = Write::to("account-1", Expected::NoStream, vec![event]);
//! let append = Append::new(tenant.clone(), Uuid::now_v7(), "ann", vec![write]);
//! let verdict = log.append(&append)?;
//! assert!(matches!(verdict, Verdict::Appended(receipt) if receipt.cursor.position == 1));
//!
//! let of_account = Selection {
//!     tenant: Some(tenant),
//!     tags: vec!["account:1".to_owned()],
//!     ..Selection::default()
//! };
//! let page = log.read_selected(&of_account, 0, 10)?;
//! assert_eq!((page.events.len(), page.through, page.head), (1, 1, 1));
//! # Ok(())
//! # }
//! ```
//!
//! # Deciding on tags
//!
//! A rule about events of several streams needs no stream of its own (a *dynamic consistency boundary*, as dcb.events
//! describes it): load by types and tags, decide, and append only if nothing that matches came since. One [`Selection`] and
//! one [`Guard`] are one item of such a query; several guards are several items. Here a course has one seat left, and two
//! students who ask for it at once have both been told of it:
//!
//! ```
//! use foldline_events::{Encoded, Position, Recorded, Tenant};
//! use foldline_log::{Append, Error, Expected, Guard, MemoryLog, NewEvent, PAGE_EVENTS_MAX, Selection, Verdict, Write};
//! use uuid::Uuid;
//!
//! /// What is selected, and the position that it was read at.
//! fn load(log: &MemoryLog, selection: &Selection) -> Result<(Vec<Recorded>, Position), Error> {
//!     let (mut events, mut after) = (vec![], 0);
//!     loop {
//!         let page = log.read_selected(selection, after, PAGE_EVENTS_MAX)?;
//!         events.extend(page.events);
//!         if page.through == page.head {
//!             return Ok((events, page.head));
//!         }
//!         after = page.through;
//!     }
//! }
//!
//! # fn main() -> Result<(), Error> {
//! # let log = MemoryLog::new(Uuid::now_v7(), chrono::Utc::now);
//! # let tenant = Tenant::parse("acme")?;
//! let seats = Selection {
//!     tenant: Some(tenant.clone()),
//!     types: vec!["school.Enrolled".to_owned()],
//!     tags: vec!["term:2024-1".to_owned(), "course:7".to_owned()],
//!     ..Selection::default()
//! };
//! let enrol = |student: &str, after: Position| {
//!     let enrolled = Encoded {
//!         event_type: "school.Enrolled",
//!         schema_version: 1,
//!         payload: "{}".to_owned(),
//!         tags: [seats.tags.clone(), vec![format!("student:{student}")]].concat(),
//!     };
//!     let event = NewEvent::new(Uuid::now_v7(), chrono::Utc::now(), enrolled);
//!     let write = Write::to(format!("student-{student}"), Expected::Any, vec![event]);
//!     let none_came_since = Guard {
//!         tags: seats.tags.clone(),
//!         event_types: seats.types.clone(),
//!         after,
//!     };
//!     Append {
//!         guards: vec![none_came_since],
//!         ..Append::new(tenant.clone(), Uuid::now_v7(), student, vec![write])
//!     }
//! };
//!
//! let (enrolled, of_ann) = load(&log, &seats)?;
//! let (_, of_ben) = load(&log, &seats)?;
//! assert!(enrolled.is_empty());
//! assert!(matches!(log.append(&enrol("ann", of_ann))?, Verdict::Appended(_)));
//! // Ben's decision was made on what is no longer so: load, and decide anew.
//! assert_eq!(log.append(&enrol("ben", of_ben))?, Verdict::Guarded { by: 1 });
//! assert_eq!(load(&log, &seats)?.0.len(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # Shapes, units, errors
//!
//! Positions and versions count from 1; 0 is before everything. Times are UTC and kept to the microsecond; lengths are
//! in bytes, limits in events. Reads are of pages ([`Log::read`], [`Log::read_stream`], [`Log::read_selected`], and
//! [`Log::read_to_fold`] with what a fold needs alone), walk through all pages ([`Log::walk`], [`Log::walk_stream`]) with
//! one of them in memory, or replay the log with the next page read ahead ([`Log::pages`]). A [`Verdict`] is the log's answer
//! to an append, also when it is a no; an [`Error`] is not. After [`Error::Unavailable`], [`Error::Unanswered`],
//! [`Error::AnotherLog`], [`Error::AnotherEpoch`] and [`Error::NotMigrated`] it is unknown whether the append was recorded: sending
//! it again with its command id tells, once the log is there again. After any other it was not.

#![warn(missing_docs)]

mod ahead;
mod any;
mod append;
mod batcher;
mod epoch;
mod error;
pub mod feed;
mod install;
mod kafka;
mod known_bug;
mod lag;
mod memory;
mod offline;
mod page;
mod prepared;
mod read;
mod reading;
pub mod relay;
mod row;
mod seen;
mod select;
mod snapshot;
mod store;
mod to_fold;
pub mod topic;
mod wake;
mod walk;

pub use ahead::Pages;
pub use any::AnyLog;
pub use append::{Append, Expected, Guard, NewEvent, Receipt, Verdict, Write};
pub use epoch::{NewEpoch, new_epoch};
pub use error::{Error, Full};
pub use feed::{Delivery, Feed, Mark, Slice, Start};
pub use install::{SEGMENTS_AHEAD_MAX, install};
pub use kafka::KafkaOptions;
pub use lag::{LAG_POSITIONS_COUNTED_MAX, Lag, Lags};
pub use memory::MemoryLog;
pub use offline::{Offline, OfflineAppend, OfflineImport};
pub use page::READ_BYTES_MAX;
pub use select::{
    PAGE_EVENTS_MAX, Page, Selection, TAGGED_POSITIONS_MAX, TAGGED_SEGMENTS_MAX, TAGS_COMPARED_MAX,
    WINDOW_POSITIONS_MAX,
};
pub use snapshot::{Folding, SNAPSHOT_BYTES_MAX, SNAPSHOT_FOLDS_MAX, Snapshot};
pub use store::{Log, LogOptions, Service};
pub use to_fold::{StreamEvent, StreamPage};
pub use wake::Wake;
pub use walk::{WALK_PAGE_EVENTS, Walk};

/// How many streams one append may write or check.
pub const WRITES_PER_APPEND_MAX: usize = 16;
/// How many guards one append may carry.
pub const GUARDS_PER_APPEND_MAX: usize = 16;
/// How many tags one guard may have: as many as an event.
pub const GUARD_TAGS_MAX: usize = TAGS_PER_EVENT_MAX;
/// How many event types one guard may name.
pub const GUARD_TYPES_MAX: usize = 64;
/// How many entries of the tags' index are read for one type of a guard with several tags.
pub const GUARD_SEEKS_MAX: usize = 1_000;
/// How many such entries the guards of one append may take together: each type one, and [`GUARD_SEEKS_MAX`] where its guard
/// has several tags. The log is locked while they are read.
pub const SEEKS_PER_APPEND_MAX: usize = 8_000;
/// How many events one append may record.
pub const EVENTS_PER_APPEND_MAX: usize = 1_000;
/// How many bytes one append may take: its payloads and tags, and with each event its stream, actor and trace context, which
/// are stored with it. Each event counts 160 besides and each tag 40.
pub const BYTES_PER_APPEND_MAX: usize = 8 * 1024 * 1024;
/// How long a payload may be, in bytes of JSON.
pub const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// How many tags one event may have.
pub const TAGS_PER_EVENT_MAX: usize = 16;
/// How long the name of a stream may be, in bytes. This and what follows bounds what lies in an index, and the headers of a
/// Kafka record, which with the payload stays below the megabyte that brokers take.
pub const STREAM_BYTES_MAX: usize = 512;
/// How long an event type may be, in bytes.
pub const EVENT_TYPE_BYTES_MAX: usize = 256;
/// How long a tag may be, in bytes.
pub const TAG_BYTES_MAX: usize = 512;
/// How long an actor may be, in bytes.
pub const ACTOR_BYTES_MAX: usize = 512;
/// How long a trace context may be, in bytes.
pub const TRACE_CONTEXT_BYTES_MAX: usize = 512;
/// How long the digest of a command's input may be, in bytes.
pub const INPUT_HMAC_BYTES_MAX: usize = 64;
