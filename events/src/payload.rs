//! How a payload is written down and read back, the same for every event of every context.

use serde::{Serialize, de::DeserializeOwned};

use crate::{DecodeError, Encoded};

/// What one event type says. The struct's fields are the payload's JSON.
pub trait Payload: Serialize + DeserializeOwned {
    /// `context.FactInPastTense`.
    const EVENT_TYPE: &'static str;
    /// Raised by a change that older readers cannot take; the older one then gets an upcaster.
    const SCHEMA_VERSION: i16 = 1;

    /// The payload with its tags, as the log stores it.
    fn encoded(&self, tags: Vec<String>) -> Encoded {
        Encoded {
            event_type: Self::EVENT_TYPE,
            schema_version: Self::SCHEMA_VERSION,
            payload: json(self),
            tags,
        }
    }
}

/// One payload of an event type, and the JSON Schema of all of them.
#[derive(Debug, Clone)]
pub struct Example {
    pub event_type: &'static str,
    pub schema_version: i16,
    /// JSON text.
    pub payload: String,
    #[cfg(feature = "schema")]
    pub schema: schemars::Schema,
}

impl Example {
    #[cfg(not(feature = "schema"))]
    pub(crate) fn of<P: Payload>(payload: &P) -> Self {
        Self {
            event_type: P::EVENT_TYPE,
            schema_version: P::SCHEMA_VERSION,
            payload: json(payload),
        }
    }

    #[cfg(feature = "schema")]
    pub(crate) fn of<P: Payload + schemars::JsonSchema>(payload: &P) -> Self {
        Self {
            event_type: P::EVENT_TYPE,
            schema_version: P::SCHEMA_VERSION,
            payload: json(payload),
            schema: schemars::schema_for!(P),
        }
    }
}

fn json(payload: &impl Serialize) -> String {
    serde_json::to_string(payload)
        .expect("payloads hold text, numbers and maps with text keys, which JSON can write")
}

/// A recorded payload before it is read.
pub(crate) struct Written<'a> {
    pub(crate) event_type: &'a str,
    pub(crate) schema_version: i16,
    pub(crate) payload: &'a str,
}

impl Written<'_> {
    pub(crate) fn read<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        serde_json::from_str(self.payload).map_err(|source| DecodeError::Payload {
            event_type: self.event_type.to_owned(),
            schema_version: self.schema_version,
            source,
        })
    }
}
