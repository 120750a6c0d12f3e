//! The read side: GraphQL over the views, live and never staler than asked.
//!
//! It owns the GraphQL schema, its transports, and how rows are read as one tenant. It must not know how views are folded or
//! how the log stores anything; only a history reads events' payloads, to put them into words. It cannot append, so
//! mutations go through [`Commands`]. Read `schema` next for what clients see, then `progress` for how an answer knows
//! where it stands.

// A resolver is a future within the futures that the GraphQL library makes of its fields, and an optimised build looks into all of
// them: more than the compiler's 128 levels.
#![recursion_limit = "256"]

mod ask;
mod changes;
mod commands;
mod dashboards;
mod error;
mod http;
mod moment;
mod node;
mod page;
mod parked;
#[cfg(test)]
mod plans;
mod progress;
mod projection;
mod read;
mod scalars;
mod schema;
mod state;
mod tasks;
mod what_if;

pub use commands::Commands;
pub use error::Error;
pub use http::{OPERATIONS_PER_CONNECTION_MAX, router};
pub use page::{PAGE_ROWS_DEFAULT, PAGE_ROWS_MAX};
pub use progress::{POLL_INTERVAL_MS, Wakes};
pub use schema::{ALIASES_MAX, COMPLEXITY_MAX, DEPTH_MAX, sdl};
pub use state::{Limits, QueryOptions, QueryState, ROLE, as_reader};
