//! Routes of projects and tasks, and the bodies they take.

mod bodies;

use axum::{
    extract::{FromRef, FromRequestParts},
    http::request::Parts,
    response::Response,
};
use foldline_domain::{
    Command,
    tasks::{
        AddLabel, AddStep, ArchiveProject, AssignTask, CancelTask, CompleteStep, CompleteTask,
        CreateProject, CreateTask, ProjectCommand, RenameProject, ReopenTask, StartTask,
        TaskCommand,
    },
};
use foldline_gate::{Caller, Gate, Json, OptionalJson, PathParameters, Problem};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

use self::bodies::{
    AddLabelBody, AddStepBody, AssignTaskBody, CompleteTaskBody, CreateProjectBody, CreateTaskBody,
    ReasonBody, RenameProjectBody, TimeBody,
};
use super::{
    Api,
    answer::{Problems, Refusals, Sender},
    envelope::{CommandHeaders, Envelope},
};
use crate::{Accepted, Handler};

pub(super) fn router() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(create_project))
        .routes(routes!(rename_project))
        .routes(routes!(archive_project))
        .routes(routes!(create_task))
        .routes(routes!(assign_task))
        .routes(routes!(add_label))
        .routes(routes!(start_task))
        .routes(routes!(add_step))
        .routes(routes!(complete_step))
        .routes(routes!(complete_task))
        .routes(routes!(reopen_task))
        .routes(routes!(cancel_task))
}

impl<S> FromRequestParts<S> for Sender
where
    Gate: FromRef<S>,
    Handler: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        Ok(Self {
            caller: Caller::from_request_parts(parts, state).await?,
            envelope: Envelope::from_request_parts(parts, state).await?,
            handler: Handler::from_ref(state),
        })
    }
}

/// Create a project
#[utoipa::path(
    post,
    path = "/api/v1/projects",
    tag = "projects",
    security(("token" = [])),
    params(CommandHeaders),
    request_body = CreateProjectBody,
    responses((status = 201, description = "The project was created", body = Accepted), Refusals, Problems),
)]
async fn create_project(
    sender: Sender,
    Json(body): Json<CreateProjectBody>,
) -> Result<Response, Problem> {
    let id = sender.created_id(body.id);
    let command = Command::Project(ProjectCommand::Create(CreateProject { name: body.name }));
    sender.create(command, id, body.at).await
}

/// Rename a project
#[utoipa::path(
    post,
    path = "/api/v1/projects/{id}/rename",
    tag = "projects",
    security(("token" = [])),
    params(("id" = Uuid, Path, description = "The project's id"), CommandHeaders),
    request_body = RenameProjectBody,
    responses((status = 200, description = "It is so now", body = Accepted), Refusals, Problems),
)]
async fn rename_project(
    sender: Sender,
    PathParameters(id): PathParameters<Uuid>,
    Json(body): Json<RenameProjectBody>,
) -> Result<Response, Problem> {
    let command = Command::Project(ProjectCommand::Rename(RenameProject { name: body.name }));
    sender.change(command, id, body.at).await
}

/// Archive a project
///
/// It takes no new tasks from then on. For admins.
#[utoipa::path(
    post,
    path = "/api/v1/projects/{id}/archive",
    tag = "projects",
    security(("token" = [])),
    params(("id" = Uuid, Path, description = "The project's id"), CommandHeaders),
    request_body = Option<TimeBody>,
    responses((status = 200, description = "It is so now", body = Accepted), Refusals, Problems),
)]
async fn archive_project(
    sender: Sender,
    PathParameters(id): PathParameters<Uuid>,
    OptionalJson(body): OptionalJson<TimeBody>,
) -> Result<Response, Problem> {
    let command = Command::Project(ProjectCommand::Archive(ArchiveProject {}));
    sender.change(command, id, body.at).await
}

/// Create a task
///
/// In a project that exists and is not archived.
#[utoipa::path(
    post,
    path = "/api/v1/tasks",
    tag = "tasks",
    security(("token" = [])),
    params(CommandHeaders),
    request_body = CreateTaskBody,
    responses((status = 201, description = "The task was created", body = Accepted), Refusals, Problems),
)]
async fn create_task(
    sender: Sender,
    Json(body): Json<CreateTaskBody>,
) -> Result<Response, Problem> {
    let id = sender.created_id(body.id);
    let command = Command::Task(TaskCommand::Create(CreateTask {
        project_id: body.project_id,
        title: body.title,
        priority: body.priority,
        estimated_hours: body.estimated_hours,
        metadata: body.metadata,
    }));
    sender.create(command, id, body.at).await
}

/// Assign a task
#[utoipa::path(
    post,
    path = "/api/v1/tasks/{id}/assign",
    tag = "tasks",
    security(("token" = [])),
    params(("id" = Uuid, Path, description = "The task's id"), CommandHeaders),
    request_body = AssignTaskBody,
    responses((status = 200, description = "It is so now", body = Accepted), Refusals, Problems),
)]
async fn assign_task(
    sender: Sender,
    PathParameters(id): PathParameters<Uuid>,
    Json(body): Json<AssignTaskBody>,
) -> Result<Response, Problem> {
    let command = Command::Task(TaskCommand::Assign(AssignTask {
        assignee_id: body.assignee_id,
    }));
    sender.change(command, id, body.at).await
}

