//! Reading back: a stream of 1,000 events loaded and folded, beside the fastest peer at it; the whole log replayed through a
//! fold, beside `COPY … TO STDOUT` of the same rows; and a stream of 100,000 events with its snapshot and without ([`crate::long`]).

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use foldline_events::Position;
use foldline_log::Log;
use futures_util::TryStreamExt;
use serde::Deserialize;
use sqlx::{Connection, PgConnection};
use tokio::process::Command;

use crate::{
    database::{self, Database},
    long::{self, Long},
    report::{self, Figure},
    sample,
};

const STREAM_EVENTS: usize = 1_000;
const REPLAY_PAGE_EVENTS: usize = 2_000;

#[derive(Args)]
pub struct ReadArgs {
    /// How many events are replayed
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// How long the stream is loaded again and again
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How many events the long stream has
    #[arg(long, default_value_t = 100_000)]
    long_events: usize,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The program of benches/peers; without it the peer is left out
    #[arg(long)]
    peers: Option<PathBuf>,
}

/// What a fold comes to here: the payload is looked at, and kept in nothing.
#[derive(Default)]
struct Folded {
    events: usize,
    bytes: usize,
    last: Position,
}

impl Folded {
    fn evolve(&mut self, position: Position, payload: &str) {
        self.events += 1;
        self.bytes += payload.len();
        self.last = position;
    }
}

pub async fn run(args: ReadArgs) -> anyhow::Result<()> {
    let database = Database::with_log().await?;
    let head = database.fill(args.events).await?;
    let log = database::open(&database.url()).await?;
    let mut of_stream = sample::append();
    let event = of_stream.writes[0].events.remove(0);
    of_stream.writes[0].events = (0..STREAM_EVENTS).map(|_| event.clone()).collect();
    log.append(of_stream.clone()).await?;
    let stream = &of_stream.writes[0].stream;

    let long = Long::fill(args.long_events).await?;

    let (mut loaded, mut replayed, mut copied) = (Vec::new(), Vec::new(), Vec::new());
    let (mut long_runs, mut of_peer) = (Vec::new(), Vec::new());
    for run in 0..args.runs {
        copied.push(copy(&database, head).await?);
        replayed.push(replay(&log, head).await?);
        loaded.push(load_stream(&log, &of_stream.tenant, stream, args.seconds).await?);
        if let Some(peers) = &args.peers {
            of_peer.push(load_from_peer(peers, args.seconds).await?);
        }
        long_runs.push(long.run().await?);
        eprintln!(
            "run {}: stream {:.0}, replay {:.0}, COPY {:.0} events a second",
            run + 1,
            loaded[run],
            replayed[run],
            copied[run]
        );
    }
    drop(log);
    database.drop().await?;
    long.drop().await?;
    let copied = Figure::new("COPY to standard output", "events/s", copied);
    let mut replayed = Figure::new("the log replayed", "events/s", replayed);
    replayed.against("COPY", copied.median);
    let mut loaded = Figure::new("a stream of 1,000 events", "events/s", loaded);
    let mut figures = vec![replayed, copied];
    if !of_peer.is_empty() {
        let of_peer = Figure::new("the same stream by disintegrate", "events/s", of_peer);
        loaded.against("disintegrate", of_peer.median);
        figures.insert(0, of_peer);
    }
    figures.insert(0, loaded);
    figures.extend(long::figures(args.long_events, &long_runs));
    report::publish("read", &figures)
}

async fn load_stream(
    log: &Log,
    tenant: &foldline_events::Tenant,
    stream: &str,
    seconds: f64,
) -> anyhow::Result<f64> {
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(seconds);
    let mut events = 0;
    while Instant::now() < until {
        let mut folded = Folded::default();
        for event in log.read_to_fold(tenant, stream, 0, STREAM_EVENTS).await? {
            folded.evolve(event.position, &event.payload);
        }
        anyhow::ensure!(folded.events == STREAM_EVENTS, "the stream is cut");
        events += folded.events;
    }
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

/// What `foldline-peers stream` prints.
#[derive(Deserialize)]
struct Loaded {
    events: usize,
    seconds: f64,
}

async fn load_from_peer(program: &Path, seconds: f64) -> anyhow::Result<f64> {
    let database = Database::create().await?;
    let output = Command::new(program)
        .args(["stream", "--store", "disintegrate"])
        .args(["--url", &database.url()])
        .args(["--seconds", &seconds.to_string()])
        .args(["--events", &STREAM_EVENTS.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await?;
    anyhow::ensure!(output.status.success(), "it ended with {}", output.status);
    database.drop().await?;
    let loaded: Loaded = serde_json::from_slice(&output.stdout)?;
    Ok(loaded.events as f64 / loaded.seconds)
}

async fn replay(log: &Log, head: Position) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut folded = Folded::default();
    while folded.last < head {
        let page = log.read(folded.last, REPLAY_PAGE_EVENTS).await?;
        anyhow::ensure!(!page.is_empty(), "the log ends at {}", folded.last);
        for event in &page {
            folded.evolve(event.position, &event.payload);
        }
    }
    Ok(folded.events as f64 / began.elapsed().as_secs_f64())
}

async fn copy(database: &Database, head: Position) -> anyhow::Result<f64> {
    let mut owner = PgConnection::connect(&database.url()).await?;
    let began = Instant::now();
    let mut rows = owner
        .copy_out_raw("copy (select * from log.events) to stdout")
        .await
        .context("copying")?;
    let mut bytes = 0;
    while let Some(chunk) = rows.try_next().await? {
        bytes += chunk.len();
    }
    let seconds = began.elapsed().as_secs_f64();
    anyhow::ensure!(bytes > 0, "nothing was copied");
    drop(rows);
    owner.close().await?;
    Ok(head as f64 / seconds)
}
