//! Faults under load: the server stopped hard, its disk full, its connections taken, answers cut off, processes stopped,
//! transactions left open. Whatever happens, the same must hold of what was asked, what was answered and what is in the
//! log: [`check`] says it, and is itself seen to complain, of histories made up and of logs that have a known bug.

mod check;
mod checked;
mod connections;
mod cut;
#[cfg(target_os = "linux")]
mod disk_full;
mod dropped_guards;
mod load;
mod long_transaction;
mod proxy;
mod server;
mod stopped_hard;
mod stopped_processes;

use std::time::Duration;

use foldline_log::{Log, Service};
use foldline_schema::testing::TestDatabase;

use crate::store::{open, owner};
use check::{complaints, disagreements};
use load::{Load, Sent};

/// For whatever has to come right again: recovery on a loaded machine, not speed.
pub const PATIENCE: Duration = Duration::from_secs(120);

fn is_soak() -> bool {
    std::env::var_os("FOLDLINE_SOAK").is_some()
}

/// Ends a load, has everything answered, and says what is wrong; with it, how often each answer was given.
async fn settle(database: &TestDatabase, load: Load) -> (Vec<String>, Vec<Sent>) {
    let reader = open(database, Service::Command).await;
    let (sent, before) = load.finish(&reader).await;
    let log = whole(&reader).await;
    let mut complaints = complaints(&sent, &before, &log, reader.epoch());
    complaints.extend(disagreements(&mut owner(database).await).await);
    eprintln!("{}; {} events", load::tally(&sent), log.len());
    (complaints, sent)
}

/// All events; asks again while connections are broken.
async fn whole(log: &Log) -> Vec<foldline_events::Recorded> {
    let began = tokio::time::Instant::now();
    loop {
        match log.read(0, usize::MAX).await {
            Ok(events) => return events,
            Err(error) => assert!(began.elapsed() < PATIENCE, "cannot read: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Asks again until it is so.
async fn until(what: &str, ask: impl AsyncFn() -> bool) {
    let began = tokio::time::Instant::now();
    while !ask().await {
        assert!(began.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
