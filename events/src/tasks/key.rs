//! Who holds a task key: a stream per key, so that two tasks cannot take the same one at the same time.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{DecodeError, Encoded, Example, Payload, payload::Written};

#[derive(Debug, Clone, PartialEq)]
pub enum KeyEvent {
    Reserved(TaskKeyReserved),
    Released(TaskKeyReleased),
}

/// A key belongs to a task from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskKeyReserved {
    pub task_id: Uuid,
}

/// A key is free again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskKeyReleased {
    pub task_id: Uuid,
}

impl Payload for TaskKeyReserved {
    const EVENT_TYPE: &'static str = "tasks.TaskKeyReserved";
}

impl Payload for TaskKeyReleased {
    const EVENT_TYPE: &'static str = "tasks.TaskKeyReleased";
}

impl KeyEvent {
    pub(crate) fn encode(&self) -> Encoded {
        match self {
            Self::Reserved(event) => event.encoded(vec![]),
            Self::Released(event) => event.encoded(vec![]),
        }
    }

    /// `None` for a type that is none of these.
    pub(crate) fn decode(from: &Written<'_>) -> Result<Option<Self>, DecodeError> {
        Ok(Some(match from.event_type {
            TaskKeyReserved::EVENT_TYPE => Self::Reserved(from.read()?),
            TaskKeyReleased::EVENT_TYPE => Self::Released(from.read()?),
            _ => return Ok(None),
        }))
    }
}

pub(super) fn examples() -> Vec<Example> {
    let task_id = Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0001);
    vec![
        Example::of(&TaskKeyReserved { task_id }),
        Example::of(&TaskKeyReleased { task_id }),
    ]
}
