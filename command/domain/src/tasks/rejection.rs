//! Every "no" of projects and tasks: one variant, one stable code, one sentence.

use uuid::Uuid;

use super::limits::{
    COMMENTS_PER_TASK_MAX, DUE_DATES, HOURS_MAX, KEY_CHARS_MAX, LABELS_PER_TASK_MAX,
    METADATA_KEY_CHARS_MAX, METADATA_KEYS_MAX, METADATA_TEXT_CHARS_MAX, STEPS_PER_TASK_MAX,
};
use crate::RejectionKind;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error("a project with this id already exists")]
    ProjectExists,
    #[error("there is no such project")]
    UnknownProject,
    #[error("the project is archived")]
    ProjectArchived,
    #[error("a task with this id already exists")]
    TaskExists,
    #[error("there is no such task")]
    UnknownTask,
    #[error("the task is completed; reopen it first")]
    TaskCompleted,
    #[error("the task is cancelled; reopen it first")]
    TaskCancelled,
    #[error("the task is deleted; restore it first")]
    TaskDeleted,
    #[error("the task is blocked; unblock it first")]
    TaskBlocked,
    #[error(
        "task {by} has this key; a deleted task keeps its own until it is restored and gives it back"
    )]
    KeyTaken { by: Uuid },
    #[error("a key has 1 to {KEY_CHARS_MAX} letters (a-z, A-Z), digits, `-`, `_` or `.`")]
    KeyMalformed,
    #[error("the task is neither completed nor cancelled, so there is nothing to reopen")]
    TaskNotClosed,
    #[error("the task was completed already, with other hours; reopen it to record others")]
    CompletedDifferently,
    #[error("the task has steps that are not done; complete them first ({open} of them)")]
    OpenSteps { open: usize },
    #[error("the task has no such step")]
    UnknownStep,
    #[error("the task has a step with this id already, with another content")]
    StepDiffers,
    #[error("a task has at most {STEPS_PER_TASK_MAX} steps")]
    TooManySteps,
    #[error("a task has at most {LABELS_PER_TASK_MAX} labels")]
    TooManyLabels,
    #[error("the task has a comment with this id already")]
    CommentExists,
    #[error("a task has at most {COMMENTS_PER_TASK_MAX} comments")]
    TooManyComments,
    #[error(
        "no review of this task by an AI is asked for, or it has its verdict; request one first"
    )]
    ReviewNotRequested,
    #[error("a due date lies from {} to {}", DUE_DATES.0, DUE_DATES.1)]
    DueDateOutOfRange,
    #[error("{field} {fault}")]
    Text {
        field: &'static str,
        fault: TextFault,
    },
    #[error("{field} must be from 0 to {} hours", HOURS_MAX.as_number())]
    HoursOutOfRange { field: &'static str },
    #[error("metadata has at most {METADATA_KEYS_MAX} keys")]
    TooManyMetadataKeys { pointer: &'static str },
    #[error("a metadata key is text of 1 to {METADATA_KEY_CHARS_MAX} characters without NUL")]
    MetadataKey { pointer: &'static str },
    #[error(
        "a metadata value is a number, true, false, or text of at most {METADATA_TEXT_CHARS_MAX} characters without NUL"
    )]
    MetadataValue { pointer: String },
}

/// What is wrong with a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    #[error("must not be blank")]
    Blank,
    #[error("must have at most {chars_max} characters")]
    TooLong { chars_max: usize },
    #[error("must not contain NUL (\\u0000)")]
    Nul,
}

