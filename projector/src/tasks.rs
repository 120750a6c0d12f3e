//! The views of projects and tasks: one row each, as the events of its stream leave it.
//!
//! Rows take their times from `occurred_at`. `task_view` and `project_view` each stand beside their DDL.

pub(crate) mod project_view;
pub(crate) mod task_view;

use foldline_events::Version;

use crate::{Error, Folded};

/// Refuses an event that does not follow the one that its row was last folded from: the log lost or doubled something.
fn must_follow(folded: &Folded<'_>, row_version: Version) -> Result<(), Error> {
    let version = folded.recorded.version;
    if version == row_version + 1 {
        return Ok(());
    }
    Err(folded.unfoldable(format!(
        "it is version {version} of {}, whose row is at version {row_version}",
        folded.recorded.stream
    )))
}
