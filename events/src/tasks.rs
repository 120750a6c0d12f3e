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
    TaskBlocked, TaskCancelled, TaskCommentAdded, TaskCompleted, TaskCompletionSuggested,
    TaskCreated, TaskDeleted, TaskDescribed, TaskDueDateSet, TaskDueDayPassed, TaskEstimated,
    TaskEvent, TaskKeySet, TaskLabelAdded, TaskLabelRemoved, TaskMetadataRemoved, TaskMetadataSet,
    TaskMoved, TaskPrioritySet, TaskRenamed, TaskReopened, TaskRestored, TaskStarted,
    TaskStepAdded, TaskStepCompleted, TaskStepRemoved, TaskUnassigned, TaskUnblocked,
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

/// The same of a free-form fact. Numbers that are equal have one mark, however they are spelled, and others another.
pub fn metadata_mark(name: &str, value: &serde_json::Value) -> Uuid {
    let value = match value.as_number() {
        Some(number) => format!("number/{}", spelled(number)),
        None => value.to_string(),
    };
    // The name's length keeps it apart from the value, whatever characters they have.
    let mark = format!("metadata/{}/{name}/{value}", name.len());
    Uuid::new_v5(&MARKS, mark.as_bytes())
}

/// One spelling for each number: a whole one has no fraction and no exponent, as long as it is exact.
fn spelled(number: &serde_json::Number) -> String {
    /// Whole numbers of `f64` up to here are exact in 128 bits.
    const WHOLE_MAX: f64 = 1e30;
    match number.as_f64() {
        Some(float) if !number.is_i64() && !number.is_u64() => {
            let is_whole = float.trunc() == float && float.abs() < WHOLE_MAX;
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole, and far within 128 bits"
            )]
            let whole = || (float as i128).to_string();
            if is_whole { whole() } else { float.to_string() }
        }
        _ => number.to_string(),
    }
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
        assert_eq!(mark("a", json!(0)), mark("a", json!(-0.0)));
        assert_eq!(
            mark("a", json!(1_u64 << 60)),
            mark("a", json!((1_u64 << 60) as f64))
        );
        assert_ne!(
            mark("a", json!(9_007_199_254_740_993_i64)),
            mark("a", json!(9_007_199_254_740_992_i64))
        );
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
