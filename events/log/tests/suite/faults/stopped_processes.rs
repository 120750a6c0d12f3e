//! A process that appends is stopped for seconds, at any moment, and goes on afterwards.

use std::{collections::HashMap, process::Stdio, time::Duration};

use foldline_log::Service;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rand::RngExt;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use super::{Load, is_soak, settle, whole};
use crate::{
    store::{database_with_large_segments, open},
    tailing::program,
};

const APPENDERS: usize = 8;
/// Longer than all the stops take on any machine: the one that is to be stopped must still be there.
const CHILD_SECONDS: u64 = 3_600;
/// The longest that another process may wait: what a stopped one can hold the log for, and then its own next try.
const WAIT_BOUND: Duration = Duration::from_secs(25);

#[tokio::test(flavor = "multi_thread")]
async fn a_process_stopped_at_any_moment_keeps_no_other_waiting_longer_than_a_bound() {
    let (stops, stopped) = if is_soak() {
        (15, Duration::from_secs(3))
    } else {
        (3, Duration::from_millis(1_000))
    };
    let database = database_with_large_segments().await;
    let log = open(&database, Service::Command).await;
    let load = Load::start(std::slice::from_ref(&log), APPENDERS);
    let mut child = Command::new(program("appenders"))
        .args([
            "stopped",
            &APPENDERS.to_string(),
            &CHILD_SECONDS.to_string(),
        ])
        .env("LOG_URL", &database.url)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let pid = Pid::from_raw(child.id().unwrap().cast_signed());
    let mut said = BufReader::new(child.stdout.take().unwrap()).lines();
    // It has begun to append.
    let first = said.next_line().await.unwrap().unwrap();
    let told = tokio::spawn(async move {
        let mut told = vec![first];
        while let Some(line) = said.next_line().await.unwrap() {
            told.push(line);
        }
        told
    });
    for stop in 1..=stops {
        let pause = rand::rng().random_range(200..900);
        tokio::time::sleep(Duration::from_millis(pause)).await;
        kill(pid, Signal::SIGSTOP).unwrap();
        tokio::time::sleep(stopped).await;
        load.goes_on(1).await;
        kill(pid, Signal::SIGCONT).unwrap();
        eprintln!(
            "stop {stop}: {} acknowledged to others",
            load.acknowledged()
        );
    }
    // Whatever it was told it says at once, line by line.
    child.kill().await.unwrap();
    let told = told.await.unwrap();
    let (complaints, sent) = settle(&database, load).await;
    assert_eq!(complaints, [""; 0]);
    let longest = sent.iter().map(|sent| sent.waited).max().unwrap();
    assert!(longest < WAIT_BOUND, "somebody waited for {longest:?}");
    // And the one that was stopped was told the truth.
    let events = whole(&log).await;
    let positions: HashMap<String, i64> = events
        .iter()
        .map(|event| (event.id.to_string(), event.position))
        .collect();
    for line in told {
        let (position, id) = line.split_once(' ').unwrap();
        assert_eq!(
            positions.get(id).map(i64::to_string).as_deref(),
            Some(position)
        );
    }
}
