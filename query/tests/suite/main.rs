//! The query service over a real Postgres, spoken to as clients speak to it.

mod changes;
mod commands;
mod consistency;
mod dashboards;
mod end_to_end;
mod filters;
mod history;
mod live;
mod parked;
mod past;
mod reads;
mod schema;
mod snapshot;
mod statements;
mod story;
mod support;
mod tenants;
mod transport;
mod what_if;
mod ws;
