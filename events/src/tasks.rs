//! What can have happened to projects and tasks.
//!
//! Every event is a struct (its fields are the payload's JSON, in camel case) and a variant of its aggregate's enum.
//! Times are not in here: when it happened is the envelope's `occurredAt`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use uuid::Uuid;

use crate::{DecodeError, Encoded, Hours};

/// The prefix that event types of projects share, and that no event type of tasks has.
pub(crate) const PROJECT_TYPES: &str = "tasks.Project";

/// The stream of a project's events.
pub fn project_stream(id: Uuid) -> String {
    format!("project-{id}")
}

/// The stream of a task's events.
pub fn task_stream(id: Uuid) -> String {
    format!("task-{id}")
}

/// The tag of every event that concerns a project, in whichever stream it lies.
pub fn project_tag(id: Uuid) -> String {
    format!("project:{id}")
}

/// How urgent a task is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    Low,
    Medium,
    High,
    Critical,
}

/// Free-form facts about a task: names to strings, numbers or booleans.
pub type Metadata = BTreeMap<String, serde_json::Value>;

#[derive(Debug, Clone, PartialEq)]
pub enum ProjectEvent {
    Created(ProjectCreated),
    Renamed(ProjectRenamed),
    Archived(ProjectArchived),
}

/// A project came into being.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectCreated {
    pub name: String,
}

/// A project got another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectRenamed {
    pub name: String,
}

/// A project was closed to new tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ProjectArchived {}

#[derive(Debug, Clone, PartialEq)]
pub enum TaskEvent {
    Created(TaskCreated),
    Assigned(TaskAssigned),
    LabelAdded(TaskLabelAdded),
    Started(TaskStarted),
    StepAdded(TaskStepAdded),
    StepCompleted(TaskStepCompleted),
    Completed(TaskCompleted),
    Reopened(TaskReopened),
    Cancelled(TaskCancelled),
}

/// A task came into being, open, in a project.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskCreated {
    pub project_id: Uuid,
    pub title: String,
    pub priority: Priority,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub estimated_hours: Option<Hours>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// Somebody became responsible for a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskAssigned {
    pub assignee_id: Uuid,
}

/// A task got a label that it did not have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskLabelAdded {
    pub label: String,
}

/// Work on a task began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStarted {}

/// A step to be done was added to a task.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStepAdded {
    pub step_id: Uuid,
    pub content: String,
}

/// A step of a task was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskStepCompleted {
    pub step_id: Uuid,
}

/// A task was done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskCompleted {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_hours: Option<Hours>,
}

/// A completed or cancelled task was taken up again; it is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskReopened {
    pub reason: String,
}

/// A task was given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TaskCancelled {
    pub reason: String,
}

impl ProjectEvent {
    pub(crate) fn encode(&self, project: Uuid) -> Encoded {
        let tags = vec![project_tag(project)];
        match self {
            Self::Created(event) => encoded("tasks.ProjectCreated", event, tags),
            Self::Renamed(event) => encoded("tasks.ProjectRenamed", event, tags),
            Self::Archived(event) => encoded("tasks.ProjectArchived", event, tags),
        }
    }

    /// `None` for a type or schema version that this build does not know.
    pub(crate) fn decode(
        event_type: &str,
        schema_version: i16,
        payload: &str,
    ) -> Result<Option<Self>, DecodeError> {
        let from = Payload {
            event_type,
            schema_version,
            payload,
        };
        Ok(Some(match (event_type, schema_version) {
            ("tasks.ProjectCreated", 1) => Self::Created(from.read()?),
            ("tasks.ProjectRenamed", 1) => Self::Renamed(from.read()?),
            ("tasks.ProjectArchived", 1) => Self::Archived(from.read()?),
            (_, _) => return Ok(None),
        }))
    }
}

impl TaskEvent {
    pub(crate) fn encode(&self) -> Encoded {
        match self {
            Self::Created(event) => encoded(
                "tasks.TaskCreated",
                event,
                vec![project_tag(event.project_id)],
            ),
            Self::Assigned(event) => encoded("tasks.TaskAssigned", event, vec![]),
            Self::LabelAdded(event) => encoded("tasks.TaskLabelAdded", event, vec![]),
            Self::Started(event) => encoded("tasks.TaskStarted", event, vec![]),
            Self::StepAdded(event) => encoded("tasks.TaskStepAdded", event, vec![]),
            Self::StepCompleted(event) => encoded("tasks.TaskStepCompleted", event, vec![]),
            Self::Completed(event) => encoded("tasks.TaskCompleted", event, vec![]),
            Self::Reopened(event) => encoded("tasks.TaskReopened", event, vec![]),
            Self::Cancelled(event) => encoded("tasks.TaskCancelled", event, vec![]),
        }
    }

    /// `None` for a type or schema version that this build does not know.
    pub(crate) fn decode(
        event_type: &str,
        schema_version: i16,
        payload: &str,
    ) -> Result<Option<Self>, DecodeError> {
        let from = Payload {
            event_type,
            schema_version,
            payload,
        };
        Ok(Some(match (event_type, schema_version) {
            ("tasks.TaskCreated", 1) => Self::Created(from.read()?),
            ("tasks.TaskAssigned", 1) => Self::Assigned(from.read()?),
            ("tasks.TaskLabelAdded", 1) => Self::LabelAdded(from.read()?),
            ("tasks.TaskStarted", 1) => Self::Started(from.read()?),
            ("tasks.TaskStepAdded", 1) => Self::StepAdded(from.read()?),
            ("tasks.TaskStepCompleted", 1) => Self::StepCompleted(from.read()?),
            ("tasks.TaskCompleted", 1) => Self::Completed(from.read()?),
            ("tasks.TaskReopened", 1) => Self::Reopened(from.read()?),
            ("tasks.TaskCancelled", 1) => Self::Cancelled(from.read()?),
            (_, _) => return Ok(None),
        }))
    }
}

/// Every present schema version is 1; the first that is not gets an upcaster and a constant of its own.
fn encoded(event_type: &'static str, payload: &impl Serialize, tags: Vec<String>) -> Encoded {
    Encoded {
        event_type,
        schema_version: 1,
        payload: serde_json::to_string(payload)
            .expect("payloads hold text, numbers and maps with text keys, which JSON can write"),
        tags,
    }
}

struct Payload<'a> {
    event_type: &'a str,
    schema_version: i16,
    payload: &'a str,
}

impl Payload<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, DecodeError> {
        serde_json::from_str(self.payload).map_err(|source| DecodeError::Payload {
            event_type: self.event_type.to_owned(),
            schema_version: self.schema_version,
            source,
        })
    }
}
