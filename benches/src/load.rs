//! Appends to a log for some seconds: each client waits for its answer before it sends again.

use std::time::{Duration, Instant};

use clap::Args;
use foldline_log::{Log, Verdict};
use serde::{Deserialize, Serialize};

use crate::{database, memory, sample::append};

const WARM_UP_APPENDS: usize = 100;

#[derive(Args)]
pub struct LoadArgs {
    /// A database with a log
    #[arg(long)]
    url: String,
    /// How many appends are under way at a time
    #[arg(long)]
    clients: u32,
    #[arg(long)]
    seconds: f64,
}

/// What a load came to; peers print the same.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Came {
    pub appends: u64,
    pub seconds: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// The most memory that the process which appended ever had; peers do not say.
    #[serde(default)]
    pub peak_mib: Option<f64>,
}

impl Came {
    pub fn a_second(&self) -> f64 {
        self.appends as f64 / self.seconds
    }
}

pub async fn run(args: LoadArgs) -> anyhow::Result<()> {
    let log = database::open(&args.url).await?;
    let mut came = load(&log, args.clients, args.seconds).await?;
    came.peak_mib = Some(memory::peak_mib(std::process::id())?);
    println!("{}", serde_json::to_string(&came)?);
    Ok(())
}

/// New streams with one event each, expected not to be there, with two tags; every append is acknowledged.
pub async fn load(log: &Log, clients: u32, seconds: f64) -> anyhow::Result<Came> {
    // The first appends of a process plan the statements: of one that comes alone, and of those that share a batch.
    for _ in 0..2 {
        futures_util::future::try_join_all((0..WARM_UP_APPENDS).map(|_| log.append(append())))
            .await?;
    }
    log.append(append()).await?;
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(seconds);
    let clients: Vec<_> = (0..clients)
        .map(|_| tokio::spawn(client(log.clone(), until)))
        .collect();
    let mut took = Vec::new();
    for client in clients {
        took.extend(client.await??);
    }
    let seconds = began.elapsed().as_secs_f64();
    took.sort_unstable();
    let quantile = |part: usize, of: usize| {
        let took = took.get(took.len() * part / of);
        took.map_or(0.0, |took| took.as_secs_f64() * 1e3)
    };
    Ok(Came {
        appends: took.len() as u64,
        seconds,
        p50_ms: quantile(1, 2),
        p99_ms: quantile(99, 100),
        peak_mib: None,
    })
}

async fn client(log: Log, until: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::new();
    while Instant::now() < until {
        let append = append();
        let began = Instant::now();
        match log.append(append).await? {
            Verdict::Appended(_) => took.push(began.elapsed()),
            other @ (Verdict::Known(_)
            | Verdict::InputDiffers
            | Verdict::Conflict { .. }
            | Verdict::Guarded { .. }) => anyhow::bail!("a new stream was answered {other:?}"),
        }
    }
    Ok(took)
}
