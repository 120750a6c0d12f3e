//! One example of every event of a task.

use chrono::NaiveDate;
use uuid::Uuid;

use super::{
    ResumedStatus, ReviewStatus, TaskAiReviewRecorded, TaskAiReviewRequested, TaskAssigned,
    TaskBlocked, TaskCancelled, TaskCommentAdded, TaskCompleted, TaskCompletionSuggested,
    TaskCreated, TaskDeleted, TaskDescribed, TaskDueDateSet, TaskDueDayPassed, TaskEstimated,
    TaskKeySet, TaskLabelAdded, TaskLabelRemoved, TaskMetadataRemoved, TaskMetadataSet, TaskMoved,
    TaskPrioritySet, TaskRenamed, TaskReopened, TaskRestored, TaskStarted, TaskStepAdded,
    TaskStepCompleted, TaskStepRemoved, TaskUnassigned, TaskUnblocked,
};
use crate::{
    Example, Hours,
    tasks::{Metadata, Priority},
};

pub(in crate::tasks) fn examples() -> Vec<Example> {
    let id = |n: u128| Uuid::from_u128(0x0198_c0de_0000_7000_8000_0000_0000_0000 + n);
    let text = |text: &str| text.to_owned();
    let (hours, day) = (
        Hours::from_hundredths(250),
        NaiveDate::from_ymd_opt(2026, 3, 1),
    );
    vec![
        Example::of(&TaskCreated {
            project_id: id(1),
            title: text("Build the lander"),
            description: Some(text("It must carry two people")),
            priority: Priority::High,
            estimated_hours: Some(hours),
            due_date: day,
            key: Some(text("LM-5")),
            metadata: Metadata::from([(text("crew"), 2.into())]),
        }),
        Example::of(&TaskRenamed {
            title: text("Build and test the lander"),
        }),
        Example::of(&TaskDescribed {
            description: Some(text("It must carry two people and 20 kg of stone")),
        }),
        Example::of(&TaskPrioritySet {
            priority: Priority::Critical,
        }),
        Example::of(&TaskEstimated {
            estimated_hours: Some(hours),
        }),
        Example::of(&TaskDueDateSet { due_date: day }),
        Example::of(&TaskKeySet {
            key: Some(text("LM-6")),
        }),
        Example::of(&TaskAssigned { assignee_id: id(2) }),
        Example::of(&TaskUnassigned {}),
        Example::of(&TaskLabelAdded {
            label: text("hardware"),
        }),
        Example::of(&TaskLabelRemoved {
            label: text("hardware"),
        }),
        Example::of(&TaskMetadataSet {
            name: text("crew"),
            value: 3.into(),
        }),
        Example::of(&TaskMetadataRemoved { name: text("crew") }),
        Example::of(&TaskCommentAdded {
            comment_id: id(3),
            text: text("The legs must fold"),
        }),
        Example::of(&TaskStarted {}),
        Example::of(&TaskBlocked {
            reason: text("No titanium"),
        }),
        Example::of(&TaskUnblocked {
            status: ResumedStatus::InProgress,
        }),
        Example::of(&TaskStepAdded {
            step_id: id(4),
            content: text("Draw the legs"),
        }),
        Example::of(&TaskStepCompleted { step_id: id(4) }),
        Example::of(&TaskStepRemoved { step_id: id(4) }),
        Example::of(&TaskCompleted {
            actual_hours: Some(hours),
        }),
        Example::of(&TaskReopened {
            reason: text("A leg broke"),
        }),
        Example::of(&TaskCancelled {
            reason: text("Others were faster"),
        }),
        Example::of(&TaskDeleted {}),
        Example::of(&TaskRestored {}),
        Example::of(&TaskMoved {
            from_project_id: id(1),
            project_id: id(5),
        }),
        Example::of(&TaskAiReviewRequested {}),
        Example::of(&TaskAiReviewRecorded {
            status: ReviewStatus::ChangesWanted,
            summary: Some(text("The legs do not fold")),
        }),
        Example::of(&TaskDueDayPassed {
            due_date: NaiveDate::from_ymd_opt(2026, 3, 1).unwrap_or_default(),
        }),
        Example::of(&TaskCompletionSuggested {}),
    ]
}
