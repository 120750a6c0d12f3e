//! What can have happened to a task.

mod examples;

use chrono::NaiveDate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Metadata, Priority, project_tag};
use crate::{DecodeError, Encoded, Hours, Payload, payload::Written};
pub(super) use examples::examples;

#[derive(Debug, Clone, PartialEq)]
pub enum TaskEvent {
    Created(TaskCreated),
    Renamed(TaskRenamed),
    Described(TaskDescribed),
    PrioritySet(TaskPrioritySet),
    Estimated(TaskEstimated),
    DueDateSet(TaskDueDateSet),
    KeySet(TaskKeySet),
    Assigned(TaskAssigned),
    Unassigned(TaskUnassigned),
    LabelAdded(TaskLabelAdded),
    LabelRemoved(TaskLabelRemoved),
    MetadataSet(TaskMetadataSet),
    MetadataRemoved(TaskMetadataRemoved),
    CommentAdded(TaskCommentAdded),
    Started(TaskStarted),
    Blocked(TaskBlocked),
    Unblocked(TaskUnblocked),
    StepAdded(TaskStepAdded),
    StepCompleted(TaskStepCompleted),
    StepRemoved(TaskStepRemoved),
    Completed(TaskCompleted),
    Reopened(TaskReopened),
    Cancelled(TaskCancelled),
    Deleted(TaskDeleted),
    Restored(TaskRestored),
    Moved(TaskMoved),
    AiReviewRequested(TaskAiReviewRequested),
    AiReviewRecorded(TaskAiReviewRecorded),
    DueDayPassed(TaskDueDayPassed),
    CompletionSuggested(TaskCompletionSuggested),
}

/// Where an unblocked task goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ResumedStatus {
    Open,
    InProgress,
}

/// What there is to say of a review that was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum ReviewStatus {
    /// Somebody works on it.
    InProgress,
    /// The verdict: all is well.
    Approved,
    /// The verdict: something must be changed.
    ChangesWanted,
    /// There is no verdict; the review must be done again.
    Failed,
}

/// A task came into being, open, in a project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskCreated {
    pub project_id: Uuid,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    pub priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_hours: Option<Hours>,
    /// A UTC day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_date: Option<NaiveDate>,
    /// A short name that no other task of the tenant has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// A task got another title.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskRenamed {
    pub title: String,
}

/// What a task is about was written anew, or taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskDescribed {
    /// Absent: it has none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A task became more or less urgent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskPrioritySet {
    pub priority: Priority,
}

/// What a task will take was estimated anew, or the estimate taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskEstimated {
    /// Absent: it has none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_hours: Option<Hours>,
}

/// A task got another due date, or lost it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskDueDateSet {
    /// A UTC day. Absent: it has none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub due_date: Option<NaiveDate>,
}

/// A task got another key, or lost it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskKeySet {
    /// Absent: it has none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// Somebody became responsible for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskAssigned {
    pub assignee_id: Uuid,
}

/// Nobody is responsible for a task any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskUnassigned {}

/// A task got a label that it did not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskLabelAdded {
    pub label: String,
}

/// A task lost a label.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskLabelRemoved {
    pub label: String,
}

/// A free-form fact about a task was noted, or changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskMetadataSet {
    pub name: String,
    /// Text, a number, or a boolean.
    pub value: serde_json::Value,
}

/// A free-form fact about a task was taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskMetadataRemoved {
    pub name: String,
}

/// Somebody said something about a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskCommentAdded {
    pub comment_id: Uuid,
    pub text: String,
}

/// Work on a task began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskStarted {}

/// A task cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskBlocked {
    pub reason: String,
}

/// A task can go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskUnblocked {
    /// Where it stands now: where it stood when it was blocked.
    pub status: ResumedStatus,
}

/// A step to be done was added to a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskStepAdded {
    pub step_id: Uuid,
    pub content: String,
}

/// A step of a task was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskStepCompleted {
    pub step_id: Uuid,
}

/// A step was taken from a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskStepRemoved {
    pub step_id: Uuid,
}

/// A task was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskCompleted {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_hours: Option<Hours>,
}

/// A completed or cancelled task was taken up again; it is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskReopened {
    pub reason: String,
}

/// A task was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskCancelled {
    pub reason: String,
}

/// A task was put away: it is in no list and no sum any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskDeleted {}

/// A deleted task is back as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskRestored {}

/// A task went to another project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskMoved {
    pub from_project_id: Uuid,
    /// The project that it belongs to now.
    pub project_id: Uuid,
}

/// An AI was asked to look at a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskAiReviewRequested {}

/// How an AI's review of a task stands was noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskAiReviewRecorded {
    pub status: ReviewStatus,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summary: Option<String>,
}

