//! Events as people and programs read them: a table, one JSON array, or one JSON object a line. Each is written as it comes.

use std::{
    borrow::Cow,
    io::{BufWriter, Write},
};

use chrono::{DateTime, SecondsFormat, Utc};
use foldline_events::Recorded;
use serde::Serialize;
use serde_json::{Value, value::RawValue};

use super::{
    causation::{Cause, Row, What},
    json::{Data, written},
    shown::{Change, Shown},
};
use crate::{
    changes::{
        is_read,
        text::{SHOWN_CHARS_MAX, cut, plain, shown_apart},
    },
    config::ReplayFormat,
};

/// How much of a state, or of the payload of an event, is shown in a line of the table.
const STATE_CHARS_MAX: usize = 400;
/// How many effects deep the table is indented.
const INDENTED_MAX: usize = 20;

pub(super) struct Output<W: Write> {
    format: ReplayFormat,
    data: Data,
    out: BufWriter<W>,
    count: u64,
}

/// An event as JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Envelope<'a> {
    position: String,
    event_id: String,
    tenant: &'a str,
    stream: &'a str,
    version: String,
    #[serde(rename = "type")]
    event_type: &'a str,
    schema_version: i16,
    occurred_at: DateTime<Utc>,
    recorded_at: DateTime<Utc>,
    actor: &'a str,
    command_id: String,
    correlation_id: String,
    causation_id: String,
    trace_context: Option<&'a str>,
    tags: &'a [String],
    data: Payload<'a>,
}

/// As it was recorded; as text, where it is not JSON after all.
#[derive(Serialize)]
#[serde(untagged)]
enum Payload<'a> {
    Json(Box<RawValue>),
    Text(&'a str),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WithState<'a> {
    #[serde(flatten)]
    event: Envelope<'a>,
    problem: Option<&'a str>,
    changes: Option<&'a [Change]>,
    state: &'a Value,
    state_unknown_since: Option<String>,
}

#[derive(Serialize)]
#[serde(
    tag = "kind",
    rename_all = "camelCase",
    rename_all_fields = "camelCase"
)]
enum Node<'a> {
    Command {
        depth: usize,
        command_id: String,
        actor: &'a str,
        correlation_id: String,
        causation_id: String,
        cause: Cause,
    },
    Event {
        depth: usize,
        #[serde(flatten)]
        event: Box<Envelope<'a>>,
    },
    /// The last of all, where there are more events than were taken.
    Cut { events: usize },
}

impl<W: Write> Output<W> {
    pub(super) fn new(format: ReplayFormat, data: Data, out: W) -> Self {
        Self {
            format,
            data,
            out: BufWriter::new(out),
            count: 0,
        }
    }

    /// False once nobody reads any more.
    pub(super) fn event(&mut self, shown: &Shown) -> anyhow::Result<bool> {
        let text = match self.format {
            ReplayFormat::Table => event_as_text(shown),
            ReplayFormat::Json | ReplayFormat::Ndjson => self.as_json(&WithState {
                event: Envelope::of(&shown.event),
                problem: shown.problem.as_deref(),
                changes: shown.changes.as_deref(),
                state: &shown.state,
                state_unknown_since: shown.unknown_since.map(|version| version.to_string()),
            })?,
        };
        self.put(&text, EVENT_HEADS)
    }

    /// False once nobody reads any more.
    pub(super) fn row(&mut self, row: &Row) -> anyhow::Result<bool> {
        let depth = row.depth;
        let text = match self.format {
            ReplayFormat::Table => row_as_text(row),
            ReplayFormat::Json | ReplayFormat::Ndjson => self.as_json(&match &row.what {
                What::Command { first, cause } => Node::Command {
                    depth,
                    command_id: first.command_id.to_string(),
                    actor: &first.actor,
                    correlation_id: first.correlation_id.to_string(),
                    causation_id: first.causation_id.to_string(),
                    cause: *cause,
                },
                What::Event(event) => Node::Event {
                    depth,
                    event: Box::new(Envelope::of(event)),
                },
            })?,
        };
        self.put(&text, "")
    }

    /// Says that there are more than these events; a table says nothing. False once nobody reads any more.
    pub(super) fn cut(&mut self, events: usize) -> anyhow::Result<bool> {
        match self.format {
            ReplayFormat::Table => Ok(true),
            ReplayFormat::Json | ReplayFormat::Ndjson => {
                let text = self.as_json(&Node::Cut { events })?;
                self.put(&text, "")
            }
        }
    }

    /// What was written so far goes out; false once nobody reads any more.
    pub(super) fn flush(&mut self) -> anyhow::Result<bool> {
        is_read(self.out.flush())
    }

    /// All was written.
    pub(super) fn end(mut self) -> anyhow::Result<()> {
        let closing = match (self.format, self.count) {
            (ReplayFormat::Table | ReplayFormat::Ndjson, _) => "",
            (ReplayFormat::Json, 0) => "[]\n",
            (ReplayFormat::Json, _) => "\n]\n",
        };
        if is_read(self.out.write_all(closing.as_bytes()))? {
            self.flush()?;
        }
        Ok(())
    }

    fn as_json(&self, line: &impl Serialize) -> anyhow::Result<String> {
        written(line, self.data)
    }

