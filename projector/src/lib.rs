//! The read-model writers: fold the log's events into the tables of views, each exactly once in effect.
//!
//! This crate owns the views' tables and their checkpoints. It must not know who reads them, nor decide anything: what
//! an event means for a row is all there is. Each context has a module ([`tasks`]) with its views and, beside each
//! projection, its DDL; what several contexts add up to stands in [`dashboards`]. Read [`writer`] next: it keeps the
//! promise that rows and checkpoints move together; then [`runtime`], which feeds it.
//!
//! Every row belongs to one partition, so that partitions can be folded apart, in any process and any batches.

mod again;
mod announce;
mod building;
pub mod builds;
pub mod checkpoint;
pub mod dashboards;
mod difference;
mod error;
pub mod health;
mod install;
mod keys;
mod lag;
mod late;
mod leases;
pub mod parking;
mod proof;
pub mod rebuilds;
mod records;
mod retention;
pub mod runtime;
pub mod tasks;
mod times;
pub mod verify;
mod view;
pub mod writer;

pub use building::{Differences, Progress, Rebuild, Rebuilt, Stage};
pub use builds::{Build, Builds};
pub use difference::RowDifference;
pub use error::Error;
pub use health::{Health, Stall, Status};
pub use install::install;
pub use parking::Parked;
pub use proof::{Differing, Proof};
pub use retention::Retention;
pub use runtime::{Projector, ProjectorOptions};
pub use view::{Ddl, Folded, View};
pub use writer::{Applied, Poison, Writer};

/// The notification channel, in the view database, that says "rows may have moved".
pub const CHANNEL: &str = "foldline_views";