/// The day that a task was due on passed, and it was neither completed nor cancelled nor deleted. Said by a reaction, once
/// until the due date changes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskDueDayPassed {
    /// A UTC day.
    pub due_date: NaiveDate,
}

/// The last of a task's steps was completed, and the task was not: perhaps it is done. Said by a reaction, once until a step
/// is added or the task is reopened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TaskCompletionSuggested {}

impl Payload for TaskCreated {
    const EVENT_TYPE: &'static str = "tasks.TaskCreated";
}

impl Payload for TaskRenamed {
    const EVENT_TYPE: &'static str = "tasks.TaskRenamed";
}

impl Payload for TaskDescribed {
    const EVENT_TYPE: &'static str = "tasks.TaskDescribed";
}

impl Payload for TaskPrioritySet {
    const EVENT_TYPE: &'static str = "tasks.TaskPrioritySet";
}

impl Payload for TaskEstimated {
    const EVENT_TYPE: &'static str = "tasks.TaskEstimated";
}

impl Payload for TaskDueDateSet {
    const EVENT_TYPE: &'static str = "tasks.TaskDueDateSet";
}

impl Payload for TaskKeySet {
    const EVENT_TYPE: &'static str = "tasks.TaskKeySet";
}

impl Payload for TaskAssigned {
    const EVENT_TYPE: &'static str = "tasks.TaskAssigned";
}

impl Payload for TaskUnassigned {
    const EVENT_TYPE: &'static str = "tasks.TaskUnassigned";
}

impl Payload for TaskLabelAdded {
    const EVENT_TYPE: &'static str = "tasks.TaskLabelAdded";
}

impl Payload for TaskLabelRemoved {
    const EVENT_TYPE: &'static str = "tasks.TaskLabelRemoved";
}

impl Payload for TaskMetadataSet {
    const EVENT_TYPE: &'static str = "tasks.TaskMetadataSet";
}

impl Payload for TaskMetadataRemoved {
    const EVENT_TYPE: &'static str = "tasks.TaskMetadataRemoved";
}

impl Payload for TaskCommentAdded {
    const EVENT_TYPE: &'static str = "tasks.TaskCommentAdded";
}

impl Payload for TaskStarted {
    const EVENT_TYPE: &'static str = "tasks.TaskStarted";
}

impl Payload for TaskBlocked {
    const EVENT_TYPE: &'static str = "tasks.TaskBlocked";
}

impl Payload for TaskUnblocked {
    const EVENT_TYPE: &'static str = "tasks.TaskUnblocked";
}

impl Payload for TaskStepAdded {
    const EVENT_TYPE: &'static str = "tasks.TaskStepAdded";
}

impl Payload for TaskStepCompleted {
    const EVENT_TYPE: &'static str = "tasks.TaskStepCompleted";
}

impl Payload for TaskStepRemoved {
    const EVENT_TYPE: &'static str = "tasks.TaskStepRemoved";
}

impl Payload for TaskCompleted {
    const EVENT_TYPE: &'static str = "tasks.TaskCompleted";
}

impl Payload for TaskReopened {
    const EVENT_TYPE: &'static str = "tasks.TaskReopened";
}

impl Payload for TaskCancelled {
    const EVENT_TYPE: &'static str = "tasks.TaskCancelled";
}

impl Payload for TaskDeleted {
    const EVENT_TYPE: &'static str = "tasks.TaskDeleted";
}

impl Payload for TaskRestored {
    const EVENT_TYPE: &'static str = "tasks.TaskRestored";
}

impl Payload for TaskMoved {
    const EVENT_TYPE: &'static str = "tasks.TaskMoved";
}

impl Payload for TaskAiReviewRequested {
    const EVENT_TYPE: &'static str = "tasks.TaskAiReviewRequested";
}

impl Payload for TaskAiReviewRecorded {
    const EVENT_TYPE: &'static str = "tasks.TaskAiReviewRecorded";
}

impl Payload for TaskDueDayPassed {
    const EVENT_TYPE: &'static str = "tasks.TaskDueDayPassed";
}

impl Payload for TaskCompletionSuggested {
    const EVENT_TYPE: &'static str = "tasks.TaskCompletionSuggested";
}

