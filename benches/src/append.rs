//! Single appends, one event each on a new stream, with everything on: stream heads, the ledger of command ids, versions,
//! two tags an event. Beside it, on the same server and in turns: pgbench inserting a row a transaction into a plain table,
//! and other event stores. All are warmed up alike ([`crate::load`]).

use std::{collections::BTreeMap, env};

use anyhow::Context;
use clap::Args;
use tokio::process::Command;

use crate::{
    database::Database,
    load::Came,
    peers::{self, PEERS, Peers},
    pgbench::pgbench,
    report::{self, Figure},
};

/// With how many clients the others are measured; each of them has a connection of its own, and `foldline-servers` starts a
/// PostgreSQL that takes 400.
const CLIENTS_OF_OTHERS: [u32; 5] = [1, 8, 32, 64, 256];
/// With how many clients Foldline is measured: some of those of the others.
const CLIENTS: [u32; 4] = [1, 8, 32, 256];
/// With so many it is compared with the best of the others, whatever number of clients they are at their best with.
const CLIENTS_MAX: u32 = 256;
const PROCESSES: u32 = 3;

#[derive(Args)]
pub struct AppendArgs {
    /// How long each measurement takes, in whole seconds
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    runs: usize,
    #[command(flatten)]
    peers: Peers,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Store {
    Pgbench,
    Foldline,
    /// Three processes on one log.
    FoldlineThrice,
    Peer(&'static str),
}

impl Store {
    fn name(self) -> String {
        match self {
            Self::Pgbench => "pgbench".to_owned(),
            Self::Foldline => "foldline".to_owned(),
            Self::FoldlineThrice => format!("foldline, {PROCESSES} processes"),
            Self::Peer(name) => name.to_owned(),
        }
    }
}

/// What is measured, in one order.
fn measured(args: &AppendArgs) -> Vec<(Store, u32)> {
    let mut measured = Vec::new();
    for clients in CLIENTS_OF_OTHERS {
        measured.push((Store::Pgbench, clients));
        measured.extend(args.peers.names().map(|name| (Store::Peer(name), clients)));
        if clients == CLIENTS_MAX {
            measured.push((Store::FoldlineThrice, clients));
        }
        if CLIENTS.contains(&clients) {
            measured.push((Store::Foldline, clients));
        }
    }
    measured
}

/// What came of each store with each number of clients, run by run.
type All = BTreeMap<(u32, Store), Vec<Came>>;

pub async fn run(args: AppendArgs) -> anyhow::Result<()> {
    let mut all = All::new();
    for run in 1..=args.runs {
        for (store, clients) in measured(&args) {
            let came = measure(&args, store, clients)
                .await
                .with_context(|| format!("{} with {clients} clients", store.name()))?;
            eprintln!(
                "run {run}: {}, {clients} clients: {:.0} a second, p99 {:.1} ms",
                store.name(),
                came.a_second(),
                came.p99_ms
            );
            all.entry((clients, store)).or_default().push(came);
        }
    }
    report::publish("append", &figures(&all))
}

fn figures(all: &All) -> Vec<Figure> {
    let mut figures = Vec::new();
    for ((clients, store), runs) in all {
        let name = format!("{}, {clients} clients", store.name());
        let mut rate = rate(&name, runs);
        if matches!(store, Store::Foldline | Store::FoldlineThrice) {
            compare(&mut rate, *clients, all);
        }
        if *store == Store::FoldlineThrice
            && let Some(one) = median(all, *clients, Store::Foldline)
        {
            rate.against("one process", one);
        }
        figures.push(rate);
        let peaks: Vec<f64> = runs.iter().filter_map(|came| came.peak_mib).collect();
        if !peaks.is_empty() {
            figures.push(Figure::new(&format!("{name}, peak memory"), "MiB", peaks));
        }
        if *store != Store::Pgbench {
            let p99 = runs.iter().map(|came| came.p99_ms).collect();
            figures.push(Figure::new(&format!("{name}, p99"), "ms", p99));
        }
    }
    figures
}

/// With the others at as many clients; with the most clients, with the others at their best.
fn compare(rate: &mut Figure, clients: u32, all: &All) {
    let (of_others, whose) = match clients {
        CLIENTS_MAX => (CLIENTS_OF_OTHERS.to_vec(), "'s best"),
        fewer => (vec![fewer], ""),
    };
    let best = |stores: &[Store]| {
        let medians = of_others.iter().flat_map(|clients| {
            let of_store = |store: &Store| median(all, *clients, *store);
            stores.iter().filter_map(of_store)
        });
        medians.max_by(f64::total_cmp)
    };
    if let Some(pgbench) = best(&[Store::Pgbench]) {
        rate.against(&format!("pgbench{whose}"), pgbench);
    }
    if let Some(peer) = best(&PEERS.map(Store::Peer)) {
        rate.against(&format!("the best peer{whose}"), peer);
    }
}

fn rate(name: &str, runs: &[Came]) -> Figure {
    Figure::new(name, "appends/s", runs.iter().map(Came::a_second).collect())
}

fn median(all: &All, clients: u32, store: Store) -> Option<f64> {
    let runs = all.get(&(clients, store))?;
    Some(rate("", runs).median)
}

async fn measure(args: &AppendArgs, store: Store, clients: u32) -> anyhow::Result<Came> {
    match store {
        Store::Pgbench => pgbench(clients, args.seconds).await,
        Store::Foldline => {
            let database = Database::with_log().await?;
            let came = loaded(loading()?, &database, clients, args.seconds).await?;
            database.drop().await?;
            Ok(came)
        }
        Store::FoldlineThrice => thrice(args, clients).await,
        Store::Peer(name) => {
            let database = Database::create().await?;
            let peer = args.peers.doing("append", name)?;
            let came = loaded(peer, &database, clients, args.seconds).await?;
            database.drop().await?;
            Ok(came)
        }
    }
}

/// The clients are shared out to processes that start together.
async fn thrice(args: &AppendArgs, clients: u32) -> anyhow::Result<Came> {
    let database = Database::with_log().await?;
    let part = async |number: u32| {
        let clients = (clients + number) / PROCESSES;
        loaded(loading()?, &database, clients, args.seconds).await
    };
    let parts = tokio::try_join!(part(0), part(1), part(2))?;
    let parts = [parts.0, parts.1, parts.2];
    database.drop().await?;
    let most = |of: fn(&Came) -> f64| parts.iter().map(of).fold(0.0, f64::max);
    Ok(Came {
        appends: parts.iter().map(|part| part.appends).sum(),
        seconds: most(|part| part.seconds),
        p99_ms: most(|part| part.p99_ms),
        peak_mib: Some(most(|part| part.peak_mib.unwrap_or(0.0))),
    })
}

/// A process of its own that appends, so that its memory is that of appending alone.
fn loading() -> anyhow::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.arg("load");
    Ok(command)
}

/// A program that appends, and prints what that came to.
async fn loaded(
    mut command: Command,
    database: &Database,
    clients: u32,
    seconds: f64,
) -> anyhow::Result<Came> {
    command
        .args(["--clients", &clients.to_string()])
        .args(["--seconds", &seconds.to_string()]);
    peers::answer(command, database).await
}
