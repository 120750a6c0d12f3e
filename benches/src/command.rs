//! A `foldline command` process under load: 256 HTTP clients, each of which sends a command, waits for its answer, and
//! sends the next. How many it answers, and how much memory that takes it at most. Before that it is sent so many others, in
//! large requests, that its cache of tasks is full; their memory is part of the figure.

use std::time::{Duration, Instant};

use clap::Args;

use crate::{
    database::Database,
    load::{Came, Window},
    report::{self, Figure},
    service::{Client, Service},
};

const CLIENTS: usize = 256;
/// How many requests create tasks before, until their cache is full: it holds 32 MiB, and a task counts as some 1.3 KiB.
const REQUESTS_BEFORE: usize = 40;
const COMMANDS_PER_REQUEST: usize = 1_000;
/// The goal for its memory is below 150 MB.
const MEMORY_MIB_MAX: f64 = 150e6 / (1 << 20) as f64;

#[derive(Args)]
pub struct CommandArgs {
    /// How long each measurement takes
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// How often it is measured
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

pub async fn run(args: CommandArgs) -> anyhow::Result<()> {
    let mut runs = Vec::new();
    for run in 1..=args.runs {
        let came = measure(args.seconds).await?;
        eprintln!(
            "run {run}: {:.0} commands a second, p99 {:.1} ms, {:.0} MiB",
            came.a_second(),
            came.p99_ms,
            came.peak_mib.unwrap_or(f64::NAN)
        );
        runs.push(came);
    }
    let figure = |what: &str, unit, of: fn(&Came) -> f64| {
        let name = format!("{CLIENTS} clients, {what}");
        Figure::new(&name, unit, runs.iter().map(of).collect())
    };
    let rate = figure("one command a request", "commands/s", Came::a_second);
    let p99 = figure("p99", "ms", |came| came.p99_ms);
    let mut peak = figure("peak memory", "MiB", |came| {
        came.peak_mib.unwrap_or(f64::NAN)
    });
    peak.against("the most it should be", MEMORY_MIB_MAX);
    report::publish("command", &[rate, p99, peak])
}

async fn measure(seconds: f64) -> anyhow::Result<Came> {
    let database = Database::with_log().await?;
    let service = Service::start(&database).await?;
    for _ in 0..REQUESTS_BEFORE {
        let many = service.client.many(COMMANDS_PER_REQUEST);
        service.client.send(&many).await?;
    }
    let window = Window::after_warm_up(seconds);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| tokio::spawn(client(service.client.clone(), number, window)))
        .collect();
    let mut took = Vec::new();
    for client in clients {
        took.extend(client.await??);
    }
    let mut came = window.came(took);
    came.peak_mib = Some(service.peak_mib()?);
    service.stop().await?;
    database.drop().await?;
    Ok(came)
}

async fn client(client: Client, number: usize, window: Window) -> anyhow::Result<Vec<Duration>> {
    let mut took = Vec::new();
    for n in (number..).step_by(CLIENTS) {
        if window.is_over() {
            break;
        }
        let began = Instant::now();
        client.create_task(n).await?;
        took.extend(window.took(began));
    }
    Ok(took)
}
