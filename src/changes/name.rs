//! What people call things and moments, as GraphQL takes it.

use std::str::FromStr;

use anyhow::bail;
use chrono::{DateTime, Utc};
use foldline_domain::tasks::limits::KEY_CHARS_MAX;
use foldline_events::Position;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::query::Service;

const OF_UUID: &str = "query($id: ID!) { task(id: $id) { id } project(id: $id) { id } }";
const OF_KEY: &str = "query($key: String!) { task(key: $key) { id } }";

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moment {
    Position(Position),
    RecordedAt(DateTime<Utc>),
}

impl FromStr for Moment {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number && let Ok(position) = text.parse() {
            return Ok(Self::Position(position));
        }
        match text.parse() {
            Ok(at) => Ok(Self::RecordedAt(at)),
            Err(_) => {
                bail!("neither a position, such as 4711, nor a time, such as 2026-03-01T12:00:00Z")
            }
        }
    }
}

impl Moment {
    /// As `AsOf` takes it.
    pub(super) fn as_input(&self) -> Value {
        match self {
            Self::Position(position) => json!({"position": position.to_string()}),
            Self::RecordedAt(at) => json!({"recordedAt": at}),
        }
    }
}

/// The GraphQL id of what a UUID or a task's key names, or the text itself where it can be neither; `None` when there is
/// no such thing at present.
pub(super) async fn resolve(service: &Service, text: &str) -> anyhow::Result<Option<String>> {
    let id = |of: &Value| of["id"].as_str().map(str::to_owned);
    if let Ok(uuid) = Uuid::try_parse(text) {
        let found = service.ask(OF_UUID, &json!({"id": uuid})).await?;
        return Ok(id(&found["task"]).or_else(|| id(&found["project"])));
    }
    if text.len() > KEY_CHARS_MAX {
        return Ok(Some(text.to_owned()));
    }
    let found = service.ask(OF_KEY, &json!({"key": text})).await?;
    Ok(id(&found["task"]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_position_or_a_time_with_its_offset() {
        let read = |text: &str| text.parse::<Moment>().ok().map(|it| it.as_input());
        assert_eq!(read("4711"), Some(json!({"position": "4711"})));
        assert_eq!(
            read("2026-03-01T13:00:00+01:00"),
            Some(json!({"recordedAt": "2026-03-01T12:00:00Z"}))
        );
        for neither in ["", "-1", "now", "99999999999999999999", "2026-03-01"] {
            assert_eq!(read(neither), None, "{neither}");
        }
    }
}