/// Add a label
#[utoipa::path(
    post,
    path = "/api/v1/tasks/{id}/labels",
    tag = "tasks",
    security(("token" = [])),
    params(("id" = Uuid, Path, description = "The task's id"), CommandHeaders),
    request_body = AddLabelBody,
    responses((status = 200, description = "It is so now", body = Accepted), Refusals, Problems),
)]
async fn add_label(
    sender: Sender,
    PathParameters(id): PathParameters<Uuid>,
    Json(body): Json<AddLabelBody>,
) -> Result<Response, Problem> {
    let command = Command::Task(TaskCommand::AddLabel(AddLabel { label: body.label }));
    sender.change(command, id, body.at).await
}

/// Start a task
#[utoipa::path(
    post,
    path = "/api/v1/tasks/{id}/start",
    tag = "tasks",
    security(("token" = [])),
    params(("id" = Uuid, Path, description = "The task's id"), CommandHeaders),
    request_body = Option<TimeBody>,
    responses((status = 200, description = "It is so now", body = Accepted), Refusals, Problems),
)]
async fn start_task(
    sender: Sender,
    PathParameters(id): PathParameters<Uuid>,
    OptionalJson(body): OptionalJson<TimeBody>,
) -> Result<Response, Problem> {
    let command = Command::Task(TaskCommand::Start(StartTask {}));
    sender.change(command, id, body.at).await
}

/// Add a step
#[utoipa::path(
    post,
    path = "/api/v1/tasks/{id}/steps",
    tag = "tasks",
    security(("token" = [])),
    params(("id" = Uuid, Path, description = "The task's id"), CommandHeaders),
    request_body = AddStepBody,
    responses((status = 200, description = "It is so now", body = Accepted), Refusals, Problems),
)]
async fn add_step(
    sender: Sender,
    PathParameters(id): PathParameters<Uuid>,
    Json(body): Json<AddStepBody>,
) -> Result<Response, Problem> {
    let step_id = sender.created_id(body.step_id);
    let command = Command::Task(TaskCommand::AddStep(AddStep {
        step_id,
        content: body.content,
    }));
    sender.change(command, id, body.at).await
}

/// Complete a step
#[utoipa::path(
    post,
    path = "/api/v1/tasks/{id}/steps/{stepId}/complete",
    tag = "tasks",
    security(("token" = [])),
    params(("id" = Uuid, Path, description = "The task's id"), ("stepId" = Uuid, Path, description = "The step's id"), CommandHeaders),
    request_body = Option<TimeBody>,
    responses((status = 200, description = "It is so now", body = Accepted), Refusals, Problems),
)]
async fn complete_step(
    sender: Sender,
    PathParameters((id, step_id)): PathParameters<(Uuid, Uuid)>,
    OptionalJson(body): OptionalJson<TimeBody>,
) -> Result<Response, Problem> {
    let command = Command::Task(TaskCommand::CompleteStep(CompleteStep { step_id }));
    sender.change(command, id, body.at).await
}

/// Complete a task
///
/// All its steps must be done.
#[utoipa::path(
    post,
    path = "/api/v1/tasks/{id}/complete",
    tag = "tasks",
    security(("token" = [])),
    params(("id" = Uuid, Path, description = "The task's id"), CommandHeaders),
    request_body = Option<CompleteTaskBody>,
    responses((status = 200, description = "It is so now", body = Accepted), Refusals, Problems),
)]
async fn complete_task(
    sender: Sender,
    PathParameters(id): PathParameters<Uuid>,
    OptionalJson(body): OptionalJson<CompleteTaskBody>,
) -> Result<Response, Problem> {
    let command = Command::Task(TaskCommand::Complete(CompleteTask {
        actual_hours: body.actual_hours,
    }));
    sender.change(command, id, body.at).await
}

/// Reopen a completed or cancelled task
#[utoipa::path(
    post,
    path = "/api/v1/tasks/{id}/reopen",
    tag = "tasks",
    security(("token" = [])),
    params(("id" = Uuid, Path, description = "The task's id"), CommandHeaders),
    request_body = ReasonBody,
    responses((status = 200, description = "It is so now", body = Accepted), Refusals, Problems),
)]
async fn reopen_task(
    sender: Sender,
    PathParameters(id): PathParameters<Uuid>,
    Json(body): Json<ReasonBody>,
) -> Result<Response, Problem> {
    let command = Command::Task(TaskCommand::Reopen(ReopenTask {
        reason: body.reason,
    }));
    sender.change(command, id, body.at).await
}

/// Cancel a task
#[utoipa::path(
    post,
    path = "/api/v1/tasks/{id}/cancel",
    tag = "tasks",
    security(("token" = [])),
    params(("id" = Uuid, Path, description = "The task's id"), CommandHeaders),
    request_body = ReasonBody,
    responses((status = 200, description = "It is so now", body = Accepted), Refusals, Problems),
)]
async fn cancel_task(
    sender: Sender,
    PathParameters(id): PathParameters<Uuid>,
    Json(body): Json<ReasonBody>,
) -> Result<Response, Problem> {
    let command = Command::Task(TaskCommand::Cancel(CancelTask {
        reason: body.reason,
    }));
    sender.change(command, id, body.at).await
}
