//! What a command would do. It is the command service that says so, from the log; this service only asks it, as it hands on
//! mutations.

use async_graphql::{Context, Enum, InputObject, Json, Object, SimpleObject};
use chrono::{DateTime, Utc};
use foldline_command as command;
use serde_json::{Value, value::to_raw_value};
use uuid::Uuid;

use crate::{ask::Ask, commands::Question, error::Error, moment::AsOf, scalars};

/// A command to ask about, written as the HTTP API and history files write it.
#[derive(Debug, InputObject)]
pub struct WhatIfCommand {
    /// Such as `tasks.complete_task`: see the HTTP API's description.
    #[graphql(name = "type")]
    command_type: String,
    /// The plain UUID of the project or task; of one to be created, too.
    aggregate: Uuid,
    /// What the command type takes beside it, as an object; nothing, when absent.
    data: Option<Json<Value>>,
    /// Names the command. As of now, one that was used before is answered as it would be. A new one, when absent.
    command_id: Option<Uuid>,
    /// The version that it must have; the command would be rejected when it has another.
    expected_version: Option<scalars::Version>,
    /// When it would have happened, in business time; now, when absent.
    at: Option<DateTime<Utc>>,
}

/// What a command would do. Nothing was recorded.
#[derive(Debug, SimpleObject)]
pub struct WhatIf {
    /// The position of the log as of which it was decided.
    as_of: scalars::Position,
    /// What would become of it.
    verdict: WhatIfVerdict,
    /// What it would record, in the order in which it would be: to its project or task, and then to other streams.
    events: Vec<WouldBeEvent>,
    /// Why it would be rejected.
    rejection: Option<WhatIfRejection>,
}

/// What would become of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum WhatIfVerdict {
    /// It would be accepted, and its events recorded.
    Recorded,
    /// It was recorded before under the same command id, so it would be answered as it was then. Only said as of now.
    Known,
    /// It would be accepted, and there would be nothing to record: it is so already.
    Unchanged,
    /// It would be rejected.
    Rejected,
}

/// An event that would be recorded.
#[derive(Debug, SimpleObject)]
pub struct WouldBeEvent {
    /// The stream of its project or task, or the one that says who has a key.
    stream: String,
    /// The version that its stream would have with it.
    version: scalars::Version,
    /// What would have happened, as programs name it, such as `tasks.TaskCompleted`.
    #[graphql(name = "type")]
    event_type: String,
    /// The version of the schema that `data` follows: see the JSON Schemas of the events.
    schema_version: i32,
    /// Pairs of a kind and an id by which it would be found beside its stream.
    tags: Vec<String>,
    /// What would be recorded of it, as an object.
    data: Json<Value>,
}

/// Why a command would be rejected: what a mutation would say in `errors`.
#[derive(Debug, SimpleObject)]
pub struct WhatIfRejection {
    /// Stable; of a mutation `extensions.code`.
    code: String,
    /// For people.
    message: String,
    /// The whole problem document; its pointers start at `command`. Of a mutation `extensions.problem`.
    problem: Json<Value>,
}

#[derive(Debug, Default)]
pub struct WhatIfQuery;

#[Object]
impl WhatIfQuery {
    /// What a command would do, as of now or as of a past position: the events that it would record, or why it would be
    /// rejected. Nothing is recorded, and nothing kept: the command can be sent afterwards under the same id. It takes the role
    /// that the command takes. The log itself is asked, so no view has to have folded anything.
    async fn what_if(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "The command.")] command: WhatIfCommand,
        #[graphql(
            desc = "A moment of the past: the command is decided on what there was then, as if its id were new; its times are \
                    checked against the present. A time may be any. Now, when absent."
        )]
        as_of: Option<AsOf>,
    ) -> Option<Result<WhatIf, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            let question = Question {
                caller: ask.caller.clone(),
                token: ask.token.clone(),
                command: command.into(),
                as_of: as_of.map(moment),
                trace: ask.trace,
            };
            ask.commands.what_if(question).await.map(WhatIf::from)
        };
        Some(answer.await)
    }
}

fn moment(as_of: AsOf) -> command::AsOf {
    match as_of {
        AsOf::Position(position) => command::AsOf::Position(position.0),
        AsOf::RecordedAt(at) => command::AsOf::RecordedAt(at),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command enters here, and may bring no id of its own"
)]
fn new_command_id() -> Uuid {
    Uuid::now_v7()
}

impl From<WhatIfCommand> for command::Item {
    fn from(asked: WhatIfCommand) -> Self {
        let data = asked
            .data
            .map_or_else(|| Value::Object(Default::default()), |data| data.0);
        Self {
            id: asked.command_id.unwrap_or_else(new_command_id),
            command_type: asked.command_type,
            aggregate: asked.aggregate,
            at: asked.at,
            expected_version: asked.expected_version.map(|version| version.0),
            data: to_raw_value(&data).expect("a JSON value can be written"),
        }
    }
}

impl From<command::WhatIf> for WhatIf {
    fn from(answer: command::WhatIf) -> Self {
        Self {
            as_of: scalars::Position(answer.as_of),
            verdict: answer.verdict.into(),
            events: answer.events.into_iter().map(WouldBeEvent::from).collect(),
            rejection: answer.problem.map(|problem| WhatIfRejection {
                code: problem.code.clone(),
                message: problem
                    .detail
                    .clone()
                    .unwrap_or_else(|| problem.title.clone()),
                problem: Json(
                    serde_json::to_value(problem).expect("a problem document is text and numbers"),
                ),
            }),
        }
    }
}

impl From<command::WhatIfVerdict> for WhatIfVerdict {
    fn from(verdict: command::WhatIfVerdict) -> Self {
        match verdict {
            command::WhatIfVerdict::Recorded => Self::Recorded,
            command::WhatIfVerdict::Known => Self::Known,
            command::WhatIfVerdict::Unchanged => Self::Unchanged,
            command::WhatIfVerdict::Rejected => Self::Rejected,
        }
    }
}

impl From<command::Would> for WouldBeEvent {
    fn from(event: command::Would) -> Self {
        Self {
            stream: event.stream,
            version: scalars::Version(event.version),
            event_type: event.event_type,
            schema_version: event.schema_version.into(),
            tags: event.tags,
            data: Json(serde_json::from_str(event.data.get()).expect("raw JSON is JSON")),
        }
    }
}
