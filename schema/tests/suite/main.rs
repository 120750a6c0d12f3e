//! The contracts that others read: the JSON Schema of every event type, and what may change in it.

mod compatibility;
mod goldens;
mod revisions;
