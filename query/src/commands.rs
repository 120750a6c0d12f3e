//! The way of a mutation: this service cannot append, so it hands commands to one that can.

use chrono::{DateTime, Utc};
use foldline_command::{Accepted, Handler, Item, Request, Verdict, Verdicts};
use foldline_domain::Command;
use foldline_events::Version;
use foldline_gate::{Caller, Problem, TraceContext};
use reqwest::header::{CONTENT_TYPE, HeaderName};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::error::Error;

/// Where many commands are taken in one request; we send one.
const PATH: &str = "/api/v1/commands";
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

impl Commands {
    pub async fn send(&self, order: Order) -> Result<Accepted, Error> {
        match self {
            Self::InProcess(handler) => in_process(handler, order).await,
            Self::Http { client, server } => forward(client, server, order).await,
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
    let unreachable = |source: reqwest::Error| Error::Forward(std::sync::Arc::new(source));
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
    let mut request = client
        .post(format!("{server}{PATH}"))
        .bearer_auth(&order.token)
        .header(CONTENT_TYPE, "application/json")
        .body(body);
    if let Some(trace) = order.trace {
        request = request.header(TRACE_HEADER, trace.to_string());
    }
    let response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let bytes = response.bytes().await.map_err(unreachable)?;
    let foreign = || Error::ForeignAnswer {
        status: status.as_u16(),
    };
    if !status.is_success() {
        return Err(serde_json::from_slice(&bytes).map_or_else(|_| foreign(), refused));
    }
    let answer: Verdicts = serde_json::from_slice(&bytes).map_err(|_| foreign())?;
    match answer.verdicts.into_iter().next().ok_or_else(foreign)? {
        Verdict::Accepted(accepted) | Verdict::Known(accepted) => Ok(accepted),
        Verdict::Rejected { problem, .. } => Err(refused(of_the_data(problem))),
    }
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
