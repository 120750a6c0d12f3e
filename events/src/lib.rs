//! The language of Foldline: what can have happened, and how it is written down.
//!
//! This crate owns the event types of every context, the [`Recorded`] envelope that the log gives them, the
//! [`Cursor`] that clients carry, and the rule that places a stream in a partition. It is pure: it must not know
//! databases, brokers, clocks or the network. Read [`tasks`] next to see how a context spells its events, then
//! `events/log` for where they are kept.

pub mod cursor;
pub mod hours;
pub mod partition;
mod payload;
pub mod recorded;
pub mod tasks;
pub mod tenant;
pub mod upcast;

pub use cursor::Cursor;
pub use hours::Hours;
pub use partition::{PARTITIONS, Partition, partition_of};
pub use payload::{Example, Payload};
pub use recorded::{Position, Recorded, Version};
pub use tenant::Tenant;

use uuid::Uuid;

/// Any event of any context. A new context adds a variant here, and the compiler then names every place that must
/// learn of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    Project(tasks::ProjectEvent),
    Task(tasks::TaskEvent),
    TaskKey(tasks::KeyEvent),
}

/// An event as the log stores it: the payload's bytes are final from here on, nothing re-serialises them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Encoded {
    /// `context.FactInPastTense`, for example `tasks.TaskCompleted`.
    pub event_type: &'static str,
    /// The version of the payload's schema, from 1.
    pub schema_version: i16,
    /// JSON text, UTF-8.
    pub payload: String,
    /// `kind:id` pairs by which guards and readers of other streams find the event.
    pub tags: Vec<String>,
}

/// Why a recorded payload could not be read as an [`Event`].
#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error(
        "event type {event_type} in schema version {schema_version} is not known to this build; run a newer one"
    )]
    Unknown {
        event_type: String,
        schema_version: i16,
    },
    #[error(
        "payload of {event_type} in schema version {schema_version} cannot be brought to version {to}"
    )]
    Upcast {
        event_type: String,
        schema_version: i16,
        to: i16,
        #[source]
        source: upcast::Misfit,
    },
    #[error("payload of {event_type} does not fit its schema version {schema_version}")]
    Payload {
        event_type: String,
        schema_version: i16,
        #[source]
        source: serde_json::Error,
    },
}

impl Event {
    /// Writes the event down. `aggregate` is the id of the project or task whose stream will hold it.
    pub fn encode(&self, aggregate: Uuid) -> Encoded {
        match self {
            Self::Project(event) => event.encode(aggregate),
            Self::Task(event) => event.encode(),
            Self::TaskKey(event) => event.encode(),
        }
    }

    /// Reads an event back from what the log stored, in whichever version it was recorded.
    ///
    /// # Errors
    /// [`DecodeError`] says which type and version is not known here, or where the payload is not what they say.
    pub fn decode(
        event_type: &str,
        schema_version: i16,
        payload: &str,
    ) -> Result<Self, DecodeError> {
        let from = payload::Written {
            event_type,
            schema_version,
            payload,
        };
        let decoded = if let Some(event) = tasks::ProjectEvent::decode(&from)? {
            Some(Self::Project(event))
        } else if let Some(event) = tasks::TaskEvent::decode(&from)? {
            Some(Self::Task(event))
        } else {
            tasks::KeyEvent::decode(&from)?.map(Self::TaskKey)
        };
        decoded.ok_or_else(|| from.unknown())
    }
}

/// One example of every event type of every context.
pub fn examples() -> Vec<Example> {
    tasks::examples()
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::*;

    #[test]
    fn every_example_is_read_as_an_event_and_written_the_same() {
        for example in examples() {
            let (event_type, version) = (example.event_type, example.schema_version);
            let event = Event::decode(event_type, version, &example.payload).unwrap();
            let written = event.encode(Uuid::nil());
            assert_eq!(
                (written.event_type, written.schema_version, written.payload),
                (event_type, version, example.payload)
            );
        }
    }

    #[test]
    fn an_event_type_or_version_that_is_not_known_is_unknown_and_not_misread() {
        for (event_type, version) in [
            ("tasks.TaskPainted", 1),
            ("tasks.TaskCreated", 2),
            ("tasks.TaskCreated", i16::MAX),
            ("tasks.TaskCreated", 0),
            ("tasks.TaskCreated", -1),
            ("", 1),
        ] {
            let read = Event::decode(event_type, version, "{}");
            assert!(matches!(read, Err(DecodeError::Unknown { .. })));
        }
    }

    #[test]
    fn every_past_version_of_every_event_reaches_the_present_one() {
        assert_eq!(upcast::check(), Ok(()));
    }

    /// A type that is known as often as not, and payloads of which some almost fit.
    fn written() -> impl Strategy<Value = (String, i16, String)> {
        let event_type = prop_oneof![
            any::<Index>().prop_map(|of| of.get(&examples()).event_type.to_owned()),
            any::<String>(),
        ];
        let version = prop_oneof![0..4_i16, any::<i16>()];
        let payload = prop_oneof![
            any::<Index>().prop_map(|of| of.get(&examples()).payload.clone()),
            (any::<Index>(), any::<Index>(), any::<char>()).prop_map(|(of, at, put)| {
                let payload = of.get(&examples()).payload.clone();
                let mut letters: Vec<char> = payload.chars().collect();
                *at.get_mut(&mut letters) = put;
                letters.into_iter().collect()
            }),
            any::<Vec<u8>>().prop_map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        ];
        (event_type, version, payload)
    }

    proptest! {
        #[test]
        fn whatever_was_recorded_is_read_or_refused_by_a_typed_error(of in written()) {
            let (event_type, version, payload) = of;
            let known = examples().iter().any(|example| {
                example.event_type == event_type && (1..=example.schema_version).contains(&version)
            });
            let read = Event::decode(&event_type, version, &payload);
            let unknown = matches!(read, Err(DecodeError::Unknown { .. }));
            prop_assert_eq!(unknown, !known, "{} {}: {:?}", event_type, version, read);
        }
    }
}
