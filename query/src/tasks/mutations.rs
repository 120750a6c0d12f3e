//! The twelve commands on projects and tasks. What each takes is in `mutations/inputs.rs`, what it
//! answers in `mutations/payloads.rs`.

mod inputs;
mod payloads;

use async_graphql::{Context, ID, Object};
use chrono::{DateTime, Utc};
use foldline_command::{Accepted, created_id};
use foldline_domain::tasks::{ProjectCommand, TaskCommand};
use foldline_domain::{Command, tasks as domain};
use uuid::Uuid;

use crate::{ask::Ask, commands::Order, error::Error, node::NodeKind, scalars};
use inputs::{
    AddLabelInput, AddStepInput, ArchiveProjectInput, AssignTaskInput, CancelTaskInput,
    CompleteStepInput, CompleteTaskInput, CreateProjectInput, CreateTaskInput, RenameProjectInput,
    ReopenTaskInput, StartTaskInput, hours,
};
use payloads::{ProjectPayload, TaskPayload};

#[derive(Debug, Default)]
pub struct TaskMutation;

/// What every command may say beside its own values.
#[derive(Debug, Clone, Copy, Default)]
struct Said {
    command_id: Option<Uuid>,
    expected_version: Option<scalars::Version>,
    at: Option<DateTime<Utc>>,
}

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

async fn on_project(
    ctx: &Context<'_>,
    said: Said,
    id: &ID,
    command: ProjectCommand,
) -> Result<ProjectPayload, Error> {
    let project = NodeKind::Project.uuid(id)?;
    let accepted = send(ctx, said, Some(project), Command::Project(command)).await?;
    Ok(accepted.into())
}

async fn on_task(
    ctx: &Context<'_>,
    said: Said,
    id: &ID,
    command: TaskCommand,
) -> Result<TaskPayload, Error> {
    let task = NodeKind::Task.uuid(id)?;
    let accepted = send(ctx, said, Some(task), Command::Task(command)).await?;
    Ok(accepted.into())
}

