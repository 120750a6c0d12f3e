//! What can have happened to a project.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::project_tag;
use crate::{DecodeError, Encoded, Example, Payload, payload::Written};

#[derive(Debug, Clone, PartialEq)]
pub enum ProjectEvent {
    Created(ProjectCreated),
    Renamed(ProjectRenamed),
    Described(ProjectDescribed),
    Archived(ProjectArchived),
    Restored(ProjectRestored),
}

/// A project came into being.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProjectCreated {
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A project got another name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProjectRenamed {
    pub name: String,
}

/// What a project is about was written anew, or taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProjectDescribed {
    /// Absent: it has none any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A project was closed to new tasks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProjectArchived {}

/// An archived project was opened again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProjectRestored {}

impl Payload for ProjectCreated {
    const EVENT_TYPE: &'static str = "tasks.ProjectCreated";
}

impl Payload for ProjectRenamed {
    const EVENT_TYPE: &'static str = "tasks.ProjectRenamed";
}

impl Payload for ProjectDescribed {
    const EVENT_TYPE: &'static str = "tasks.ProjectDescribed";
}

impl Payload for ProjectArchived {
    const EVENT_TYPE: &'static str = "tasks.ProjectArchived";
}

impl Payload for ProjectRestored {
    const EVENT_TYPE: &'static str = "tasks.ProjectRestored";
}

impl ProjectEvent {
    pub(crate) fn encode(&self, project: Uuid) -> Encoded {
        let tags = vec![project_tag(project)];
        match self {
            Self::Created(event) => event.encoded(tags),
            Self::Renamed(event) => event.encoded(tags),
            Self::Described(event) => event.encoded(tags),
            Self::Archived(event) => event.encoded(tags),
            Self::Restored(event) => event.encoded(tags),
        }
    }

    /// `None` for a type that is none of these.
    pub(crate) fn decode(from: &Written<'_>) -> Result<Option<Self>, DecodeError> {
        Ok(Some(match from.event_type {
            ProjectCreated::EVENT_TYPE => Self::Created(from.read()?),
            ProjectRenamed::EVENT_TYPE => Self::Renamed(from.read()?),
            ProjectDescribed::EVENT_TYPE => Self::Described(from.read()?),
            ProjectArchived::EVENT_TYPE => Self::Archived(from.read()?),
            ProjectRestored::EVENT_TYPE => Self::Restored(from.read()?),
            _ => return Ok(None),
        }))
    }
}

pub(super) fn examples() -> Vec<Example> {
    vec![
        Example::of(&ProjectCreated {
            name: "Apollo".to_owned(),
            description: Some("To the moon and back".to_owned()),
        }),
        Example::of(&ProjectRenamed {
            name: "Apollo 11".to_owned(),
        }),
        Example::of(&ProjectDescribed {
            description: Some("To the moon and back within the decade".to_owned()),
        }),
        Example::of(&ProjectArchived {}),
        Example::of(&ProjectRestored {}),
    ]
}
