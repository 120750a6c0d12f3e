//! Any state of any context, for whoever folds streams without knowing whose they are.

use foldline_events::Event;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    Decider,
    tasks::{Project, Task, holder_after},
};

/// What the events of a stream make. Written down, it is the aggregate's own state.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum State {
    Project(Project),
    Task(Box<Task>),
    /// Who has a task's key.
    #[serde(rename_all = "camelCase")]
    TaskKey {
        holder: Option<Uuid>,
    },
}

impl State {
    /// The state of a stream after one more of its events. One of another aggregate, which no stream of ours has, leaves it as
    /// it was.
    pub fn evolve(state: Option<Self>, event: &Event) -> Option<Self> {
        match (event, state) {
            (Event::Project(event), None) => Project::evolve(None, event).map(Self::Project),
            (Event::Project(event), Some(Self::Project(project))) => {
                Project::evolve(Some(project), event).map(Self::Project)
            }
            (Event::Task(event), None) => Task::evolve(None, event).map(Box::new).map(Self::Task),
            (Event::Task(event), Some(Self::Task(task))) => Task::evolve(Some(*task), event)
                .map(Box::new)
                .map(Self::Task),
            (Event::TaskKey(_), None) => Some(Self::TaskKey {
                holder: holder_after(None, event),
            }),
            (Event::TaskKey(_), Some(Self::TaskKey { holder })) => Some(Self::TaskKey {
                holder: holder_after(holder, event),
            }),
            (Event::Project(_), state @ Some(Self::Task(_) | Self::TaskKey { .. }))
            | (Event::Task(_), state @ Some(Self::Project(_) | Self::TaskKey { .. }))
            | (Event::TaskKey(_), state @ Some(Self::Project(_) | Self::Task(_))) => state,
        }
    }

    /// Roughly how much memory it holds: caches are bounded by it.
    pub fn size_bytes(&self) -> usize {
        match self {
            Self::Project(project) => project.size_bytes(),
            Self::Task(task) => task.size_bytes(),
            Self::TaskKey { .. } => size_of::<Self>(),
        }
    }
}
