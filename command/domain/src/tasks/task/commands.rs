//! What can be asked of a task. The structs' fields are the command's JSON, in camel case.

use chrono::NaiveDate;
use foldline_events::{
    Hours,
    tasks::{Metadata, Priority, ReviewStatus},
};
use serde::{Deserialize, Deserializer, Serialize, de::Error as _};
use serde_json::Value;
use utoipa::ToSchema;
use uuid::Uuid;

use crate::tasks::canonical;

#[derive(Debug, Clone, PartialEq)]
pub enum TaskCommand {
    Create(CreateTask),
    Rename(RenameTask),
    Describe(DescribeTask),
    SetPriority(SetPriority),
    Estimate(EstimateTask),
    SetDueDate(SetDueDate),
    SetKey(SetKey),
    Assign(AssignTask),
    Unassign(UnassignTask),
    AddLabel(AddLabel),
    RemoveLabel(RemoveLabel),
    SetMetadata(SetMetadata),
    RemoveMetadata(RemoveMetadata),
    AddComment(AddComment),
    Start(StartTask),
    Block(BlockTask),
    Unblock(UnblockTask),
    AddStep(AddStep),
    CompleteStep(CompleteStep),
    RemoveStep(RemoveStep),
    Complete(CompleteTask),
    Reopen(ReopenTask),
    Cancel(CancelTask),
    Delete(DeleteTask),
    Restore(RestoreTask),
    Move(MoveTask),
    RequestAiReview(RequestAiReview),
    RecordAiReview(RecordAiReview),
    NoteDueDayPassed(NoteDueDayPassed),
    SuggestCompletion(SuggestCompletion),
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateTask {
    /// The project that it belongs to.
    pub project_id: Uuid,
    /// What is to be done.
    #[schema(min_length = 1, max_length = 255)]
    pub title: String,
    /// More about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 10000)]
    pub description: Option<String>,
    #[schema(value_type = PriorityName)]
    pub priority: Priority,
    /// With at most two decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100000)]
    pub estimated_hours: Option<Hours>,
    /// A UTC day, from 1970-01-01 to 2999-12-31; the task is overdue from the next midnight on.
    #[serde(
        default,
        deserialize_with = "day",
        skip_serializing_if = "Option::is_none"
    )]
    pub due_date: Option<NaiveDate>,
    /// A short name that no other task of the tenant has, such as `API-42`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 50, pattern = "^[A-Za-z0-9._-]+$")]
    pub key: Option<String>,
    /// At most 50 keys of 1 to 100 characters; values are numbers, booleans, or texts of at most 1,000 characters.
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    #[schema(value_type = Object, required = false)]
    pub metadata: Metadata,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenameTask {
    #[schema(min_length = 1, max_length = 255)]
    pub title: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DescribeTask {
    /// What it is about; null takes the description away.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(min_length = 1, max_length = 10000, required)]
    pub description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetPriority {
    #[schema(value_type = PriorityName)]
    pub priority: Priority,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct EstimateTask {
    /// With at most two decimals; null takes the estimate back.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100000, required)]
    pub estimated_hours: Option<Hours>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetDueDate {
    /// A UTC day, from 1970-01-01 to 2999-12-31; null takes the due date away.
    #[serde(deserialize_with = "day")]
    #[schema(required)]
    pub due_date: Option<NaiveDate>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetKey {
    /// A short name that no other task of the tenant has; null gives the key back.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(
        min_length = 1,
        max_length = 50,
        pattern = "^[A-Za-z0-9._-]+$",
        required
    )]
    pub key: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AssignTask {
    /// The person responsible from now on.
    pub assignee_id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnassignTask {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddLabel {
    #[schema(min_length = 1, max_length = 50)]
    pub label: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoveLabel {
    #[schema(min_length = 1, max_length = 50)]
    pub label: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct SetMetadata {
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// A number, a boolean, or text of at most 1,000 characters.
    pub value: Value,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoveMetadata {
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddComment {
    /// Made of the command id, when absent.
    pub comment_id: Uuid,
    #[schema(min_length = 1, max_length = 5000)]
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StartTask {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct BlockTask {
    /// Why it cannot go on.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UnblockTask {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddStep {
    /// Made of the command id, when absent.
    pub step_id: Uuid,
    #[schema(min_length = 1, max_length = 1000)]
    pub content: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompleteStep {
    pub step_id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RemoveStep {
    pub step_id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CompleteTask {
    /// The hours it took, with at most two decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<f64>, minimum = 0, maximum = 100000)]
    pub actual_hours: Option<Hours>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReopenTask {
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CancelTask {
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteTask {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreTask {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MoveTask {
    /// The project that it belongs to from now on.
    pub project_id: Uuid,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RequestAiReview {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RecordAiReview {
    #[schema(value_type = ReviewStatusName)]
    pub status: ReviewStatus,
    /// What was found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 5000)]
    pub summary: Option<String>,
}

/// How urgent a task is.
#[derive(ToSchema)]
#[schema(as = Priority, rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "it describes a type of a crate that describes nothing"
)]
enum PriorityName {
    Low,
    Medium,
    High,
    Critical,
}

/// How a review stands: being worked on, its verdict, or that there will be none.
#[derive(ToSchema)]
#[schema(as = ReviewStatus, rename_all = "snake_case")]
#[expect(
    dead_code,
    reason = "it describes a type of a crate that describes nothing"
)]
enum ReviewStatusName {
    InProgress,
    Approved,
    ChangesWanted,
    Failed,
}

/// Say that a task's due day has passed, unless the task is done, given up or deleted, or it was said before. Only reactions
/// ask for it: nobody else may say what day it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NoteDueDayPassed {
    /// A UTC day that has begun: a day before it has passed.
    pub today: NaiveDate,
}

/// Suggest that a task be completed, if all its steps are done and it is not, unless that was said before. Only reactions ask
/// for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuggestCompletion {}

impl TaskCommand {
    pub fn context_type(&self) -> &'static str {
        match self {
            Self::Create(_) => "tasks.create_task",
            Self::Rename(_) => "tasks.rename_task",
            Self::Describe(_) => "tasks.describe_task",
            Self::SetPriority(_) => "tasks.set_priority",
            Self::Estimate(_) => "tasks.estimate_task",
            Self::SetDueDate(_) => "tasks.set_due_date",
            Self::SetKey(_) => "tasks.set_key",
            Self::Assign(_) => "tasks.assign_task",
            Self::Unassign(_) => "tasks.unassign_task",
            Self::AddLabel(_) => "tasks.add_label",
            Self::RemoveLabel(_) => "tasks.remove_label",
            Self::SetMetadata(_) => "tasks.set_metadata",
            Self::RemoveMetadata(_) => "tasks.remove_metadata",
            Self::AddComment(_) => "tasks.add_comment",
            Self::Start(_) => "tasks.start_task",
            Self::Block(_) => "tasks.block_task",
            Self::Unblock(_) => "tasks.unblock_task",
            Self::AddStep(_) => "tasks.add_step",
            Self::CompleteStep(_) => "tasks.complete_step",
            Self::RemoveStep(_) => "tasks.remove_step",
            Self::Complete(_) => "tasks.complete_task",
            Self::Reopen(_) => "tasks.reopen_task",
            Self::Cancel(_) => "tasks.cancel_task",
            Self::Delete(_) => "tasks.delete_task",
            Self::Restore(_) => "tasks.restore_task",
            Self::Move(_) => "tasks.move_task",
            Self::RequestAiReview(_) => "tasks.request_ai_review",
            Self::RecordAiReview(_) => "tasks.record_ai_review",
            Self::NoteDueDayPassed(_) => "tasks.note_due_day_passed",
            Self::SuggestCompletion(_) => "tasks.suggest_completion",
        }
    }

    pub(crate) fn canonical_data(&self) -> String {
        match self {
            Self::Create(data) => canonical(data),
            Self::Rename(data) => canonical(data),
            Self::Describe(data) => canonical(data),
            Self::SetPriority(data) => canonical(data),
            Self::Estimate(data) => canonical(data),
            Self::SetDueDate(data) => canonical(data),
            Self::SetKey(data) => canonical(data),
            Self::Assign(data) => canonical(data),
            Self::Unassign(data) => canonical(data),
            Self::AddLabel(data) => canonical(data),
            Self::RemoveLabel(data) => canonical(data),
            Self::SetMetadata(data) => canonical(data),
            Self::RemoveMetadata(data) => canonical(data),
            Self::AddComment(data) => canonical(data),
            Self::Start(data) => canonical(data),
            Self::Block(data) => canonical(data),
            Self::Unblock(data) => canonical(data),
            Self::AddStep(data) => canonical(data),
            Self::CompleteStep(data) => canonical(data),
            Self::RemoveStep(data) => canonical(data),
            Self::Complete(data) => canonical(data),
            Self::Reopen(data) => canonical(data),
            Self::Cancel(data) => canonical(data),
            Self::Delete(data) => canonical(data),
            Self::Restore(data) => canonical(data),
            Self::Move(data) => canonical(data),
            Self::RequestAiReview(data) => canonical(data),
            Self::RecordAiReview(data) => canonical(data),
            Self::NoteDueDayPassed(data) => canonical(data),
            Self::SuggestCompletion(data) => canonical(data),
        }
    }
}

/// Of a text that is no day, chrono says only that it is none.
fn day<'de, D: Deserializer<'de>>(from: D) -> Result<Option<NaiveDate>, D::Error> {
    let Some(text) = Option::<String>::deserialize(from)? else {
        return Ok(None);
    };
    // Every day has one spelling.
    let day = NaiveDate::parse_from_str(&text, "%Y-%m-%d");
    day.ok()
        .filter(|day| day.to_string() == text)
        .map(Some)
        .ok_or_else(|| D::Error::custom("expected a day as year-month-day, such as 2026-03-01"))
}
