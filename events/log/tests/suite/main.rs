//! The log's rules, over a real Postgres and a real Kafka. What is the same for the log in memory is said of `both`.

#![expect(
    clippy::disallowed_methods,
    reason = "tests are an edge: ids and settings enter here"
)]

mod append;
mod boundary;
mod deleted_topic;
mod fairness;
mod faults;
mod guards;
mod held_lock;
mod histories;
mod idempotency;
mod install;
mod kafka;
mod known_bugs;
mod long_events;
mod offline;
mod prepared;
mod reading;
mod replaced;
mod rights;
mod segments;
mod selecting;
mod snapshots;
mod store;
mod tailing;
mod topic;
