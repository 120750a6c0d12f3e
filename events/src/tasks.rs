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

/// One example of every event type of this context.
pub fn examples() -> Vec<Example> {
    [project::examples(), task::examples(), key::examples()].concat()
}
