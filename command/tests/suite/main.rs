//! The rules of the write side, over a real Postgres and real HTTP.
#![expect(
    clippy::disallowed_methods,
    reason = "tests are an edge: ids and times enter with them"
)]

mod bad_input;
mod bodies;
mod description;
mod every;
mod freshness;
mod idempotency;
mod keys;
mod many;
mod old_guards;
mod outage;
mod races;
mod service;
mod snapshots;
mod story;
mod thread;
mod what_if;
mod worker;
