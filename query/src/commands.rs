//! The way of a mutation, and of a question what one would do: this service cannot append, so it hands commands to one that
//! can.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use foldline_command::{Accepted, AsOf, Handler, Item, Request, Verdict, Verdicts, WhatIf};
use foldline_domain::Command;
use foldline_events::Version;
use foldline_gate::{Caller, Problem, TraceContext};
use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderName},
};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::Error;

/// Where many commands are taken in one request; we send one.
const PATH: &str = "/api/v1/commands";
/// Where is asked what a command would do.
const WHAT_IF_PATH: &str = "/api/v1/what-if";
const TRACE_HEADER: HeaderName = HeaderName::from_static("traceparent");

/// Who handles commands.
#[derive(Clone)]
#[expect(clippy::large_enum_variant, reason = "a process has one of them")]
pub enum Commands {
    /// The command role runs in this process.
    InProcess(Handler),
    /// It runs elsewhere, and takes the caller's own token.
    Http {
        client: reqwest::Client,
        /// Scheme and authority, such as `http://127.0.0.1:8080`, without a path.
        server: String,
    },
}

/// One command, and who sends it.
pub struct Order {
    pub caller: Caller,
    /// The caller's bearer token, as it came.
    pub token: String,
    pub command_id: Uuid,
    pub command: Command,
    /// The project or task.
    pub aggregate: Uuid,
    pub at: Option<DateTime<Utc>>,
    pub expected_version: Option<Version>,
    pub trace: Option<TraceContext>,
}

/// What would one command do, as of when, and who asks.
pub struct Question {
    pub caller: Caller,
    /// The caller's bearer token, as it came.
    pub token: String,
    pub command: Item,
    /// Now, when absent.
    pub as_of: Option<AsOf>,
    pub trace: Option<TraceContext>,
}

/// How a question is written.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Asked<'a> {
    command: &'a Item,
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<AsOf>,
}

impl Commands {
    pub async fn send(&self, order: Order) -> Result<Accepted, Error> {
        match self {
            Self::InProcess(handler) => in_process(handler, order).await,
            Self::Http { client, server } => forward(client, server, order).await,
        }
    }

    /// Nothing is recorded, whatever is asked.
    pub async fn what_if(&self, question: Question) -> Result<WhatIf, Error> {
        let Question { command, as_of, .. } = &question;
        match self {
            Self::InProcess(handler) => {
                let item =
                    serde_json::to_string(command).expect("text and raw JSON can be written");
                let answer = handler.what_if(&question.caller, &item, *as_of).await;
                answer.map_err(refused)
            }
            Self::Http { client, server } => {
                let asked = Asked {
                    command,
                    as_of: *as_of,
                };
                let body = serde_json::to_vec(&asked).expect("text and raw JSON can be written");
                let sent = Sent {
                    url: format!("{server}{WHAT_IF_PATH}"),
                    token: &question.token,
                    trace: question.trace,
                    body,
                };
                let answer = post(client, sent).await;
                answered(answer.map_err(|source| Error::Unasked(Arc::new(source)))?)
            }
        }
    }
}

fn refused(problem: Problem) -> Error {
    Error::Refused(Box::new(problem))
}

async fn in_process(handler: &Handler, order: Order) -> Result<Accepted, Error> {
    let request = Request {
        id: order.command_id,
        command: order.command,
        aggregate: order.aggregate,
        at: order.at,
        expected_version: order.expected_version,
        trace_context: order.trace.map(|trace| trace.to_string()),
        correlation_id: None,
        causation_id: None,
    };
    handler
        .handle(&order.caller, request)
        .await
        .map_err(|failure| refused(failure.into_problem()))
}

async fn forward(client: &reqwest::Client, server: &str, order: Order) -> Result<Accepted, Error> {
    let item = Item {
        id: order.command_id,
        command_type: order.command.context_type().to_owned(),
        aggregate: order.aggregate,
        at: order.at,
        expected_version: order.expected_version,
        data: RawValue::from_string(order.command.canonical_data())
            .expect("a command's canonical data is JSON"),
    };
    let body = serde_json::to_vec(&[item]).expect("text, numbers and raw JSON can be written");
    let sent = Sent {
        url: format!("{server}{PATH}"),
        token: &order.token,
        trace: order.trace,
        body,
    };
    let answer = post(client, sent).await;
    let answer = answer.map_err(|source| Error::Forward(Arc::new(source)))?;
    let foreign = Error::ForeignAnswer {
        status: answer.status.as_u16(),
    };
    let verdicts: Verdicts = answered(answer)?;
    match verdicts.verdicts.into_iter().next().ok_or(foreign)? {
        Verdict::Accepted(accepted) | Verdict::Known(accepted) => Ok(accepted),
        Verdict::Rejected { problem, .. } => Err(refused(of_the_data(problem))),
    }
}

struct Sent<'a> {
    url: String,
    token: &'a str,
    trace: Option<TraceContext>,
    body: Vec<u8>,
}

struct Answer {
    status: StatusCode,
    body: Vec<u8>,
}

async fn post(client: &reqwest::Client, sent: Sent<'_>) -> Result<Answer, reqwest::Error> {
    let mut request = client
        .post(sent.url)
        .bearer_auth(sent.token)
        .header(CONTENT_TYPE, "application/json")
        .body(sent.body);
    if let Some(trace) = sent.trace {
        request = request.header(TRACE_HEADER, trace.to_string());
    }
    let response = request.send().await?;
    Ok(Answer {
        status: response.status(),
        body: response.bytes().await?.into(),
    })
}

/// What a service of ours says, or its problem.
fn answered<T: DeserializeOwned>(answer: Answer) -> Result<T, Error> {
    let foreign = |_| Error::ForeignAnswer {
        status: answer.status.as_u16(),
    };
    if !answer.status.is_success() {
        return Err(serde_json::from_slice(&answer.body).map_or_else(foreign, refused));
    }
    serde_json::from_slice(&answer.body).map_err(foreign)
}

/// The bulk endpoint's pointers start at the item; a mutation's start at the command's data, wherever it was handled.
fn of_the_data(mut problem: Problem) -> Problem {
    for fault in &mut problem.errors {
        if let Some(pointer) = fault.pointer.strip_prefix("/data") {
            fault.pointer = pointer.to_owned();
        }
    }
    problem
}
