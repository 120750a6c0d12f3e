//! What happened, in as few words as a specification needs.

use chrono::NaiveDate;
use foldline_domain::tasks::CreateTask;
use foldline_events::{
    Hours,
    tasks::{
        Priority, ResumedStatus, ReviewStatus, TaskAiReviewRecorded, TaskAiReviewRequested,
        TaskAssigned, TaskBlocked, TaskCancelled, TaskCommentAdded, TaskCompleted,
        TaskCompletionSuggested, TaskCreated, TaskDeleted, TaskDescribed, TaskDueDateSet,
        TaskDueDayPassed, TaskEstimated, TaskEvent, TaskKeySet, TaskLabelAdded, TaskLabelRemoved,
        TaskMetadataRemoved, TaskMetadataSet, TaskMoved, TaskPrioritySet, TaskRenamed,
        TaskReopened, TaskRestored, TaskStarted, TaskStepAdded, TaskStepCompleted, TaskStepRemoved,
        TaskUnassigned, TaskUnblocked,
    },
};
use serde_json::Value;

use super::{commands::creation, id};

/// Of everything that can be said of a new task, what [`creation`] says.
pub(super) fn created() -> TaskEvent {
    created_as(creation())
}

pub(super) fn created_as(creation: CreateTask) -> TaskEvent {
    let CreateTask {
        project_id,
        title,
        description,
        priority,
        estimated_hours,
        due_date,
        key,
        metadata,
    } = creation;
    TaskEvent::Created(TaskCreated {
        project_id,
        title,
        description,
        priority,
        estimated_hours,
        due_date,
        key,
        metadata,
    })
}

pub(super) fn renamed(title: &str) -> TaskEvent {
    TaskEvent::Renamed(TaskRenamed {
        title: title.into(),
    })
}

pub(super) fn described(description: Option<&str>) -> TaskEvent {
    TaskEvent::Described(TaskDescribed {
        description: description.map(str::to_owned),
    })
}

pub(super) fn priority_set(priority: Priority) -> TaskEvent {
    TaskEvent::PrioritySet(TaskPrioritySet { priority })
}

pub(super) fn estimated(estimated_hours: Option<Hours>) -> TaskEvent {
    TaskEvent::Estimated(TaskEstimated { estimated_hours })
}

pub(super) fn due_date_set(due_date: Option<NaiveDate>) -> TaskEvent {
    TaskEvent::DueDateSet(TaskDueDateSet { due_date })
}

pub(super) fn key_set(key: Option<&str>) -> TaskEvent {
    TaskEvent::KeySet(TaskKeySet {
        key: key.map(str::to_owned),
    })
}

pub(super) fn assigned(n: u128) -> TaskEvent {
    TaskEvent::Assigned(TaskAssigned { assignee_id: id(n) })
}

pub(super) fn unassigned() -> TaskEvent {
    TaskEvent::Unassigned(TaskUnassigned {})
}

pub(super) fn labelled(label: &str) -> TaskEvent {
    TaskEvent::LabelAdded(TaskLabelAdded {
        label: label.into(),
    })
}

pub(super) fn label_removed(label: &str) -> TaskEvent {
    TaskEvent::LabelRemoved(TaskLabelRemoved {
        label: label.into(),
    })
}

pub(super) fn noted(name: &str, value: Value) -> TaskEvent {
    TaskEvent::MetadataSet(TaskMetadataSet {
        name: name.into(),
        value,
    })
}

pub(super) fn note_removed(name: &str) -> TaskEvent {
    TaskEvent::MetadataRemoved(TaskMetadataRemoved { name: name.into() })
}

pub(super) fn commented(n: u128, text: &str) -> TaskEvent {
    TaskEvent::CommentAdded(TaskCommentAdded {
        comment_id: id(n),
        text: text.into(),
    })
}

pub(super) fn started() -> TaskEvent {
    TaskEvent::Started(TaskStarted {})
}

pub(super) fn blocked(reason: &str) -> TaskEvent {
    TaskEvent::Blocked(TaskBlocked {
        reason: reason.into(),
    })
}

pub(super) fn unblocked(status: ResumedStatus) -> TaskEvent {
    TaskEvent::Unblocked(TaskUnblocked { status })
}

pub(super) fn step_added(n: u128, content: &str) -> TaskEvent {
    TaskEvent::StepAdded(TaskStepAdded {
        step_id: id(n),
        content: content.into(),
    })
}

pub(super) fn step_done(n: u128) -> TaskEvent {
    TaskEvent::StepCompleted(TaskStepCompleted { step_id: id(n) })
}

pub(super) fn step_removed(n: u128) -> TaskEvent {
    TaskEvent::StepRemoved(TaskStepRemoved { step_id: id(n) })
}

pub(super) fn completed(actual_hours: Option<Hours>) -> TaskEvent {
    TaskEvent::Completed(TaskCompleted { actual_hours })
}

pub(super) fn reopened() -> TaskEvent {
    TaskEvent::Reopened(TaskReopened {
        reason: "why".into(),
    })
}

pub(super) fn cancelled() -> TaskEvent {
    TaskEvent::Cancelled(TaskCancelled {
        reason: "why".into(),
    })
}

pub(super) fn deleted() -> TaskEvent {
    TaskEvent::Deleted(TaskDeleted {})
}

pub(super) fn restored() -> TaskEvent {
    TaskEvent::Restored(TaskRestored {})
}

pub(super) fn moved(from: u128, to: u128) -> TaskEvent {
    TaskEvent::Moved(TaskMoved {
        from_project_id: id(from),
        project_id: id(to),
    })
}

pub(super) fn review_requested() -> TaskEvent {
    TaskEvent::AiReviewRequested(TaskAiReviewRequested {})
}

pub(super) fn reviewed(status: ReviewStatus, summary: Option<&str>) -> TaskEvent {
    TaskEvent::AiReviewRecorded(TaskAiReviewRecorded {
        status,
        summary: summary.map(str::to_owned),
    })
}

pub(super) fn due_day_passed(due_date: NaiveDate) -> TaskEvent {
    TaskEvent::DueDayPassed(TaskDueDayPassed { due_date })
}

pub(super) fn completion_suggested() -> TaskEvent {
    TaskEvent::CompletionSuggested(TaskCompletionSuggested {})
}