impl TaskEvent {
    pub(crate) fn encode(&self) -> Encoded {
        match self {
            Self::Created(event) => event.encoded(vec![project_tag(event.project_id)]),
            Self::Moved(event) => event.encoded(vec![
                project_tag(event.from_project_id),
                project_tag(event.project_id),
            ]),
            Self::Renamed(event) => event.encoded(vec![]),
            Self::Described(event) => event.encoded(vec![]),
            Self::PrioritySet(event) => event.encoded(vec![]),
            Self::Estimated(event) => event.encoded(vec![]),
            Self::DueDateSet(event) => event.encoded(vec![]),
            Self::KeySet(event) => event.encoded(vec![]),
            Self::Assigned(event) => event.encoded(vec![]),
            Self::Unassigned(event) => event.encoded(vec![]),
            Self::LabelAdded(event) => event.encoded(vec![]),
            Self::LabelRemoved(event) => event.encoded(vec![]),
            Self::MetadataSet(event) => event.encoded(vec![]),
            Self::MetadataRemoved(event) => event.encoded(vec![]),
            Self::CommentAdded(event) => event.encoded(vec![]),
            Self::Started(event) => event.encoded(vec![]),
            Self::Blocked(event) => event.encoded(vec![]),
            Self::Unblocked(event) => event.encoded(vec![]),
            Self::StepAdded(event) => event.encoded(vec![]),
            Self::StepCompleted(event) => event.encoded(vec![]),
            Self::StepRemoved(event) => event.encoded(vec![]),
            Self::Completed(event) => event.encoded(vec![]),
            Self::Reopened(event) => event.encoded(vec![]),
            Self::Cancelled(event) => event.encoded(vec![]),
            Self::Deleted(event) => event.encoded(vec![]),
            Self::Restored(event) => event.encoded(vec![]),
            Self::AiReviewRequested(event) => event.encoded(vec![]),
            Self::AiReviewRecorded(event) => event.encoded(vec![]),
            Self::DueDayPassed(event) => event.encoded(vec![]),
            Self::CompletionSuggested(event) => event.encoded(vec![]),
        }
    }

    /// `None` for a type that is none of these.
    pub(crate) fn decode(from: &Written<'_>) -> Result<Option<Self>, DecodeError> {
        Ok(Some(match from.event_type {
            TaskCreated::EVENT_TYPE => Self::Created(from.read()?),
            TaskRenamed::EVENT_TYPE => Self::Renamed(from.read()?),
            TaskDescribed::EVENT_TYPE => Self::Described(from.read()?),
            TaskPrioritySet::EVENT_TYPE => Self::PrioritySet(from.read()?),
            TaskEstimated::EVENT_TYPE => Self::Estimated(from.read()?),
            TaskDueDateSet::EVENT_TYPE => Self::DueDateSet(from.read()?),
            TaskKeySet::EVENT_TYPE => Self::KeySet(from.read()?),
            TaskAssigned::EVENT_TYPE => Self::Assigned(from.read()?),
            TaskUnassigned::EVENT_TYPE => Self::Unassigned(from.read()?),
            TaskLabelAdded::EVENT_TYPE => Self::LabelAdded(from.read()?),
            TaskLabelRemoved::EVENT_TYPE => Self::LabelRemoved(from.read()?),
            TaskMetadataSet::EVENT_TYPE => Self::MetadataSet(from.read()?),
            TaskMetadataRemoved::EVENT_TYPE => Self::MetadataRemoved(from.read()?),
            TaskCommentAdded::EVENT_TYPE => Self::CommentAdded(from.read()?),
            TaskStarted::EVENT_TYPE => Self::Started(from.read()?),
            TaskBlocked::EVENT_TYPE => Self::Blocked(from.read()?),
            TaskUnblocked::EVENT_TYPE => Self::Unblocked(from.read()?),
            TaskStepAdded::EVENT_TYPE => Self::StepAdded(from.read()?),
            TaskStepCompleted::EVENT_TYPE => Self::StepCompleted(from.read()?),
            TaskStepRemoved::EVENT_TYPE => Self::StepRemoved(from.read()?),
            TaskCompleted::EVENT_TYPE => Self::Completed(from.read()?),
            TaskReopened::EVENT_TYPE => Self::Reopened(from.read()?),
            TaskCancelled::EVENT_TYPE => Self::Cancelled(from.read()?),
            TaskDeleted::EVENT_TYPE => Self::Deleted(from.read()?),
            TaskRestored::EVENT_TYPE => Self::Restored(from.read()?),
            TaskMoved::EVENT_TYPE => Self::Moved(from.read()?),
            TaskAiReviewRequested::EVENT_TYPE => Self::AiReviewRequested(from.read()?),
            TaskAiReviewRecorded::EVENT_TYPE => Self::AiReviewRecorded(from.read()?),
            TaskDueDayPassed::EVENT_TYPE => Self::DueDayPassed(from.read()?),
            TaskCompletionSuggested::EVENT_TYPE => Self::CompletionSuggested(from.read()?),
            _ => return Ok(None),
        }))
    }
}
