//! The write side: HTTP → who is it, may they → load → decide → guarded append → version and cursor.
//!
//! It owns the HTTP API of commands and the way one command goes; and what follows from events without anybody asking
//! ([`reactions`], [`worker`]). It must not know views, queries or Kafka, nor
//! how the log stores events. Read [`handle`] next: everything else leads to it.

mod aggregate;
mod bulk;
mod digest;
mod failure;
#[cfg(test)]
mod fold;
pub mod handle;
mod http;
mod offline;
mod reactions;
mod snapshots;
mod streams;
mod tasks;
mod turns;
mod what_if;
pub mod wire;
pub mod worker;

pub use bulk::{COMMANDS_CONCURRENT_MAX, COMMANDS_PER_REQUEST_MAX};
pub use failure::Failure;
pub use handle::{Handler, Options, Request, created_id};
pub use http::{BULK_BODY_BYTES_MAX, openapi, router};
pub use offline::{Decided, Offline};
pub use reactions::Reaction;
pub use wire::{Accepted, AsOf, Item, Outcome, Verdict, Verdicts, WhatIf, WhatIfVerdict, Would};
