//! A project: it has a name, takes tasks, and can be archived.

use foldline_events::{
    Event,
    tasks::{ProjectArchived, ProjectCreated, ProjectEvent, ProjectRenamed},
};
use serde::{Deserialize, Serialize};

use super::{
    Rejection, canonical,
    limits::{NAME_CHARS_MAX, check_text},
};
use crate::Decider;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectCommand {
    Create(CreateProject),
    Rename(RenameProject),
    Archive(ArchiveProject),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateProject {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenameProject {
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ArchiveProject {}

/// What decisions need of a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Project {
    name: String,
    archived: bool,
}

impl Project {
    pub fn archived(&self) -> bool {
        self.archived
    }

    /// Roughly how much memory it holds: caches are bounded by it.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.name.len()
    }
}

impl ProjectCommand {
    pub fn context_type(&self) -> &'static str {
        match self {
            Self::Create(_) => "tasks.create_project",
            Self::Rename(_) => "tasks.rename_project",
            Self::Archive(_) => "tasks.archive_project",
        }
    }

    pub(crate) fn canonical_data(&self) -> String {
        match self {
            Self::Create(data) => canonical(data),
            Self::Rename(data) => canonical(data),
            Self::Archive(data) => canonical(data),
        }
    }
}

impl Decider for Project {
    type Command = ProjectCommand;
    type Facts = ();
    type Event = ProjectEvent;
    type Rejection = Rejection;

    fn evolve(state: Option<Self>, event: &ProjectEvent) -> Option<Self> {
        match event {
            ProjectEvent::Created(event) => Some(state.unwrap_or_else(|| Self {
                name: event.name.clone(),
                archived: false,
            })),
            ProjectEvent::Renamed(event) => state.map(|project| Self {
                name: event.name.clone(),
                ..project
            }),
            ProjectEvent::Archived(ProjectArchived {}) => state.map(|project| Self {
                archived: true,
                ..project
            }),
        }
    }

    fn decide(
        state: Option<&Self>,
        (): &(),
        command: ProjectCommand,
    ) -> Result<Vec<ProjectEvent>, Rejection> {
        match command {
            ProjectCommand::Create(CreateProject { name }) => {
                check_text("name", &name, NAME_CHARS_MAX)?;
                match state {
                    None => Ok(vec![ProjectEvent::Created(ProjectCreated { name })]),
                    Some(_) => Err(Rejection::ProjectExists),
                }
            }
            ProjectCommand::Rename(RenameProject { name }) => {
                check_text("name", &name, NAME_CHARS_MAX)?;
                let project = state.ok_or(Rejection::UnknownProject)?;
                if project.archived {
                    Err(Rejection::ProjectArchived)
                } else if project.name == name {
                    Ok(vec![])
                } else {
                    Ok(vec![ProjectEvent::Renamed(ProjectRenamed { name })])
                }
            }
            ProjectCommand::Archive(ArchiveProject {}) => {
                match state.ok_or(Rejection::UnknownProject)? {
                    Self { archived: true, .. } => Ok(vec![]),
                    Self {
                        archived: false, ..
                    } => Ok(vec![ProjectEvent::Archived(ProjectArchived {})]),
                }
            }
        }
    }

    fn widen(event: ProjectEvent) -> Event {
        Event::Project(event)
    }

    fn narrow(event: Event) -> Option<ProjectEvent> {
        match event {
            Event::Project(event) => Some(event),
            Event::Task(_) => None,
        }
    }
}
