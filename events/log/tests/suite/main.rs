//! The log's rules, over a real Postgres and a real Kafka.

mod append;
mod guards;
mod idempotency;
mod kafka;
mod reading;
mod rights;
mod store;
mod tailing;
