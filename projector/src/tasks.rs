//! The views of projects and tasks: one row each, as the events of its stream leave it; and the events themselves.
//!
//! Rows take their times from `occurred_at`. Each view stands beside its DDL.

pub(crate) mod project_view;
pub(crate) mod task_history;
pub(crate) mod task_view;

use foldline_events::{
    Version,
    tasks::{Priority, ResumedStatus},
};

use crate::{Error, Folded};

/// Refuses an event that does not follow the one that its row was last folded from: the log lost or doubled something.
fn must_follow(folded: &Folded<'_>, row_version: Version) -> Result<(), Error> {
    if folded.follows == row_version {
        return Ok(());
    }
    Err(folded.unfoldable(format!(
        "it is version {} of {}, whose row is at version {row_version}",
        folded.recorded.version, folded.recorded.stream
    )))
}

/// Where a task stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "text", rename_all = "snake_case")]
pub(crate) enum Status {
    Open,
    InProgress,
    Blocked,
    Completed,
    Cancelled,
}

impl Status {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::InProgress => "in_progress",
            Self::Blocked => "blocked",
            Self::Completed => "completed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether there is still something to do.
    pub(crate) fn is_closed(self) -> bool {
        match self {
            Self::Open | Self::InProgress | Self::Blocked => false,
            Self::Completed | Self::Cancelled => true,
        }
    }
}

impl From<ResumedStatus> for Status {
    fn from(status: ResumedStatus) -> Self {
        match status {
            ResumedStatus::Open => Self::Open,
            ResumedStatus::InProgress => Self::InProgress,
        }
    }
}

/// As columns hold it.
pub(crate) fn priority_name(priority: Priority) -> &'static str {
    match priority {
        Priority::Low => "low",
        Priority::Medium => "medium",
        Priority::High => "high",
        Priority::Critical => "critical",
    }
}
