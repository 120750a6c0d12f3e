//! The commands on projects and tasks: a mutation for each. What they take is in `mutations/inputs.rs`, what they answer in
//! `mutations/payloads.rs`; here is the one way that all of them go.

mod inputs;
mod payloads;
mod projects;
mod tasks;

pub use projects::ProjectMutation;
pub use tasks::TaskMutation;

use async_graphql::Context;
use foldline_command::{Accepted, created_id};
use foldline_domain::{
    Command,
    tasks::{ProjectCommand, TaskCommand},
};
use uuid::Uuid;

use crate::{ask::Ask, commands::Order, error::Error, node::NodeKind};
use inputs::{New, OnProject, OnTask, Said};
use payloads::{ProjectPayload, TaskPayload};

/// Sends a command on what `aggregate` names; without a name it creates, under an id made of the command's.
async fn send(
    ctx: &Context<'_>,
    said: Said,
    aggregate: Option<Uuid>,
    command: Command,
) -> Result<Accepted, Error> {
    let ask = Ask::of(ctx)?;
    let command_id = said.command_id.unwrap_or_else(new_command_id);
    let order = Order {
        caller: ask.caller.clone(),
        token: ask.token.clone(),
        command_id,
        command,
        aggregate: aggregate.unwrap_or_else(|| created_id(&ask.caller, command_id)),
        at: said.at,
        expected_version: said.expected_version.map(|version| version.0),
        trace: ask.trace,
    };
    ask.commands.send(order).await
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command enters here, and may bring no id of its own"
)]
fn new_command_id() -> Uuid {
    Uuid::now_v7()
}

impl From<New> for Said {
    fn from(new: New) -> Self {
        Self {
            command_id: new.command_id,
            expected_version: None,
            at: new.at,
        }
    }
}

async fn create_project(
    ctx: &Context<'_>,
    new: New,
    id: Option<Uuid>,
    command: ProjectCommand,
) -> Option<Result<ProjectPayload, Error>> {
    let sent = send(ctx, new.into(), id, Command::Project(command)).await;
    Some(sent.map(ProjectPayload::from))
}

/// `command` is an error where the input cannot be a command.
async fn create_task(
    ctx: &Context<'_>,
    new: New,
    id: Option<Uuid>,
    command: Result<TaskCommand, Error>,
) -> Option<Result<TaskPayload, Error>> {
    let sent = async { send(ctx, new.into(), id, Command::Task(command?)).await };
    Some(sent.await.map(TaskPayload::from))
}

async fn on_project(
    ctx: &Context<'_>,
    on: OnProject,
    command: Result<ProjectCommand, Error>,
) -> Option<Result<ProjectPayload, Error>> {
    let sent = async {
        let project = NodeKind::Project.uuid(&on.id)?;
        send(ctx, on.said, Some(project), Command::Project(command?)).await
    };
    Some(sent.await.map(ProjectPayload::from))
}

async fn on_task(
    ctx: &Context<'_>,
    on: OnTask,
    command: Result<TaskCommand, Error>,
) -> Option<Result<TaskPayload, Error>> {
    let sent = async {
        let task = NodeKind::Task.uuid(&on.id)?;
        send(ctx, on.said, Some(task), Command::Task(command?)).await
    };
    Some(sent.await.map(TaskPayload::from))
}

/// For a command that adds to a task something with an id of its own: it is made of the command's where none is given, so
/// that a retry adds nothing else. The HTTP interface makes the same.
async fn adding(
    ctx: &Context<'_>,
    mut on: OnTask,
    id: Option<Uuid>,
    command: impl FnOnce(Uuid) -> TaskCommand,
) -> Option<Result<TaskPayload, Error>> {
    let command_id = *on.said.command_id.get_or_insert_with(new_command_id);
    let ask = match Ask::of(ctx) {
        Ok(ask) => ask,
        Err(error) => return Some(Err(error)),
    };
    let id = id.unwrap_or_else(|| created_id(&ask.caller, command_id));
    on_task(ctx, on, Ok(command(id))).await
}