/// Each mutation takes one `input` object and sends one command.
#[Object]
impl TaskMutation {
    /// Creates a project.
    async fn create_project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to create.")] input: CreateProjectInput,
    ) -> Option<Result<ProjectPayload, Error>> {
        let answer = async {
            let command = ProjectCommand::Create(domain::CreateProject { name: input.name });
            let said = Said {
                command_id: input.command_id,
                expected_version: None,
                at: input.at,
            };
            Ok(send(ctx, said, input.project_id, Command::Project(command))
                .await?
                .into())
        };
        Some(answer.await)
    }

    /// Gives a project another name.
    async fn rename_project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which project, and its new name.")] input: RenameProjectInput,
    ) -> Option<Result<ProjectPayload, Error>> {
        let answer = async {
            let said = Said {
                command_id: input.command_id,
                expected_version: input.expected_version,
                at: input.at,
            };
            let command = ProjectCommand::Rename(domain::RenameProject { name: input.name });
            on_project(ctx, said, &input.id, command).await
        };
        Some(answer.await)
    }

    /// Closes a project to new tasks.
    async fn archive_project(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which project.")] input: ArchiveProjectInput,
    ) -> Option<Result<ProjectPayload, Error>> {
        let answer = async {
            let said = Said {
                command_id: input.command_id,
                expected_version: input.expected_version,
                at: input.at,
            };
            let command = ProjectCommand::Archive(domain::ArchiveProject {});
            on_project(ctx, said, &input.id, command).await
        };
        Some(answer.await)
    }

    /// Creates a task in a project.
    async fn create_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "What to create, and where.")] input: CreateTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let answer = async {
            let command = TaskCommand::Create(domain::CreateTask {
                project_id: NodeKind::Project.uuid(&input.project_id)?,
                title: input.title,
                priority: input.priority.into(),
                estimated_hours: hours(input.estimated_hours, "estimatedHours")?,
                metadata: input
                    .metadata
                    .map(|metadata| metadata.0)
                    .unwrap_or_default(),
            });
            let said = Said {
                command_id: input.command_id,
                expected_version: None,
                at: input.at,
            };
            Ok(send(ctx, said, input.task_id, Command::Task(command))
                .await?
                .into())
        };
        Some(answer.await)
    }

    /// Makes somebody responsible for a task.
    async fn assign_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and who.")] input: AssignTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let answer = async {
            let said = Said {
                command_id: input.command_id,
                expected_version: input.expected_version,
                at: input.at,
            };
            let command = TaskCommand::Assign(domain::AssignTask {
                assignee_id: input.assignee_id,
            });
            on_task(ctx, said, &input.id, command).await
        };
        Some(answer.await)
    }

    /// Puts a label on a task.
    async fn add_label(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and the label.")] input: AddLabelInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let answer = async {
            let said = Said {
                command_id: input.command_id,
                expected_version: input.expected_version,
                at: input.at,
            };
            let command = TaskCommand::AddLabel(domain::AddLabel { label: input.label });
            on_task(ctx, said, &input.id, command).await
        };
        Some(answer.await)
    }

    /// Begins work on a task.
    async fn start_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task.")] input: StartTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let answer = async {
            let said = Said {
                command_id: input.command_id,
                expected_version: input.expected_version,
                at: input.at,
            };
            let command = TaskCommand::Start(domain::StartTask {});
            on_task(ctx, said, &input.id, command).await
        };
        Some(answer.await)
    }

    /// Adds a step to a task.
    async fn add_step(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and what is to be done.")] input: AddStepInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let answer = async {
            // The step's id comes of the command's, so that a retry adds no second step.
            let command_id = input.command_id.unwrap_or_else(new_command_id);
            let step_id = input
                .step_id
                .unwrap_or_else(|| Uuid::new_v5(&command_id, b"step"));
            let said = Said {
                command_id: Some(command_id),
                expected_version: input.expected_version,
                at: input.at,
            };
            let command = TaskCommand::AddStep(domain::AddStep {
                step_id,
                content: input.content,
            });
            on_task(ctx, said, &input.id, command).await
        };
        Some(answer.await)
    }

    /// Marks a step of a task as done.
    async fn complete_step(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and which of its steps.")] input: CompleteStepInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let answer = async {
            let said = Said {
                command_id: input.command_id,
                expected_version: input.expected_version,
                at: input.at,
            };
            let command = TaskCommand::CompleteStep(domain::CompleteStep {
                step_id: input.step_id,
            });
            on_task(ctx, said, &input.id, command).await
        };
        Some(answer.await)
    }

    /// Marks a task as done. Its steps must be done before.
    async fn complete_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and how long it took.")] input: CompleteTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let answer = async {
            let said = Said {
                command_id: input.command_id,
                expected_version: input.expected_version,
                at: input.at,
            };
            let actual_hours = hours(input.actual_hours, "actualHours")?;
            let command = TaskCommand::Complete(domain::CompleteTask { actual_hours });
            on_task(ctx, said, &input.id, command).await
        };
        Some(answer.await)
    }

    /// Takes a completed or cancelled task up again; it is open then.
    async fn reopen_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and why.")] input: ReopenTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let answer = async {
            let said = Said {
                command_id: input.command_id,
                expected_version: input.expected_version,
                at: input.at,
            };
            let command = TaskCommand::Reopen(domain::ReopenTask {
                reason: input.reason,
            });
            on_task(ctx, said, &input.id, command).await
        };
        Some(answer.await)
    }

    /// Gives a task up.
    async fn cancel_task(
        &self,
        ctx: &Context<'_>,
        #[graphql(desc = "Which task, and why.")] input: CancelTaskInput,
    ) -> Option<Result<TaskPayload, Error>> {
        let answer = async {
            let said = Said {
                command_id: input.command_id,
                expected_version: input.expected_version,
                at: input.at,
            };
            let command = TaskCommand::Cancel(domain::CancelTask {
                reason: input.reason,
            });
            on_task(ctx, said, &input.id, command).await
        };
        Some(answer.await)
    }
}
