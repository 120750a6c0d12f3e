//! What can be asked of the log's one writing operation, and what it answers.

use chrono::{DateTime, Utc};
use foldline_events::{Cursor, Encoded, Position, Tenant, Version};
use uuid::Uuid;

/// Everything that one command wants recorded: all of it is stored, or none. It has at most
/// [`crate::EVENTS_PER_APPEND_MAX`] events and takes at most [`crate::BYTES_PER_APPEND_MAX`].
#[derive(Debug, Clone)]
pub struct Append {
    pub tenant: Tenant,
    /// Makes the append idempotent: a second append with this id is answered like the first.
    pub command_id: Uuid,
    /// Keyed digest of the command's input: the same id with another digest is a misuse, not a retry.
    pub input_hmac: Vec<u8>,
    pub actor: String,
    pub correlation_id: Uuid,
    pub causation_id: Uuid,
    /// W3C `traceparent`, where there is one.
    pub trace_context: Option<String>,
    /// The streams written or checked, each once; 1 to [`crate::WRITES_PER_APPEND_MAX`]. The first with
    /// events is the one that the answer speaks of.
    pub writes: Vec<Write>,
    /// At most [`crate::GUARDS_PER_APPEND_MAX`], which together cost at most [`crate::SEEKS_PER_APPEND_MAX`]. What they say
    /// twice counts once.
    pub guards: Vec<Guard>,
}

/// The events for one stream, in order. Without events it only checks the stream's version.
#[derive(Debug, Clone)]
pub struct Write {
    pub stream: String,
    pub expected: Expected,
    pub events: Vec<NewEvent>,
}

/// What the stream's version must be for the append to go through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it is.
    Any,
    /// There must be no event yet.
    NoStream,
    /// There must be an event already.
    Exists,
    /// Exactly this one.
    Exactly(Version),
}

/// An event to be recorded.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// UUIDv7, made where the command entered.
    pub id: Uuid,
    pub encoded: Encoded,
    pub occurred_at: DateTime<Utc>,
}

/// "No event of one of these types with all of these tags after that position", in the append's tenant.
///
/// Several guards of an append are each to hold: together they are the items of a query whose events must not have come
/// since it was read. How a decision is loaded, made and guarded so is shown [above](crate#deciding-on-tags).
///
/// A guard names its types. Whoever decides on events folds those whose types it knows, and one that excluded every type
/// would have to look for all types that the tag ever had, under the lock of the log.
///
/// With one tag it costs one look into an index for each type. With several, at most [`crate::GUARD_SEEKS_MAX`] for each
/// type, and no more of each tag than there are later events with the rarest. Where that many say neither yes nor no, the
/// append is answered [`Verdict::Guarded`] to be safe: load again and guard the later position. That takes a position from
/// long ago and tags that are seldom on the same event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// 1 to [`crate::GUARD_TAGS_MAX`]. It is cheapest when the first is on few of the later events.
    pub tags: Vec<String>,
    /// 1 to [`crate::GUARD_TYPES_MAX`].
    pub event_types: Vec<String>,
    /// Where what the decision was made on was read: the head of the log then, [`crate::Page::head`] of its last page.
    pub after: Position,
}

/// The log's answer to one append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Stored now.
    Appended(Receipt),
    /// Stored before under the same command id with the same input: the first answer, given again.
    Known(Receipt),
    /// The command id was used before with another input; nothing was stored.
    InputDiffers,
    /// A stream was not at the version expected; nothing was stored.
    Conflict { stream: String, version: Version },
    /// An event that a guard excludes is in the log, and none after `by`; nothing was stored.
    Guarded { by: Position },
}

/// Where an append lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The first stream that the append wrote to, and its version after it.
    pub stream: String,
    pub version: Version,
    /// Up to the append's last event; with a partition when all its events are in that one.
    pub cursor: Cursor,
}
