//! Appends to a log for some seconds: each client waits for its answer before it sends again. What is answered while the
//! load warms up is not counted, and neither is what is answered after its end.

use std::time::{Duration, Instant};

use clap::Args;
use foldline_log::{Log, Verdict};
use serde::{Deserialize, Serialize};

use crate::{database, memory, sample::append};

/// How long every store, and pgbench, is loaded before it is measured: until connections are made, statements are prepared
/// and the caches of each connection are filled.
pub const WARM_UP_SECONDS: u32 = 1;

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

/// The part of a load that is measured: only what is answered in it counts.
#[derive(Debug, Clone, Copy)]
pub struct Window {
    from: Instant,
    until: Instant,
}

impl Window {
    /// So long, once the load has warmed up.
    pub fn after_warm_up(seconds: f64) -> Self {
        let from = Instant::now() + Duration::from_secs(WARM_UP_SECONDS.into());
        let until = from + Duration::from_secs_f64(seconds);
        Self { from, until }
    }

    pub fn is_over(self) -> bool {
        Instant::now() >= self.until
    }

    /// How long something took that began then and has ended now, if it is counted.
    pub fn took(self, began: Instant) -> Option<Duration> {
        let now = Instant::now();
        (self.from <= now && now < self.until).then(|| now - began)
    }

    /// What all clients' times come to.
    pub fn came(self, mut took: Vec<Duration>) -> Came {
        took.sort_unstable();
        let p99 = took.get(took.len() * 99 / 100);
        Came {
            appends: took.len() as u64,
            seconds: (self.until - self.from).as_secs_f64(),
            p99_ms: p99.map_or(0.0, |took| took.as_secs_f64() * 1e3),
            peak_mib: None,
        }
    }
}

/// New streams with one event each, expected not to be there, with two tags; every append is acknowledged.
pub async fn load(log: &Log, clients: u32, seconds: f64) -> anyhow::Result<Came> {
    let window = Window::after_warm_up(seconds);
    let clients: Vec<_> = (0..clients)
        .map(|_| tokio::spawn(client(log.clone(), window)))
        .collect();
    let mut took = Vec::new();
    for client in clients {
        took.extend(client.await??);
    }
    Ok(window.came(took))
}

async fn client(log: Log, window: Window) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::new();
    while !window.is_over() {
        let append = append();
        let began = Instant::now();
        match log.append(append).await? {
            Verdict::Appended(_) => took.extend(window.took(began)),
            other @ (Verdict::Known(_)
            | Verdict::InputDiffers
            | Verdict::Conflict { .. }
            | Verdict::Guarded { .. }) => anyhow::bail!("a new stream was answered {other:?}"),
        }
    }
    Ok(took)
}