impl Rejection {
    pub fn code(&self) -> &'static str {
        match self {
            Self::ProjectExists => "PROJECT_EXISTS",
            Self::UnknownProject => "UNKNOWN_PROJECT",
            Self::ProjectArchived => "PROJECT_ARCHIVED",
            Self::TaskExists => "TASK_EXISTS",
            Self::UnknownTask => "UNKNOWN_TASK",
            Self::TaskCompleted => "TASK_COMPLETED",
            Self::TaskCancelled => "TASK_CANCELLED",
            Self::TaskDeleted => "TASK_DELETED",
            Self::TaskBlocked => "TASK_BLOCKED",
            Self::KeyTaken { .. } => "TASK_KEY_TAKEN",
            Self::KeyMalformed => "TASK_KEY_INVALID",
            Self::CommentExists => "COMMENT_EXISTS",
            Self::TooManyComments => "TOO_MANY_COMMENTS",
            Self::ReviewNotRequested => "AI_REVIEW_NOT_REQUESTED",
            Self::DueDateOutOfRange => "DUE_DATE_OUT_OF_RANGE",
            Self::TaskNotClosed => "TASK_NOT_CLOSED",
            Self::CompletedDifferently => "TASK_COMPLETED_DIFFERENTLY",
            Self::OpenSteps { .. } => "OPEN_STEPS",
            Self::UnknownStep => "UNKNOWN_STEP",
            Self::StepDiffers => "STEP_DIFFERS",
            Self::TooManySteps => "TOO_MANY_STEPS",
            Self::TooManyLabels => "TOO_MANY_LABELS",
            Self::Text { fault, .. } => match fault {
                TextFault::Blank => "TEXT_BLANK",
                TextFault::TooLong { .. } => "TEXT_TOO_LONG",
                TextFault::Nul => "TEXT_WITH_NUL",
            },
            Self::HoursOutOfRange { .. } => "HOURS_OUT_OF_RANGE",
            Self::TooManyMetadataKeys { .. } => "TOO_MANY_METADATA_KEYS",
            Self::MetadataKey { .. } => "METADATA_KEY_INVALID",
            Self::MetadataValue { .. } => "METADATA_VALUE_INVALID",
        }
    }

    pub(crate) fn kind(&self) -> RejectionKind {
        match self {
            Self::UnknownProject | Self::UnknownTask | Self::UnknownStep => RejectionKind::Unknown,
            Self::ProjectExists
            | Self::ProjectArchived
            | Self::TaskExists
            | Self::TaskCompleted
            | Self::TaskCancelled
            | Self::TaskDeleted
            | Self::TaskBlocked
            | Self::KeyTaken { .. }
            | Self::TaskNotClosed
            | Self::CompletedDifferently
            | Self::OpenSteps { .. }
            | Self::StepDiffers
            | Self::TooManySteps
            | Self::TooManyLabels
            | Self::CommentExists
            | Self::TooManyComments
            | Self::ReviewNotRequested => RejectionKind::Conflict,
            Self::Text { .. }
            | Self::KeyMalformed
            | Self::HoursOutOfRange { .. }
            | Self::DueDateOutOfRange
            | Self::TooManyMetadataKeys { .. }
            | Self::MetadataKey { .. }
            | Self::MetadataValue { .. } => RejectionKind::Invalid,
        }
    }

    pub(crate) fn pointer(&self) -> Option<String> {
        match self {
            Self::Text { field, .. } | Self::HoursOutOfRange { field } => Some(format!("/{field}")),
            Self::KeyMalformed | Self::KeyTaken { .. } => Some("/key".to_owned()),
            Self::DueDateOutOfRange => Some("/dueDate".to_owned()),
            Self::TooManyMetadataKeys { pointer } | Self::MetadataKey { pointer } => {
                Some((*pointer).to_owned())
            }
            Self::MetadataValue { pointer } => Some(pointer.clone()),
            Self::ProjectExists
            | Self::UnknownProject
            | Self::ProjectArchived
            | Self::TaskExists
            | Self::UnknownTask
            | Self::TaskCompleted
            | Self::TaskCancelled
            | Self::TaskDeleted
            | Self::TaskBlocked
            | Self::TaskNotClosed
            | Self::CompletedDifferently
            | Self::OpenSteps { .. }
            | Self::UnknownStep
            | Self::StepDiffers
            | Self::TooManySteps
            | Self::TooManyLabels
            | Self::CommentExists
            | Self::TooManyComments
            | Self::ReviewNotRequested => None,
        }
    }
}
