//! What each mutation takes. Lengths and ranges are the domain's to judge (`foldline_domain::tasks::limits`).

use async_graphql::{ID, InputObject, Json};
use chrono::{DateTime, Utc};
use foldline_events::{
    Hours,
    tasks::{Metadata, Priority},
};
use uuid::Uuid;

use crate::{error::Error, scalars, tasks::task::TaskPriority};

/// A project to create.
#[derive(Debug, InputObject)]
pub struct CreateProjectInput {
    /// The new project's UUID; made of the command's id when absent.
    pub project_id: Option<Uuid>,
    /// What people call it: 1 to 255 characters.
    pub name: String,
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

/// Another name for a project.
#[derive(Debug, InputObject)]
pub struct RenameProjectInput {
    /// The project: its node id or its plain UUID.
    pub id: ID,
    /// The new name: 1 to 255 characters.
    pub name: String,
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// The version that the project must have; the command is refused when it has another.
    pub expected_version: Option<scalars::Version>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

/// A project to archive.
#[derive(Debug, InputObject)]
pub struct ArchiveProjectInput {
    /// The project: its node id or its plain UUID.
    pub id: ID,
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// The version that the project must have; the command is refused when it has another.
    pub expected_version: Option<scalars::Version>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

/// A task to create.
#[derive(Debug, InputObject)]
pub struct CreateTaskInput {
    /// The new task's UUID; made of the command's id when absent.
    pub task_id: Option<Uuid>,
    /// The project that it belongs to: its node id or its plain UUID.
    pub project_id: ID,
    /// What is to be done: 1 to 255 characters.
    pub title: String,
    /// How urgent it is.
    pub priority: TaskPriority,
    /// The hours it will take, with at most two decimals.
    pub estimated_hours: Option<f64>,
    /// Free-form facts: an object of names to strings, numbers or booleans.
    pub metadata: Option<Json<Metadata>>,
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

/// Who is responsible for a task.
#[derive(Debug, InputObject)]
pub struct AssignTaskInput {
    /// The task: its node id or its plain UUID.
    pub id: ID,
    /// The person, by UUID.
    pub assignee_id: Uuid,
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// The version that the task must have; the command is refused when it has another.
    pub expected_version: Option<scalars::Version>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

/// A label for a task.
#[derive(Debug, InputObject)]
pub struct AddLabelInput {
    /// The task: its node id or its plain UUID.
    pub id: ID,
    /// The label: 1 to 50 characters.
    pub label: String,
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// The version that the task must have; the command is refused when it has another.
    pub expected_version: Option<scalars::Version>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

/// A task to begin.
#[derive(Debug, InputObject)]
pub struct StartTaskInput {
    /// The task: its node id or its plain UUID.
    pub id: ID,
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// The version that the task must have; the command is refused when it has another.
    pub expected_version: Option<scalars::Version>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

/// A step for a task.
#[derive(Debug, InputObject)]
pub struct AddStepInput {
    /// The task: its node id or its plain UUID.
    pub id: ID,
    /// The new step's UUID; made of the command's id when absent.
    pub step_id: Option<Uuid>,
    /// What is to be done: 1 to 1000 characters.
    pub content: String,
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// The version that the task must have; the command is refused when it has another.
    pub expected_version: Option<scalars::Version>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

/// A step that is done.
#[derive(Debug, InputObject)]
pub struct CompleteStepInput {
    /// The task: its node id or its plain UUID.
    pub id: ID,
    /// The step's UUID.
    pub step_id: Uuid,
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// The version that the task must have; the command is refused when it has another.
    pub expected_version: Option<scalars::Version>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

/// A task that is done.
#[derive(Debug, InputObject)]
pub struct CompleteTaskInput {
    /// The task: its node id or its plain UUID.
    pub id: ID,
    /// The hours it took, with at most two decimals.
    pub actual_hours: Option<f64>,
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// The version that the task must have; the command is refused when it has another.
    pub expected_version: Option<scalars::Version>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

/// A task to take up again.
#[derive(Debug, InputObject)]
pub struct ReopenTaskInput {
    /// The task: its node id or its plain UUID.
    pub id: ID,
    /// Why: 1 to 500 characters.
    pub reason: String,
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// The version that the task must have; the command is refused when it has another.
    pub expected_version: Option<scalars::Version>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

/// A task to give up.
#[derive(Debug, InputObject)]
pub struct CancelTaskInput {
    /// The task: its node id or its plain UUID.
    pub id: ID,
    /// Why: 1 to 500 characters.
    pub reason: String,
    /// Names this command, so that sending it again has no further effect. Made up when absent.
    pub command_id: Option<Uuid>,
    /// The version that the task must have; the command is refused when it has another.
    pub expected_version: Option<scalars::Version>,
    /// When it happened, in business time; now, when absent.
    pub at: Option<DateTime<Utc>>,
}

impl From<TaskPriority> for Priority {
    fn from(priority: TaskPriority) -> Self {
        match priority {
            TaskPriority::Low => Self::Low,
            TaskPriority::Medium => Self::Medium,
            TaskPriority::High => Self::High,
            TaskPriority::Critical => Self::Critical,
        }
    }
}

/// Hours as the domain counts them; `field` names the input for the error.
pub fn hours(number: Option<f64>, field: &str) -> Result<Option<Hours>, Error> {
    number
        .map(|number| {
            Hours::from_number(number).ok_or_else(|| Error::BadInput {
                problem: format!(
                    "{field} must be a number with at most two decimals, not {number}"
                ),
            })
        })
        .transpose()
}
