//! The projector over a real Postgres, each test in a database of its own. Files are named after what they hold fast.

mod builds;
mod dashboards;
mod deliveries;
mod history;
mod late_indexes;
mod leases;
mod log;
mod ownership;
mod parking;
mod proof;
mod rebuilds;
mod retention;
mod rows;
mod seeded;
mod support;
mod tenants;
