//! The sample project that the first start of an empty folder creates, so that the first query returns something.

use std::fmt::Display;

use anyhow::Context;
use chrono::TimeDelta;
use foldline_command::{Handler, Request};
use foldline_domain::Command;
use foldline_events::{Cursor, Tenant};
use foldline_gate::{Caller, Role};
use foldline_log::Log;
use serde_json::{Value, json};
use uuid::Uuid;

use super::TENANT;

/// Names the sample's commands, so that a start that was interrupted goes on where it was.
const SAMPLE: Uuid = Uuid::from_u128(0x5a3b_1e0c_7f1d_4c55_9a51_f01d_11e0_0001);

/// How many events the sample is.
const EVENTS: u8 = 6;

/// What a start found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Nothing, or a sample that was begun: it is whole now, and this waits for all of it.
    First(Cursor),
    /// A log that somebody uses.
    Later,
}

pub async fn create_when_empty(log: &Log, handler: &Handler) -> anyhow::Result<Start> {
    let project = id("project");
    let events = log.read(0, usize::from(EVENTS)).await?;
    let ours = command_id("tasks.create_project", project);
    let is_begun = events.first().is_some_and(|event| event.command_id == ours);
    let is_whole = events.len() == usize::from(EVENTS);
    if !events.is_empty() && (is_whole || !is_begun) {
        return Ok(Start::Later);
    }
    let caller = caller()?;
    let tasks = [
        ("Send a command with curl", "high"),
        ("Ask for it with GraphQL", "medium"),
        ("Read the log", "low"),
    ];
    send(
        handler,
        &caller,
        "tasks.create_project",
        project,
        json!({"name": "Sample project"}),
    )
    .await?;
    for (title, priority) in tasks {
        let data = json!({"projectId": project, "title": title, "priority": priority, "estimatedHours": 1});
        send(handler, &caller, "tasks.create_task", id(title), data).await?;
    }
    let done = id(tasks[0].0);
    send(handler, &caller, "tasks.start_task", done, json!({})).await?;
    let last = send(
        handler,
        &caller,
        "tasks.complete_task",
        done,
        json!({"actualHours": 0.5}),
    )
    .await?;
    Ok(Start::First(Cursor {
        partition: None,
        ..last
    }))
}

/// A first query that returns nothing would puzzle a newcomer; it is no reason not to start.
pub fn say_unless_seen<E: Display>(seen: Result<(), E>) {
    if let Err(error) = seen {
        tracing::warn!(%error, "the views do not show the sample project yet");
    }
}

fn command_id(command_type: &str, aggregate: Uuid) -> Uuid {
    id(&format!("{command_type} {aggregate}"))
}

fn id(of: &str) -> Uuid {
    Uuid::new_v5(&SAMPLE, of.as_bytes())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the sample's commands enter here"
)]
fn caller() -> anyhow::Result<Caller> {
    Ok(Caller {
        tenant: Tenant::parse(TENANT)?,
        actor: "sample".to_owned(),
        role: Role::Admin,
        expires_at: chrono::Utc::now() + TimeDelta::hours(1),
    })
}

async fn send(
    handler: &Handler,
    caller: &Caller,
    command_type: &str,
    aggregate: Uuid,
    data: Value,
) -> anyhow::Result<Cursor> {
    let command = Command::parse(command_type, &data.to_string())
        .with_context(|| format!("the sample's {command_type} is malformed"))?;
    let request = Request {
        id: command_id(command_type, aggregate),
        command,
        aggregate,
        at: None,
        expected_version: None,
        trace_context: None,
        correlation_id: None,
        causation_id: None,
    };
    handler
        .handle(caller, request)
        .await
        .map(|accepted| accepted.cursor)
        .context("the sample project was refused")
}
