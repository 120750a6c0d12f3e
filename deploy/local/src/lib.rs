//! Servers on this machine: a PostgreSQL and an Apache Kafka that Foldline starts, watches and stops itself.
//!
//! Owns finding their programs (fetched into the user's cache by `make postgres` and `make kafka`), their data folders,
//! and their processes. It does not know what is kept in them: no SQL client, no Kafka client, no table, no topic.
//!
//! Read next: [`postgres`] for what `foldline up` embeds, [`kafka`] for what `foldline up-kafka` and the tests put in
//! the middle, and `src/bin/foldline-servers.rs` for the throw-away servers of a test run.

mod account;
mod error;
mod folder;
pub mod kafka;
mod places;
mod port;
pub mod postgres;
mod process;

pub use error::Error;
pub use places::{default_data_folder, temporary_folder};
pub use process::Lifetime;
