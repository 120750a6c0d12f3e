//! What is asked, in as few words as a specification needs.

use chrono::NaiveDate;
use foldline_domain::tasks::{
    AddComment, AddLabel, AddStep, AssignTask, BlockTask, CancelTask, CompleteStep, CompleteTask,
    CreateTask, DeleteTask, DescribeTask, EstimateTask, MoveTask, NoteDueDayPassed, RecordAiReview,
    RemoveLabel, RemoveMetadata, RemoveStep, RenameTask, ReopenTask, RequestAiReview, RestoreTask,
    SetDueDate, SetKey, SetMetadata, SetPriority, StartTask, SuggestCompletion, TaskCommand,
    UnassignTask, UnblockTask,
};
use foldline_events::{
    Hours,
    tasks::{Metadata, Priority, ReviewStatus},
};
use serde_json::{Value, json};

use super::{hours, id};

/// In project 1.
pub(super) fn creation() -> CreateTask {
    CreateTask {
        project_id: id(1),
        title: "Land".into(),
        description: Some("Softly".into()),
        priority: Priority::High,
        estimated_hours: Some(hours(8)),
        due_date: NaiveDate::from_ymd_opt(1970, 7, 20),
        key: Some("LM-5".into()),
        metadata: Metadata::from([("crew".to_owned(), json!(3))]),
    }
}

pub(super) fn create() -> TaskCommand {
    TaskCommand::Create(creation())
}

pub(super) fn rename(title: &str) -> TaskCommand {
    TaskCommand::Rename(RenameTask {
        title: title.into(),
    })
}

pub(super) fn describe(description: Option<&str>) -> TaskCommand {
    TaskCommand::Describe(DescribeTask {
        description: description.map(str::to_owned),
    })
}

pub(super) fn set_priority(priority: Priority) -> TaskCommand {
    TaskCommand::SetPriority(SetPriority { priority })
}

pub(super) fn estimate(estimated_hours: Option<Hours>) -> TaskCommand {
    TaskCommand::Estimate(EstimateTask { estimated_hours })
}

pub(super) fn set_due_date(due_date: Option<NaiveDate>) -> TaskCommand {
    TaskCommand::SetDueDate(SetDueDate { due_date })
}

pub(super) fn set_key(key: Option<&str>) -> TaskCommand {
    TaskCommand::SetKey(SetKey {
        key: key.map(str::to_owned),
    })
}

pub(super) fn assign(n: u128) -> TaskCommand {
    TaskCommand::Assign(AssignTask { assignee_id: id(n) })
}

pub(super) fn unassign() -> TaskCommand {
    TaskCommand::Unassign(UnassignTask {})
}

pub(super) fn add_label(label: &str) -> TaskCommand {
    TaskCommand::AddLabel(AddLabel {
        label: label.into(),
    })
}

pub(super) fn remove_label(label: &str) -> TaskCommand {
    TaskCommand::RemoveLabel(RemoveLabel {
        label: label.into(),
    })
}

pub(super) fn note(name: &str, value: Value) -> TaskCommand {
    TaskCommand::SetMetadata(SetMetadata {
        name: name.into(),
        value,
    })
}

pub(super) fn remove_note(name: &str) -> TaskCommand {
    TaskCommand::RemoveMetadata(RemoveMetadata { name: name.into() })
}

pub(super) fn comment(n: u128, text: &str) -> TaskCommand {
    TaskCommand::AddComment(AddComment {
        comment_id: id(n),
        text: text.into(),
    })
}

pub(super) fn start() -> TaskCommand {
    TaskCommand::Start(StartTask {})
}

pub(super) fn block(reason: &str) -> TaskCommand {
    TaskCommand::Block(BlockTask {
        reason: reason.into(),
    })
}

pub(super) fn unblock() -> TaskCommand {
    TaskCommand::Unblock(UnblockTask {})
}

pub(super) fn add_step(n: u128, content: &str) -> TaskCommand {
    TaskCommand::AddStep(AddStep {
        step_id: id(n),
        content: content.into(),
    })
}

pub(super) fn complete_step(n: u128) -> TaskCommand {
    TaskCommand::CompleteStep(CompleteStep { step_id: id(n) })
}

pub(super) fn remove_step(n: u128) -> TaskCommand {
    TaskCommand::RemoveStep(RemoveStep { step_id: id(n) })
}

pub(super) fn complete(actual_hours: Option<Hours>) -> TaskCommand {
    TaskCommand::Complete(CompleteTask { actual_hours })
}

pub(super) fn reopen() -> TaskCommand {
    reopen_because("why")
}

pub(super) fn reopen_because(reason: &str) -> TaskCommand {
    TaskCommand::Reopen(ReopenTask {
        reason: reason.into(),
    })
}

pub(super) fn cancel() -> TaskCommand {
    cancel_because("why")
}

pub(super) fn cancel_because(reason: &str) -> TaskCommand {
    TaskCommand::Cancel(CancelTask {
        reason: reason.into(),
    })
}

pub(super) fn delete() -> TaskCommand {
    TaskCommand::Delete(DeleteTask {})
}

pub(super) fn restore() -> TaskCommand {
    TaskCommand::Restore(RestoreTask {})
}

pub(super) fn move_to(n: u128) -> TaskCommand {
    TaskCommand::Move(MoveTask { project_id: id(n) })
}

pub(super) fn request_review() -> TaskCommand {
    TaskCommand::RequestAiReview(RequestAiReview {})
}

pub(super) fn review(status: ReviewStatus, summary: Option<&str>) -> TaskCommand {
    TaskCommand::RecordAiReview(RecordAiReview {
        status,
        summary: summary.map(str::to_owned),
    })
}

pub(super) fn note_due_day_passed(today: NaiveDate) -> TaskCommand {
    TaskCommand::NoteDueDayPassed(NoteDueDayPassed { today })
}

pub(super) fn suggest_completion() -> TaskCommand {
    TaskCommand::SuggestCompletion(SuggestCompletion {})
}
