//! The rules of the write side, over a real Postgres and real HTTP.
#![expect(
    clippy::disallowed_methods,
    reason = "tests are an edge: ids and times enter with them"
)]

mod bad_input;
mod description;
mod freshness;
mod idempotency;
mod many;
mod outage;
mod races;
mod service;
mod thread;
