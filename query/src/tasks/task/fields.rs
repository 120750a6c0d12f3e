//! What of a task is compared between its versions: every field but those that name the task, that move with every event, and
//! that lead elsewhere. `every_field_is_compared_or_left_out_for_a_reason` in `query/tests/suite/changes.rs` lists these.

use async_graphql::{Name, Value, indexmap::IndexMap};
use foldline_events::{Hours, tasks::task_stream};
use uuid::Uuid;

use super::{COLUMNS, Step, Task};
use crate::{
    changes::{Field, Made, Versioned, may_be, said},
    tasks::history::EntryOfTask,
};

impl Versioned for Task {
    const COLUMNS: &'static str = COLUMNS;
    const VIEW: &'static str = "task_view";
    const VERSIONS: &'static str = "task_version";
    const ID: &'static str = "task_id";
    const FIELDS: &'static [Field<Self>] = &[
        ("projectId", |task| said(&task.project_id)),
        ("key", |task| may_be(task.key.as_ref())),
        ("title", |task| said(&task.title)),
        ("description", |task| may_be(task.description.as_ref())),
        ("priority", |task| Value::from(task.priority)),
        ("status", |task| Value::from(task.status)),
        ("blockedReason", |task| may_be(task.blocked_reason.as_ref())),
        ("dueDate", |task| may_be(task.due_date.as_ref())),
        ("assigneeId", |task| may_be(task.assignee_id.as_ref())),
        ("labels", |task| task.labels.iter().map(said).collect()),
        ("stepsTotal", |task| Value::from(task.steps_total)),
        ("stepsCompleted", |task| Value::from(task.steps_completed)),
        ("commentsTotal", |task| Value::from(task.comments_total)),
        ("createdBy", |task| said(&task.created_by)),
        ("createdAt", |task| said(&task.created_at)),
        ("startedAt", |task| may_be(task.started_at.as_ref())),
        ("blockedAt", |task| may_be(task.blocked_at.as_ref())),
        ("completedAt", |task| may_be(task.completed_at.as_ref())),
        ("cancelledAt", |task| may_be(task.cancelled_at.as_ref())),
        ("deletedAt", |task| may_be(task.deleted_at.as_ref())),
        ("estimatedHours", |task| hours(task.estimated_hundredths)),
        ("actualHours", |task| hours(task.actual_hundredths)),
        ("metadata", metadata),
        ("steps", |task| task.steps.0.iter().map(step).collect()),
        ("aiReview", review),
    ];

    fn stream(id: Uuid) -> String {
        task_stream(id)
    }

    fn made(&self) -> Made {
        Made {
            version: self.version,
            position: self.position,
            at: self.updated_at,
            entry: Some(EntryOfTask {
                task: self.task_id,
                version: self.version,
            }),
        }
    }
}

fn hours(hundredths: Option<i64>) -> Value {
    let hours = hundredths.map(|hundredths| Hours::from_hundredths(hundredths).as_number());
    may_be(hours.as_ref())
}

fn metadata(task: &Task) -> Value {
    Value::from_json(task.metadata.0.clone()).expect("JSON without raw values is a GraphQL value")
}

fn step(step: &Step) -> Value {
    object([
        ("stepId", said(&step.step_id)),
        ("content", said(&step.content)),
        ("completedAt", may_be(step.completed_at.as_ref())),
    ])
}

fn review(task: &Task) -> Value {
    object([
        ("needed", Value::from(task.review_needed)),
        ("status", Value::from(task.review_status)),
        ("at", may_be(task.review_at.as_ref())),
        ("summary", may_be(task.review_summary.as_ref())),
    ])
}

fn object<const FIELDS: usize>(fields: [(&str, Value); FIELDS]) -> Value {
    let fields = fields.map(|(name, value)| (Name::new(name), value));
    Value::Object(IndexMap::from_iter(fields))
}
