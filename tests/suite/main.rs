//! Tests of the whole: the real binary as processes, over a real Postgres and a real Kafka.
//!
//! [`processes`] starts and ends them, [`client`] talks to them, [`stored`] reads what they left behind, [`checks`]
//! judges it. The other modules are the tests.

mod broker;
mod builds;
mod changes;
mod checks;
mod client;
mod demo;
mod faults;
mod flapping;
mod import;
mod import_faults;
mod import_ways;
mod layout;
mod lists;
mod load;
mod migrate;
mod months;
mod one_command;
mod parked;
mod processes;
mod projectors;
mod rebuild;
mod recount;
mod relays;
mod replaced;
mod replay;
mod restarted;
mod restore;
mod schema;
mod stale;
mod status;
mod stored;
mod verify;
mod what_if;
mod worker;
