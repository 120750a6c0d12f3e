//! What an accepted command answers.

use async_graphql::{Enum, ID, SimpleObject};
use foldline_command::{Accepted, Outcome};
use uuid::Uuid;

use crate::{node::NodeKind, scalars};

/// What an accepted command did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum CommandOutcome {
    /// It changed something.
    Recorded,
    /// It was done before, under the same command id; this is the first answer again.
    Known,
    /// It was so already; nothing changed.
    Unchanged,
}

/// What a command on a project did.
#[derive(Debug, Clone, SimpleObject)]
pub struct ProjectPayload {
    /// The command's id. Sent again with it, the same command has no further effect.
    command_id: Uuid,
    /// The project's node id.
    id: ID,
    /// The project's plain UUID.
    project_id: Uuid,
    /// The project's version after the command.
    version: scalars::Version,
    /// For `atLeast`: a read with it sees what the command did.
    cursor: String,
    /// Whether anything changed.
    outcome: CommandOutcome,
}

/// What a command on a task did.
#[derive(Debug, Clone, SimpleObject)]
pub struct TaskPayload {
    /// The command's id. Sent again with it, the same command has no further effect.
    command_id: Uuid,
    /// The task's node id.
    id: ID,
    /// The task's plain UUID.
    task_id: Uuid,
    /// The task's version after the command.
    version: scalars::Version,
    /// For `atLeast`: a read with it sees what the command did.
    cursor: String,
    /// Whether anything changed.
    outcome: CommandOutcome,
}

impl From<Outcome> for CommandOutcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Recorded => Self::Recorded,
            Outcome::Known => Self::Known,
            Outcome::Unchanged => Self::Unchanged,
        }
    }
}

impl From<Accepted> for ProjectPayload {
    fn from(accepted: Accepted) -> Self {
        Self {
            command_id: accepted.command_id,
            id: NodeKind::Project.id(accepted.id),
            project_id: accepted.id,
            version: scalars::Version(accepted.version),
            cursor: accepted.cursor.to_string(),
            outcome: accepted.outcome.into(),
        }
    }
}

impl From<Accepted> for TaskPayload {
    fn from(accepted: Accepted) -> Self {
        Self {
            command_id: accepted.command_id,
            id: NodeKind::Task.id(accepted.id),
            task_id: accepted.id,
            version: scalars::Version(accepted.version),
            cursor: accepted.cursor.to_string(),
            outcome: accepted.outcome.into(),
        }
    }
}
