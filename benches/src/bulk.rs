//! Many commands in one request: 1,000 on as many new streams, answered before the next 1,000 are sent, by a `foldline
//! command` process over HTTP; and, by the log alone, 1,000 appends at once. Beside each, in turns: `COPY` of the very rows
//! that it wrote into the same five tables, 1,000 events a transaction, which is as fast as PostgreSQL takes rows.
//!
//! What is sent and what is copied is made before anything is measured.

use std::time::Instant;

use clap::Args;
use foldline_log::{Append, Verdict};
use futures_util::future::try_join_all;

use crate::{
    copied::Copied,
    database::{self, Database},
    report::{self, Figure},
    sample,
    service::{Many, Service},
};

/// As many as one request may bring.
const COMMANDS: usize = 1_000;

#[derive(Args)]
pub struct BulkArgs {
    /// How many requests are sent, one after another
    #[arg(long, default_value_t = 100)]
    requests: usize,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

/// Events a second of one way to write them, and of `COPY` of the same rows.
#[derive(Default)]
struct Rates {
    written: Vec<f64>,
    copied: Vec<f64>,
}

pub async fn run(args: BulkArgs) -> anyhow::Result<()> {
    let (mut requests, mut appends) = (Rates::default(), Rates::default());
    let mut peaks = Vec::new();
    for run in 1..=args.runs {
        peaks.push(send(args.requests, &mut requests).await?);
        append(args.requests, &mut appends).await?;
        eprintln!("run {run} of {}", args.runs);
    }
    let mut figures = requests.figures("1,000 commands a request");
    let peak = "1,000 commands a request, peak memory";
    figures.push(Figure::new(peak, "MiB", peaks));
    figures.extend(appends.figures("1,000 appends at once"));
    report::publish("bulk", &figures)
}

impl Rates {
    fn figures(self, name: &str) -> Vec<Figure> {
        let copied = Figure::new(&format!("COPY of {name}"), "events/s", self.copied);
        let mut written = Figure::new(name, "events/s", self.written);
        written.against("COPY", copied.median);
        vec![written, copied]
    }

    /// What was written into this log, beside copying the same, into a log that is as empty as this one was.
    async fn push(&mut self, written: f64, database: Database) -> anyhow::Result<()> {
        let rows = Copied::of(&database).await?;
        database.drop().await?;
        self.written.push(written);
        self.copied.push(rows.copy().await?);
        Ok(())
    }
}

/// The most memory that the process had.
async fn send(requests: usize, rates: &mut Rates) -> anyhow::Result<f64> {
    let database = Database::with_log().await?;
    let service = Service::start(&database).await?;
    let all: Vec<Many> = (0..requests)
        .map(|_| service.client.many(COMMANDS))
        .collect();
    let began = Instant::now();
    for many in &all {
        service.client.send(many).await?;
    }
    let rate = (requests * COMMANDS) as f64 / began.elapsed().as_secs_f64();
    let peak = service.peak_mib()?;
    service.stop().await?;
    rates.push(rate, database).await?;
    Ok(peak)
}

async fn append(requests: usize, rates: &mut Rates) -> anyhow::Result<()> {
    let database = Database::with_log().await?;
    let log = database::open(&database.url()).await?;
    let all: Vec<Vec<Append>> = (0..requests)
        .map(|_| (0..COMMANDS).map(|_| sample::append()).collect())
        .collect();
    let began = Instant::now();
    for appends in all {
        let verdicts = try_join_all(appends.into_iter().map(|append| log.append(append))).await?;
        let is_appended = |verdict: &Verdict| matches!(verdict, Verdict::Appended(_));
        anyhow::ensure!(verdicts.iter().all(is_appended), "an append was refused");
    }
    let rate = (requests * COMMANDS) as f64 / began.elapsed().as_secs_f64();
    drop(log);
    rates.push(rate, database).await
}
