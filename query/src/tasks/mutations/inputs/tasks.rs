//! What the mutations of tasks take.

use async_graphql::{ID, InputObject, Json, MaybeUndefined};
use foldline_events::tasks::Metadata;
use uuid::Uuid;

use super::{New, OnTask};
use crate::{
    scalars::Day,
    tasks::task::{AiReviewProgress, TaskPriority},
};

/// A task to create.
#[derive(Debug, InputObject)]
pub struct CreateTaskInput {
    /// The new task's UUID; made of the command's id when absent.
    pub task_id: Option<Uuid>,
    /// The project that it belongs to: its node id or its plain UUID.
    pub project_id: ID,
    /// What is to be done: 1 to 255 characters.
    pub title: String,
    /// More about it: 1 to 10000 characters.
    pub description: Option<String>,
    /// How urgent it is.
    pub priority: TaskPriority,
    /// The hours it will take, with at most two decimals.
    pub estimated_hours: Option<f64>,
    /// The UTC day by the end of which it is to be done.
    pub due_date: Option<Day>,
    /// A short name that no other task of the tenant has, such as `API-42`: 1 to 50 letters, digits, `-`, `_` or `.`.
    pub key: Option<String>,
    /// Free-form facts: an object of at most 50 names to strings, numbers or booleans.
    pub metadata: Option<Json<Metadata>>,
    #[graphql(flatten)]
    pub new: New,
}

/// Another title for a task.
#[derive(Debug, InputObject)]
pub struct RenameTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// The new title: 1 to 255 characters.
    pub title: String,
}

/// What a task is about.
#[derive(Debug, InputObject)]
pub struct DescribeTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// What it is about: 1 to 10000 characters. Must be given; null takes the description away.
    pub description: MaybeUndefined<String>,
}

/// How urgent a task is.
#[derive(Debug, InputObject)]
pub struct SetTaskPriorityInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// How urgent it is from now on.
    pub priority: TaskPriority,
}

/// What a task will take.
#[derive(Debug, InputObject)]
pub struct EstimateTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// The hours it will take, with at most two decimals. Must be given; null takes the estimate back.
    pub estimated_hours: MaybeUndefined<f64>,
}

/// By when a task is to be done.
#[derive(Debug, InputObject)]
pub struct SetTaskDueDateInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// The UTC day by the end of which it is to be done, from 1970-01-01 to 2999-12-31. Must be given; null takes it away.
    pub due_date: MaybeUndefined<Day>,
}

/// A key for a task.
#[derive(Debug, InputObject)]
pub struct SetTaskKeyInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// A short name that no other task of the tenant has: 1 to 50 letters, digits, `-`, `_` or `.`. Must be given; null gives
    /// the key back.
    pub key: MaybeUndefined<String>,
}

/// Who is responsible for a task.
#[derive(Debug, InputObject)]
pub struct AssignTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// The person, by UUID.
    pub assignee_id: Uuid,
}

/// A task to take from its assignee.
#[derive(Debug, InputObject)]
pub struct UnassignTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
}

/// A label for a task.
#[derive(Debug, InputObject)]
pub struct AddLabelInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// The label: 1 to 50 characters.
    pub label: String,
}

/// A label to take from a task.
#[derive(Debug, InputObject)]
pub struct RemoveLabelInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// The label, exactly as it is spelled.
    pub label: String,
}

/// A free-form fact about a task.
#[derive(Debug, InputObject)]
pub struct SetMetadataInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// Its name: 1 to 100 characters.
    pub name: String,
    /// What it is: a number, a boolean, or a string of at most 1000 characters.
    pub value: Json<serde_json::Value>,
}

/// A free-form fact to forget.
#[derive(Debug, InputObject)]
pub struct RemoveMetadataInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// Its name.
    pub name: String,
}

/// A comment on a task.
#[derive(Debug, InputObject)]
pub struct AddCommentInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// The new comment's UUID; made of the command's id when absent.
    pub comment_id: Option<Uuid>,
    /// What is said: 1 to 5000 characters.
    pub text: String,
}

/// A task to begin.
#[derive(Debug, InputObject)]
pub struct StartTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
}

/// A task that cannot go on.
#[derive(Debug, InputObject)]
pub struct BlockTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// Why: 1 to 500 characters.
    pub reason: String,
}

/// A blocked task that can go on.
#[derive(Debug, InputObject)]
pub struct UnblockTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
}

/// A step for a task.
#[derive(Debug, InputObject)]
pub struct AddStepInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// The new step's UUID; made of the command's id when absent.
    pub step_id: Option<Uuid>,
    /// What is to be done: 1 to 1000 characters.
    pub content: String,
}

/// A step that is done.
#[derive(Debug, InputObject)]
pub struct CompleteStepInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// The step's UUID.
    pub step_id: Uuid,
}

/// A step to take from a task.
#[derive(Debug, InputObject)]
pub struct RemoveStepInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// The step's UUID.
    pub step_id: Uuid,
}

/// A task that is done.
#[derive(Debug, InputObject)]
pub struct CompleteTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// The hours it took, with at most two decimals.
    pub actual_hours: Option<f64>,
}

/// A task to take up again.
#[derive(Debug, InputObject)]
pub struct ReopenTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// Why: 1 to 500 characters.
    pub reason: String,
}

/// A task to give up.
#[derive(Debug, InputObject)]
pub struct CancelTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// Why: 1 to 500 characters.
    pub reason: String,
}

/// A task to delete.
#[derive(Debug, InputObject)]
pub struct DeleteTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
}

/// A deleted task to bring back.
#[derive(Debug, InputObject)]
pub struct RestoreTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
}

/// Another project for a task.
#[derive(Debug, InputObject)]
pub struct MoveTaskInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// The project that it belongs to from now on: its node id or its plain UUID.
    pub project_id: ID,
}

/// A task that an AI is to look at.
#[derive(Debug, InputObject)]
pub struct RequestAiReviewInput {
    #[graphql(flatten)]
    pub on: OnTask,
}

/// How the review of a task by an AI stands.
#[derive(Debug, InputObject)]
pub struct RecordAiReviewInput {
    #[graphql(flatten)]
    pub on: OnTask,
    /// How it stands.
    pub status: AiReviewProgress,
    /// What was found: 1 to 5000 characters.
    pub summary: Option<String>,
}
