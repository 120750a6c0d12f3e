//! One command as a line of a file.

use chrono::{DateTime, Utc};
use foldline_domain::Command;
use foldline_events::Version;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

/// A line, and where it belongs among others.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) at: DateTime<Utc>,
    pub(super) text: String,
}

/// What somebody sends.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) id: Uuid,
    pub(super) aggregate: Uuid,
    pub(super) what: What,
    pub(super) expected_version: Option<Version>,
    /// The code with which it must be rejected.
    pub(super) expect: Option<&'static str>,
}

#[derive(Debug)]
pub(super) enum What {
    Command(Command),
    /// What no command can be: its type, and its data as JSON.
    Nonsense(&'static str, &'static str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Line<'a> {
    id: Uuid,
    #[serde(rename = "type")]
    command_type: &'a str,
    aggregate: Uuid,
    at: DateTime<Utc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expected_version: Option<Version>,
    data: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<&'static str>,
}

impl Sent {
    /// A command that is accepted.
    pub(super) fn command(id: Uuid, aggregate: Uuid, command: Command) -> Self {
        Self {
            id,
            aggregate,
            what: What::Command(command),
            expected_version: None,
            expect: None,
        }
    }

    pub(super) fn text(&self, at: DateTime<Utc>) -> String {
        let (command_type, data) = match &self.what {
            What::Command(command) => (command.context_type(), command.canonical_data()),
            What::Nonsense(command_type, data) => (*command_type, (*data).to_owned()),
        };
        let line = Line {
            id: self.id,
            command_type,
            aggregate: self.aggregate,
            at,
            expected_version: self.expected_version,
            data: &RawValue::from_string(data).expect("a command's data is JSON"),
            expect: self.expect,
        };
        serde_json::to_string(&line).expect("text, numbers and times are JSON")
    }

    pub(super) fn said(&self, at: DateTime<Utc>) -> Said {
        Said {
            at,
            text: self.text(at),
        }
    }
}
