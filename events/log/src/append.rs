//! What can be asked of the log's one writing operation, and what it answers.

use chrono::{DateTime, SubsecRound, Utc};
use foldline_events::{Cursor, Encoded, Position, Tenant, Version};
use uuid::Uuid;

/// Everything that one command wants recorded: all of it is stored, or none. It has at most
/// [`crate::EVENTS_PER_APPEND_MAX`] events and takes at most [`crate::BYTES_PER_APPEND_MAX`].
#[derive(Debug, Clone)]
pub struct Append {
    /// Whose events they are. Streams, command ids, tags and guards are each tenant's own.
    pub tenant: Tenant,
    /// Makes the append idempotent: a second append with this id is answered like the first.
    pub command_id: Uuid,
    /// Keyed digest of the command's input: the same id with another digest is a misuse, not a retry. Empty where nobody but
    /// the caller makes command ids: then the id alone says what is a retry.
    pub input_hmac: Vec<u8>,
    /// Who gave the command.
    pub actor: String,
    /// What it belongs to: the command that all of it began with.
    pub correlation_id: Uuid,
    /// What it follows from: the command or event before it.
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

impl Append {
    /// What a command of its own wants recorded: it belongs to nothing but itself and follows from nothing else, has no
    /// trace, no digest of its input, and no guard. Whoever wants more says what is different:
    /// `Append { guards, ..Append::new(…) }`.
    pub fn new(
        tenant: Tenant,
        command_id: Uuid,
        actor: impl Into<String>,
        writes: Vec<Write>,
    ) -> Self {
        Self {
            tenant,
            command_id,
            input_hmac: vec![],
            actor: actor.into(),
            correlation_id: command_id,
            causation_id: command_id,
            trace_context: None,
            writes,
            guards: vec![],
        }
    }
}

/// The events for one stream, in order. Without events it only checks the stream's version.
#[derive(Debug, Clone)]
pub struct Write {
    /// The stream's id, for example `account-1`.
    pub stream: String,
    /// What its version must be.
    pub expected: Expected,
    /// Get the next versions, in this order; at most [`crate::EVENTS_PER_APPEND_MAX`] in one append.
    pub events: Vec<NewEvent>,
}

impl Write {
    /// Events to a stream that must be as expected.
    pub fn to(stream: impl Into<String>, expected: Expected, events: Vec<NewEvent>) -> Self {
        Self {
            stream: stream.into(),
            expected,
            events,
        }
    }

    /// Nothing to a stream that must be as expected.
    pub fn check(stream: impl Into<String>, expected: Expected) -> Self {
        Self::to(stream, expected, vec![])
    }
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
    /// Exactly this one; 0 is a stream without events.
    Exactly(Version),
}

/// An event to be recorded.
#[derive(Debug, Clone)]
pub struct NewEvent {
    /// UUIDv7, made where the command entered.
    pub id: Uuid,
    /// Its type, payload and tags.
    pub encoded: Encoded,
    /// When it happened, as whoever sent the command says; kept to the microsecond. When it was recorded the log says.
    pub occurred_at: DateTime<Utc>,
}

impl NewEvent {
    /// When it happened, to the microsecond before: the database would round instants before 2000 the other way.
    pub(crate) fn occurred_at_kept(&self) -> DateTime<Utc> {
        self.occurred_at.trunc_subsecs(6)
    }

    /// An event that happened then, under an id of its own.
    pub fn new(id: Uuid, occurred_at: DateTime<Utc>, encoded: Encoded) -> Self {
        Self {
            id,
            encoded,
            occurred_at,
        }
    }
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
    Conflict {
        /// The first such stream, in the order of the writes.
        stream: String,
        /// Its version; 0 when it has no events.
        version: Version,
    },
    /// An event that a guard excludes is in the log, and none after `by`; nothing was stored.
    Guarded {
        /// The position of the newest such event.
        by: Position,
    },
}

/// Where an append lies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The first stream that the append wrote to.
    pub stream: String,
    /// That stream's version after the append.
    pub version: Version,
    /// Up to the append's last event; with a partition when all its events are in that one.
    pub cursor: Cursor,
}
