//! An event as it lies in the log.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use crate::{DecodeError, Event, Partition, Tenant};

/// An event's place in the log: gapless from 1, in commit order. 0 means "before everything".
pub type Position = i64;

/// An event's place in its stream: contiguous from 1. 0 means "no event yet".
pub type Version = i64;

/// One event with everything the log knows about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub position: Position,
    pub partition: Partition,
    /// UUIDv7, given by the process that appended it.
    pub id: Uuid,
    pub tenant: Tenant,
    /// `<kind>-<uuid>`, for example `task-0198…`.
    pub stream: String,
    pub version: Version,
    /// `context.FactInPastTense`.
    pub event_type: String,
    pub schema_version: i16,
    /// JSON text, byte for byte as it was appended.
    pub payload: String,
    pub tags: Vec<String>,
    /// Who acted: the subject of the token.
    pub actor: String,
    pub command_id: Uuid,
    pub correlation_id: Uuid,
    pub causation_id: Uuid,
    /// W3C `traceparent` of the request that caused it, where there was one.
    pub trace_context: Option<String>,
    /// Business time: when it happened, as the command said.
    pub occurred_at: DateTime<Utc>,
    /// Our time: when it was appended; never decreases along the log.
    pub recorded_at: DateTime<Utc>,
}

impl Recorded {
    /// The event inside, or why this build cannot read it.
    ///
    /// # Errors
    /// As [`Event::decode`].
    pub fn event(&self) -> Result<Event, DecodeError> {
        Event::decode(&self.event_type, self.schema_version, &self.payload)
    }

    /// The id of the aggregate whose stream this is: what follows the kind in the stream's name.
    pub fn aggregate(&self) -> Option<Uuid> {
        let (_kind, id) = self.stream.split_once('-')?;
        Uuid::parse_str(id).ok()
    }
}
