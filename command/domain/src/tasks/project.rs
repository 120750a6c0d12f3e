//! A project: it has a name and a description, takes tasks, and can be archived.

use foldline_events::{
    Event,
    tasks::{
        ProjectArchived, ProjectCreated, ProjectDescribed, ProjectEvent, ProjectRenamed,
        ProjectRestored,
    },
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    Rejection, canonical,
    limits::{DESCRIPTION_CHARS_MAX, NAME_CHARS_MAX, check_optional_text, check_text},
};
use crate::Decider;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProjectCommand {
    Create(CreateProject),
    Rename(RenameProject),
    Describe(DescribeProject),
    Archive(ArchiveProject),
    Restore(RestoreProject),
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct CreateProject {
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 10000)]
    pub description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RenameProject {
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DescribeProject {
    /// What it is about; null takes the description away.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(min_length = 1, max_length = 10000, required)]
    pub description: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveProject {}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreProject {}

/// What decisions need of a project.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Project {
    name: String,
    description: Option<String>,
    archived: bool,
}

impl Project {
    pub fn archived(&self) -> bool {
        self.archived
    }

    /// Roughly how much memory it holds: caches are bounded by it.
    pub fn size_bytes(&self) -> usize {
        size_of::<Self>() + self.name.len() + self.description.as_ref().map_or(0, String::len)
    }
}

impl ProjectCommand {
    pub fn context_type(&self) -> &'static str {
        match self {
            Self::Create(_) => "tasks.create_project",
            Self::Rename(_) => "tasks.rename_project",
            Self::Describe(_) => "tasks.describe_project",
            Self::Archive(_) => "tasks.archive_project",
            Self::Restore(_) => "tasks.restore_project",
        }
    }

    pub(crate) fn canonical_data(&self) -> String {
        match self {
            Self::Create(data) => canonical(data),
            Self::Rename(data) => canonical(data),
            Self::Describe(data) => canonical(data),
            Self::Archive(data) => canonical(data),
            Self::Restore(data) => canonical(data),
        }
    }
}

impl Decider for Project {
    type Command = ProjectCommand;
    type Facts = ();
    type Event = ProjectEvent;
    type Rejection = Rejection;

    fn evolve(state: Option<Self>, event: &ProjectEvent) -> Option<Self> {
        if let ProjectEvent::Created(event) = event {
            return Some(state.unwrap_or_else(|| Self {
                name: event.name.clone(),
                description: event.description.clone(),
                archived: false,
            }));
        }
        let mut project = state?;
        match event {
            ProjectEvent::Created(_) => {} // Seen above: the one event that needs no project to happen to.
            ProjectEvent::Renamed(event) => project.name.clone_from(&event.name),
            ProjectEvent::Described(event) => project.description.clone_from(&event.description),
            ProjectEvent::Archived(ProjectArchived {}) => project.archived = true,
            ProjectEvent::Restored(ProjectRestored {}) => project.archived = false,
        }
        Some(project)
    }

    fn decide(
        state: Option<&Self>,
        (): &(),
        command: ProjectCommand,
    ) -> Result<Vec<ProjectEvent>, Rejection> {
        check(&command)?;
        let project = || state.ok_or(Rejection::UnknownProject);
        match command {
            ProjectCommand::Create(CreateProject { name, description }) => match state {
                Some(_) => Err(Rejection::ProjectExists),
                None => Ok(vec![ProjectEvent::Created(ProjectCreated {
                    name,
                    description,
                })]),
            },
            ProjectCommand::Rename(RenameProject { name }) => match project()?.open()? {
                project if project.name == name => Ok(vec![]),
                _ => Ok(vec![ProjectEvent::Renamed(ProjectRenamed { name })]),
            },
            ProjectCommand::Describe(DescribeProject { description }) => {
                match project()?.open()? {
                    project if project.description == description => Ok(vec![]),
                    _ => Ok(vec![ProjectEvent::Described(ProjectDescribed {
                        description,
                    })]),
                }
            }
            ProjectCommand::Archive(ArchiveProject {}) => match project()?.archived {
                true => Ok(vec![]),
                false => Ok(vec![ProjectEvent::Archived(ProjectArchived {})]),
            },
            ProjectCommand::Restore(RestoreProject {}) => match project()?.archived {
                true => Ok(vec![ProjectEvent::Restored(ProjectRestored {})]),
                false => Ok(vec![]),
            },
        }
    }

    fn widen(event: ProjectEvent) -> Event {
        Event::Project(event)
    }

    fn narrow(event: Event) -> Option<ProjectEvent> {
        match event {
            Event::Project(event) => Some(event),
            Event::Task(_) | Event::TaskKey(_) => None,
        }
    }
}

/// What is wrong with the command whatever the project is like.
fn check(command: &ProjectCommand) -> Result<(), Rejection> {
    let description = |text: &Option<String>| {
        check_optional_text("description", text.as_deref(), DESCRIPTION_CHARS_MAX)
    };
    match command {
        ProjectCommand::Create(command) => {
            check_text("name", &command.name, NAME_CHARS_MAX)?;
            description(&command.description)
        }
        ProjectCommand::Rename(command) => check_text("name", &command.name, NAME_CHARS_MAX),
        ProjectCommand::Describe(command) => description(&command.description),
        ProjectCommand::Archive(_) | ProjectCommand::Restore(_) => Ok(()),
    }
}

impl Project {
    /// An archived project stays as it was.
    fn open(&self) -> Result<&Self, Rejection> {
        match self.archived {
            true => Err(Rejection::ProjectArchived),
            false => Ok(self),
        }
    }
}
