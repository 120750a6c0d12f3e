//! What can have happened to projects and tasks.
//!
//! Every event is a struct (its fields are the payload's JSON, in camel case) and a variant of its aggregate's enum:
//! [`ProjectEvent`], [`TaskEvent`], and [`KeyEvent`] for the reservation of a task's key. Times are not in here: when it
//! happened is the envelope's `occurredAt`.

mod key;
mod project;
mod task;

pub use key::{KeyEvent, TaskKeyReleased, TaskKeyReserved};
pub use project::{
    ProjectArchived, ProjectCreated, ProjectDescribed, ProjectEvent, ProjectRenamed,
    ProjectRestored,
};
pub use task::{
    ResumedStatus, ReviewStatus, TaskAiReviewRecorded, TaskAiReviewRequested, TaskAssigned,
    TaskBlocked, TaskCancelled, TaskCommentAdded, TaskCompleted, TaskCreated, TaskDeleted,
    TaskDescribed, TaskDueDateSet, TaskEstimated, TaskEvent, TaskKeySet, TaskLabelAdded,
    TaskLabelRemoved, TaskMetadataRemoved, TaskMetadataSet, TaskMoved, TaskPrioritySet,
    TaskRenamed, TaskReopened, TaskRestored, TaskStarted, TaskStepAdded, TaskStepCompleted,
    TaskStepRemoved, TaskUnassigned, TaskUnblocked,
};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Example;

/// The stream of a project's events.
pub fn project_stream(id: Uuid) -> String {
    format!("project-{id}")
}

/// The stream of a task's events.
pub fn task_stream(id: Uuid) -> String {
    format!("task-{id}")
}

/// The stream that says who holds a key; the key itself is hidden in the id, a keyed hash of it.
pub fn key_stream(id: Uuid) -> String {
    format!("taskkey-{id}")
}

/// The tag of every event that concerns a project, in whichever stream it lies.
pub fn project_tag(id: Uuid) -> String {
    format!("project:{id}")
}

/// How urgent a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    Low,
    Medium,
    High,
    Critical,
}

/// Free-form facts about a task: names to strings, numbers or booleans.
pub type Metadata = BTreeMap<String, serde_json::Value>;

/// Under it lie the marks.
const MARKS: Uuid = Uuid::from_u128(0x4d3f_51a0_2f0b_4f7e_9a36_3c1b_7e55_0a11);

/// What stands for a label where equality is all that may be asked (UUID version 5).
pub fn label_mark(label: &str) -> Uuid {
    Uuid::new_v5(&MARKS, format!("label/{label}").as_bytes())
}

/// The same of a free-form fact. Numbers that are equal have one mark, however they are spelled.
pub fn metadata_mark(name: &str, value: &serde_json::Value) -> Uuid {
    let value = match value.as_f64() {
        Some(number) => format!("number/{number}"),
        None => value.to_string(),
    };
    // The name's length keeps it apart from the value, whatever characters they have.
    let mark = format!("metadata/{}/{name}/{value}", name.len());
    Uuid::new_v5(&MARKS, mark.as_bytes())
}

/// One example of every event type of this context.
pub fn examples() -> Vec<Example> {
    [project::examples(), task::examples(), key::examples()].concat()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn equal_facts_have_one_mark_and_others_another() {
        let mark = |name, value| metadata_mark(name, &value);
        assert_eq!(mark("a", json!(1)), mark("a", json!(1.0)));
        for (name, value) in [
            ("a", json!("1")),
            ("a", json!(true)),
            ("a/1", json!(1)),
            ("b", json!(1)),
        ] {
            assert_ne!(
                mark("a", json!(1)),
                mark(name, value.clone()),
                "{name} {value}"
            );
        }
        assert_ne!(label_mark("a"), label_mark("b"));
    }
}