    fn put(&mut self, text: &str, heads: &str) -> anyhow::Result<bool> {
        let is_first = self.count == 0;
        self.count += 1;
        is_read(match (self.format, is_first) {
            (ReplayFormat::Table, true) if !heads.is_empty() => {
                writeln!(self.out, "{heads}\n{text}")
            }
            (ReplayFormat::Table | ReplayFormat::Ndjson, _) => writeln!(self.out, "{text}"),
            (ReplayFormat::Json, true) => write!(self.out, "[\n{text}"),
            (ReplayFormat::Json, false) => write!(self.out, ",\n{text}"),
        })
    }
}

impl<'a> Envelope<'a> {
    fn of(event: &'a Recorded) -> Self {
        Self {
            position: event.position.to_string(),
            event_id: event.id.to_string(),
            tenant: event.tenant.as_str(),
            stream: &event.stream,
            version: event.version.to_string(),
            event_type: &event.event_type,
            schema_version: event.schema_version,
            occurred_at: event.occurred_at,
            recorded_at: event.recorded_at,
            actor: &event.actor,
            command_id: event.command_id.to_string(),
            correlation_id: event.correlation_id.to_string(),
            causation_id: event.causation_id.to_string(),
            trace_context: event.trace_context.as_deref(),
            tags: &event.tags,
            data: Payload::of(&event.payload),
        }
    }
}

impl<'a> Payload<'a> {
    /// Line breaks of JSON lie between its values, never in its texts, where spaces do as well: a line is an event.
    fn of(payload: &'a str) -> Self {
        let line: Cow<'a, str> = match payload.contains(['\n', '\r']) {
            true => payload.replace(['\n', '\r'], " ").into(),
            false => payload.into(),
        };
        match RawValue::from_string(line.into_owned()) {
            Ok(json) => Self::Json(json),
            Err(_) => Self::Text(payload),
        }
    }
}

const EVENT_HEADS: &str = "  POSITION  RECORDED                     VERSION  STREAM                                        EVENT                           BY";

fn event_as_text(shown: &Shown) -> String {
    let event = &shown.event;
    let mut lines = vec![
        format!(
            "{:>10}  {:27}  {:>7}  {:44}  {:30}  {}",
            event.position,
            time(event.recorded_at),
            event.version,
            plain(&event.stream),
            plain(&event.event_type),
            plain(&event.actor)
        ),
        format!(
            "            event {}, command {}, caused by {}",
            event.id, event.command_id, event.causation_id
        ),
    ];
    lines.extend(
        story(shown)
            .into_iter()
            .map(|line| format!("            {line}")),
    );
    lines.join("\n")
}

/// What became of the state, a line for each thing to say.
fn story(shown: &Shown) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(problem) = &shown.problem {
        lines.push(format!("NOT READABLE BY THIS BUILD: {}", plain(problem)));
    }
    let recorded = cut(&plain(&shown.event.payload), STATE_CHARS_MAX);
    lines.push(format!("recorded: {recorded}"));
    match &shown.changes {
        Some(changes) if changes.is_empty() => lines.push("changed nothing".to_owned()),
        Some(changes) => {
            let texts = changes.iter();
            lines.extend(texts.filter_map(|it| change_as_text(it, SHOWN_CHARS_MAX)));
        }
        None => {}
    }
    lines.push(match shown.unknown_since {
        Some(version) => format!("state: not known, because of event {version} of the stream"),
        None if shown.state.is_null() => "state: none".to_owned(),
        None => {
            let state = plain(&shown.state.to_string());
            format!("state: {}", cut(&state, STATE_CHARS_MAX))
        }
    });
    lines
}

/// With so much of each value. Nothing of a list or a map that is there now and empty: a person sees no change in it.
pub(super) fn change_as_text(change: &Change, chars_max: usize) -> Option<String> {
    let Change {
        field,
        before,
        after,
    } = change;
    let is_empty = after.as_array().is_some_and(Vec::is_empty)
        || after.as_object().is_some_and(serde_json::Map::is_empty);
    if before.is_null() && is_empty {
        return None;
    }
    let (before, after) = shown_apart(before, after, chars_max);
    Some(format!("{}: {before} → {after}", plain(field)))
}

pub(super) fn row_as_text(row: &Row) -> String {
    let indent = "  ".repeat(row.depth.min(INDENTED_MAX));
    match &row.what {
        What::Command { first, cause } => {
            let because = match cause {
                Cause::Itself => String::new(),
                Cause::Event => format!(", because of event {}", first.causation_id),
                Cause::Command => format!(", because of command {}", first.causation_id),
                Cause::Missing => format!(
                    ", because of {}, which is not among these events",
                    first.causation_id
                ),
                Cause::Cycle => format!(
                    ", because of {}, which is an effect of its own",
                    first.causation_id
                ),
            };
            format!(
                "{indent}command {} by {}{because}",
                first.command_id,
                plain(&first.actor)
            )
        }
        What::Event(event) => format!(
            "{indent}{} {}: {}, version {} of {}, event {}",
            event.position,
            time(event.recorded_at),
            plain(&event.event_type),
            event.version,
            plain(&event.stream),
            event.id
        ),
    }
}

pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Micros, true)
}
