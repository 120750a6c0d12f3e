//! What crosses the network in either direction, read and written alike: servers and clients share these types.

use chrono::{DateTime, Utc};
use foldline_events::{Cursor, Position, Version};
use foldline_gate::Problem;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;
use uuid::Uuid;

/// A command was done, now or before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Accepted {
    /// Repeating the request under this id has no further effect, once it has recorded something.
    pub command_id: Uuid,
    /// The project or task.
    pub id: Uuid,
    /// The stream that holds its events.
    #[schema(example = "task-0198c0de-0000-7000-8000-000000000000")]
    pub stream: String,
    /// The stream's version after the command.
    #[schema(value_type = i64)]
    pub version: Version,
    /// For `atLeast`: a reader who waits for it sees what the command did. Opaque.
    #[serde(with = "cursor_text")]
    #[schema(value_type = String)]
    pub cursor: Cursor,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Events were recorded.
    Recorded,
    /// They were recorded before under the same command id; this is the first answer again.
    Known,
    /// It was so already, and nothing was recorded.
    Unchanged,
}

/// One command among many, shaped like a line of a history file.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = CommandItem)]
pub struct Item {
    /// The command id: repeating it has no further effect, once it has recorded something.
    pub id: Uuid,
    #[serde(rename = "type")]
    #[schema(example = "tasks.complete_task")]
    pub command_type: String,
    /// The id of the project or task.
    pub aggregate: Uuid,
    /// When it happened; now, when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<DateTime<Utc>>,
    /// The version that the stream must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    pub expected_version: Option<Version>,
    /// As the command type has it.
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
}

/// What became of one command of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(
    tag = "verdict",
    rename_all = "lowercase",
    rename_all_fields = "camelCase"
)]
#[schema(as = CommandVerdict)]
pub enum Verdict {
    Accepted(Accepted),
    /// Done before under the same id.
    Known(Accepted),
    Rejected {
        /// Absent when the item was so malformed that it has none.
        #[serde(rename = "commandId", default, skip_serializing_if = "Option::is_none")]
        command_id: Option<Uuid>,
        /// Its pointers start at the item.
        problem: Problem,
    },
}

/// The answer to many commands: a verdict each, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = CommandVerdicts)]
pub struct Verdicts {
    pub accepted: usize,
    pub known: usize,
    pub rejected: usize,
    pub verdicts: Vec<Verdict>,
}

impl Verdicts {
    pub fn of(verdicts: Vec<Verdict>) -> Self {
        let mut counted = Self {
            accepted: 0,
            known: 0,
            rejected: 0,
            verdicts: vec![],
        };
        for verdict in &verdicts {
            match verdict {
                Verdict::Accepted(_) => counted.accepted += 1,
                Verdict::Known(_) => counted.known += 1,
                Verdict::Rejected { .. } => counted.rejected += 1,
            }
        }
        Self {
            verdicts,
            ..counted
        }
    }
}

/// A moment of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", try_from = "WrittenAsOf")]
pub enum AsOf {
    /// When the log ended at this position, written as a string of decimal digits; 0 is before the first event.
    #[serde(with = "position_text")]
    #[schema(value_type = String)]
    Position(Position),
    /// With everything that was recorded at or before this instant, by the server's clock; of the last seconds, as far as it is
    /// committed.
    RecordedAt(DateTime<Utc>),
}

/// As it is read: with both, or with neither, it is told so.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct WrittenAsOf {
    #[serde(default)]
    position: Option<WrittenPosition>,
    #[serde(default)]
    recorded_at: Option<DateTime<Utc>>,
}

#[derive(Deserialize)]
struct WrittenPosition(#[serde(with = "position_text")] Position);

impl TryFrom<WrittenAsOf> for AsOf {
    type Error = &'static str;

    fn try_from(written: WrittenAsOf) -> Result<Self, Self::Error> {
        match (written.position, written.recorded_at) {
            (Some(WrittenPosition(position)), None) => Ok(Self::Position(position)),
            (None, Some(instant)) => Ok(Self::RecordedAt(instant)),
            (None, None) | (Some(_), Some(_)) => {
                Err("give `position` or `recordedAt`, one of them")
            }
        }
    }
}

/// What a command would do. Nothing was recorded.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhatIf {
    /// The position of the log as of which it was decided.
    #[serde(with = "position_text")]
    #[schema(value_type = String, example = "87829")]
    pub as_of: Position,
    pub verdict: WhatIfVerdict,
    /// What it would record, in the order in which it would be: to the stream of its project or task, and then beside it.
    pub events: Vec<Would>,
    /// Why it would be rejected. Its pointers start at the command.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<Problem>,
}

/// `recorded`: it would be accepted, and its events recorded. `known`: it was recorded before under the same command id, so it
/// would be answered as it was then; only said as of now. `unchanged`: it would be accepted, and there would be nothing to
/// record, because it is so already. `rejected`: it would be rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhatIfVerdict {
    Recorded,
    Known,
    Unchanged,
    Rejected,
}

/// An event that would be recorded.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = WouldBeEvent)]
pub struct Would {
    #[schema(example = "task-0198c0de-0000-7000-8000-000000000000")]
    pub stream: String,
    /// The version that its stream would have with it.
    #[schema(value_type = i64)]
    pub version: Version,
    #[serde(rename = "type")]
    #[schema(example = "tasks.TaskCompleted")]
    pub event_type: String,
    /// Of the schema that `data` follows.
    pub schema_version: i16,
    pub tags: Vec<String>,
    /// Byte for byte what would be recorded.
    #[schema(value_type = Object)]
    pub data: Box<RawValue>,
}

mod position_text {
    use foldline_events::Position;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        position: &Position,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(position)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Position, D::Error> {
        // No sign and no spaces, so that every position has one spelling.
        let text = String::deserialize(deserializer)?;
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        (digits.then(|| text.parse().ok()).flatten())
            .ok_or_else(|| D::Error::custom("expected a string of decimal digits"))
    }
}

mod cursor_text {
    use foldline_events::Cursor;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(
        cursor: &Cursor,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(cursor)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Cursor, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verdicts_survive_being_written() {
        let accepted = Accepted {
            command_id: Uuid::from_u128(1),
            id: Uuid::from_u128(2),
            stream: "task-2".to_owned(),
            version: 3,
            cursor: Cursor {
                epoch: Uuid::from_u128(4),
                position: 5,
                partition: Some(6),
            },
            outcome: Outcome::Recorded,
        };
        let verdicts = Verdicts::of(vec![
            Verdict::Accepted(accepted.clone()),
            Verdict::Known(accepted),
            Verdict::Rejected {
                command_id: None,
                problem: Problem::internal(),
            },
        ]);
        let json = serde_json::to_string(&verdicts).unwrap();
        assert!(
            json.contains(r#"{"verdict":"accepted","commandId":"#),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Verdicts>(&json).unwrap(), verdicts);
    }

    #[test]
    fn a_position_is_a_string_of_digits_and_nothing_else() {
        let written = r#"{"position":"9223372036854775807"}"#;
        let read: AsOf = serde_json::from_str(written).unwrap();
        assert_eq!(read, AsOf::Position(Position::MAX));
        assert_eq!(serde_json::to_string(&read).unwrap(), written);
        for bad in ["", "-1", "+1", " 1", "1.0", "9223372036854775808"] {
            let written = format!(r#"{{"position":"{bad}"}}"#);
            assert!(serde_json::from_str::<AsOf>(&written).is_err(), "{bad}");
        }
        assert!(serde_json::from_str::<AsOf>(r#"{"position":7}"#).is_err());
    }
}
