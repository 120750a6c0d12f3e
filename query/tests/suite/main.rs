//! The query service over a real Postgres, spoken to as clients speak to it.

mod commands;
mod consistency;
mod end_to_end;
mod live;
mod reads;
mod schema;
mod support;
mod tenants;
mod transport;
mod ws;
