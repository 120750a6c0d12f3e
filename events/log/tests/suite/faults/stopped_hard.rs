//! The server stopped without warning, again and again, under load.

use std::time::Duration;

use foldline_log::{Error, Service};

use super::{
    Load, is_soak,
    server::{Server, execute},
    settle,
};
use crate::store::{open, owner};

/// How many processes append, as it were: each log has a batcher of its own.
const LOGS: usize = 3;
const APPENDERS: usize = 24;
/// How often a server is stopped that loses something nearly each time.
const STOPS_MAX: usize = 10;
/// How many appends must go through between two stops.
const APPENDS_BETWEEN: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn a_server_stopped_hard_under_load_loses_nothing_acknowledged_and_halves_nothing() {
    let folder = foldline_local::temporary_folder().unwrap();
    let server = Server::start(&folder.path().join("data"), &[]).await;
    let mut logs = Vec::new();
    for _ in 0..LOGS {
        logs.push(open(&server.database, Service::Command).await);
    }
    let load = Load::start(&logs, APPENDERS);
    for round in 1..=if is_soak() { 10 } else { 2 } {
        load.goes_on(APPENDS_BETWEEN).await;
        // At any moment of a batch, not after an answer.
        let pause = rand::RngExt::random_range(&mut rand::rng(), 0..50);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        server.stop_hard().await;
        eprintln!("stop {round}: {} acknowledged so far", load.acknowledged());
    }
    load.goes_on(APPENDS_BETWEEN).await;
    let (complaints, _) = settle(&server.database, load).await;
    assert_eq!(complaints, [""; 0]);
}

/// With the setting that acknowledges before anything is on disk, the same check finds what is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_acknowledges_before_it_has_written_is_found_by_stopping_it_hard() {
    let folder = foldline_local::temporary_folder().unwrap();
    let lazy = [
        ("synchronous_commit", "off"),
        ("wal_writer_delay", "10s"),
        ("wal_writer_flush_after", "1GB"),
        ("wal_buffers", "64MB"),
    ];
    let server = Server::start(&folder.path().join("data"), &lazy).await;
    // What is there already must not be lost, only what is acknowledged from here on.
    execute(&mut owner(&server.database).await, "checkpoint").await;
    let log = open(&server.database, Service::Command).await;
    let load = Load::start(std::slice::from_ref(&log), APPENDERS);
    // The log finds it by itself, too. Now and then the server has just written everything, and the log goes on.
    load.goes_on(APPENDS_BETWEEN).await;
    let mut stops = 0;
    let ended = loop {
        server.stop_hard().await;
        stops += 1;
        tokio::select! {
            ended = log.ended() => break ended,
            () = load.goes_on(APPENDS_BETWEEN) => assert!(stops < STOPS_MAX, "nothing is ever lost"),
        }
    };
    assert!(matches!(ended, Error::AnotherLog { .. }), "{ended:?}");
    let (complaints, _) = settle(&server.database, load).await;
    let is_found = |complaint: &String| complaint.contains("is not there");
    assert!(complaints.iter().any(is_found), "{complaints:?}");
}
