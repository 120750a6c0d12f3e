//! How a payload is written down and read back, the same for every event of every context.

use serde::{Serialize, de::DeserializeOwned};

use serde_json::Value;

use crate::{
    DecodeError, Encoded,
    upcast::{Chain, Fields, Upcaster},
};

/// What one event type says. The struct's fields are the payload's JSON.
pub trait Payload: Serialize + DeserializeOwned {
    /// `context.FactInPastTense`.
    const EVENT_TYPE: &'static str;
    /// Raised by a change that breaks a reader; the version before then gets an upcaster.
    const SCHEMA_VERSION: i16 = 1;
    /// One from each past version to the next; [`crate::upcast::check`] finds what is missing.
    const UPCASTERS: &'static [Upcaster] = &[];

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
    /// How past versions come to this one.
    pub chain: Chain,
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
            chain: Chain::of::<P>(),
        }
    }

    #[cfg(feature = "schema")]
    pub(crate) fn of<P: Payload + schemars::JsonSchema>(payload: &P) -> Self {
        Self {
            event_type: P::EVENT_TYPE,
            schema_version: P::SCHEMA_VERSION,
            payload: json(payload),
            chain: Chain::of::<P>(),
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
    /// The payload as the present version has it, whichever it was recorded in.
    pub(crate) fn read<P: Payload>(&self) -> Result<P, DecodeError> {
        if self.schema_version == P::SCHEMA_VERSION {
            return serde_json::from_str(self.payload).map_err(|source| self.misfit(source));
        }
        let chain = Chain::of::<P>();
        if !(1..chain.present).contains(&self.schema_version) {
            return Err(self.unknown());
        }
        let mut fields: Fields =
            serde_json::from_str(self.payload).map_err(|source| self.misfit(source))?;
        for from in self.schema_version..chain.present {
            // A process that could not read every version has not started.
            let upcaster = chain.step(from).ok_or_else(|| self.unknown())?;
            (upcaster.step)(&mut fields).map_err(|source| DecodeError::Upcast {
                event_type: self.event_type.to_owned(),
                schema_version: self.schema_version,
                to: from + 1,
                source,
            })?;
        }
        serde_json::from_value(Value::Object(fields)).map_err(|source| self.misfit(source))
    }

    pub(crate) fn unknown(&self) -> DecodeError {
        DecodeError::Unknown {
            event_type: self.event_type.to_owned(),
            schema_version: self.schema_version,
        }
    }

    fn misfit(&self, source: serde_json::Error) -> DecodeError {
        DecodeError::Payload {
            event_type: self.event_type.to_owned(),
            schema_version: self.schema_version,
            source,
        }
    }
}
