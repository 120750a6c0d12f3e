//! Whether the views agree with each other, and one number for all that a view holds.
//!
//! Each view is folded by itself, so they can be held against each other: every figure of a dashboard is counted anew
//! from the tasks ([`Check`]), and the rows of a view add up to a [`Digest`] that another database must have too. Both
//! read one snapshot, in which the views stand at the same places ([`Snapshot`]); nothing is written, and nothing of
//! the log is read. What is compared is in the SQL files beside this one; read `verify/checks.rs` next.

mod checks;
mod digest;
mod marks;
mod standing;

pub use checks::{Check, Difference, Outcome};
pub use digest::{Content, Digest};
pub use standing::{Need, Snapshot, Standing};

use foldline_events::Position;

use crate::View;

/// How many differences of a check are shown.
pub const DIFFERENCES_MAX: usize = 10;
/// How much of each side of a difference is shown, in characters.
pub const SHOWN_CHARS_MAX: usize = 200;

/// Why nothing can be said about the views.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the view database was not prepared for this build, or not for the role foldline_projector; run `foldline \
         migrate` first"
    )]
    NotMigrated(#[source] sqlx::Error),
    #[error("{view} is not in this view database; run `foldline migrate` first")]
    NoView { view: View },
    #[error("cannot read the views' checkpoints")]
    Checkpoints(#[source] sqlx::Error),
    #[error("cannot read which streams are parked")]
    Parked(#[source] sqlx::Error),
    #[error(
        "the views are folded up to position {completed} only, so nothing can be said as of {position}; wait, or look further back"
    )]
    NotYet {
        position: Position,
        completed: Position,
    },
    #[error(
        "rows of the past are kept from position {kept} on, so nothing can be said as of {position}; look less far back"
    )]
    NotKept { position: Position, kept: Position },
    #[error("cannot look back to position {position}")]
    LookBack {
        position: Position,
        #[source]
        source: sqlx::Error,
    },
    #[error("cannot carry out the check {check}")]
    Check {
        check: Check,
        #[source]
        source: sqlx::Error,
    },
    #[error("cannot digest the rows of {view}")]
    Digest {
        view: View,
        #[source]
        source: sqlx::Error,
    },
    #[error("the metadata of task {task} cannot be read")]
    Metadata {
        task: String,
        #[source]
        source: serde_json::Error,
    },
    /// Their figures are of different moments, so they may differ without being wrong.
    #[error("the views were not folded to the same place within {waited_ms} ms: {why}")]
    Apart { waited_ms: u64, why: String },
}
