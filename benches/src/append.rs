//! Single appends, one event each on a new stream, with everything on: stream heads, the ledger of command ids, versions,
//! two tags an event. Beside it, on the same server and in turns: pgbench inserting a row a transaction into a plain table,
//! and other event stores.

use std::{
    collections::BTreeMap,
    env,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context;
use clap::Args;
use tokio::process::Command;

use crate::{
    database::Database,
    load::Came,
    report::{self, Figure},
};

const CLIENTS: [u32; 4] = [1, 8, 32, 256];
/// With how many clients the others run: more gain them nothing, and each needs a connection.
const CLIENTS_OF_OTHERS_MAX: u32 = 32;
const PROCESSES: u32 = 3;

#[derive(Args)]
pub struct AppendArgs {
    /// How long each measurement takes
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The program of benches/peers; without it they are left out
    #[arg(long)]
    peers: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Store {
    Pgbench,
    Foldline,
    /// Three processes on one log.
    FoldlineThrice,
    Peer(&'static str),
}

const PEERS: [&str; 4] = ["cqrs-es", "disintegrate", "esrs", "evento"];

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
    for clients in CLIENTS {
        if clients <= CLIENTS_OF_OTHERS_MAX {
            measured.push((Store::Pgbench, clients));
            if args.peers.is_some() {
                measured.extend(PEERS.map(|name| (Store::Peer(name), clients)));
            }
        } else {
            measured.push((Store::FoldlineThrice, clients));
        }
        measured.push((Store::Foldline, clients));
    }
    measured
}

pub async fn run(args: AppendArgs) -> anyhow::Result<()> {
    let mut came: BTreeMap<(u32, Store), Vec<Came>> = BTreeMap::new();
    for run in 1..=args.runs {
        for (store, clients) in measured(&args) {
            let of_run = measure(&args, store, clients)
                .await
                .with_context(|| format!("{} with {clients} clients", store.name()))?;
            eprintln!(
                "run {run}: {}, {clients} clients: {:.0} a second, p99 {:.1} ms",
                store.name(),
                of_run.a_second(),
                of_run.p99_ms
            );
            came.entry((clients, store)).or_default().push(of_run);
        }
    }
    report::publish("append", &figures(&came))
}

fn figures(came: &BTreeMap<(u32, Store), Vec<Came>>) -> Vec<Figure> {
    let median = |clients: u32, store: Store| {
        let runs: Vec<f64> = came
            .get(&(clients, store))?
            .iter()
            .map(Came::a_second)
            .collect();
        Some(Figure::new("", "", runs).median)
    };
    let best = |stores: &[Store]| {
        let all = CLIENTS.into_iter().flat_map(|clients| {
            stores
                .iter()
                .filter_map(move |store| median(clients, *store))
        });
        all.max_by(f64::total_cmp)
    };
    let peers = PEERS.map(Store::Peer);
    let mut figures = Vec::new();
    for ((clients, store), runs) in came {
        let name = format!("{}, {clients} clients", store.name());
        let mut rate = Figure::new(
            &name,
            "appends/s",
            runs.iter().map(Came::a_second).collect(),
        );
        if matches!(store, Store::Foldline | Store::FoldlineThrice) {
            let of_peers = peers.iter().filter_map(|peer| median(*clients, *peer));
            match median(*clients, Store::Pgbench) {
                Some(pgbench) => rate.against("pgbench", pgbench),
                None => rate.against(
                    "pgbench's best",
                    best(&[Store::Pgbench]).unwrap_or(f64::NAN),
                ),
            }
            if let Some(peer) = of_peers.max_by(f64::total_cmp) {
                rate.against("the best peer", peer);
            } else if let Some(peer) = best(&peers) {
                rate.against("the best peer's best", peer);
            }
        }
        if *store == Store::FoldlineThrice {
            rate.against(
                "one process",
                median(*clients, Store::Foldline).unwrap_or(f64::NAN),
            );
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

async fn measure(args: &AppendArgs, store: Store, clients: u32) -> anyhow::Result<Came> {
    match store {
        Store::Pgbench => pgbench(args, clients).await,
        Store::Foldline => {
            let database = Database::with_log().await?;
            let came = started(loading()?, &database, clients, args.seconds).await?;
            database.drop().await?;
            Ok(came)
        }
        Store::FoldlineThrice => thrice(args, clients).await,
        Store::Peer(name) => {
            let program = args.peers.as_deref().context("--peers is not given")?;
            let database = Database::create().await?;
            let mut command = Command::new(program);
            command.args(["--store", name]);
            let came = started(command, &database, clients, args.seconds).await?;
            database.drop().await?;
            Ok(came)
        }
    }
}

/// The clients are shared out to processes that start together.
async fn thrice(args: &AppendArgs, clients: u32) -> anyhow::Result<Came> {
    let database = Database::with_log().await?;
    let part = |command| started(command, &database, clients / PROCESSES, args.seconds);
    let parts = tokio::try_join!(part(loading()?), part(loading()?), part(loading()?))?;
    let parts = [parts.0, parts.1, parts.2];
    database.drop().await?;
    let most = |of: fn(&Came) -> f64| parts.iter().map(of).fold(0.0, f64::max);
    Ok(Came {
        appends: parts.iter().map(|part| part.appends).sum(),
        seconds: most(|part| part.seconds),
        p50_ms: most(|part| part.p50_ms),
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

/// A program that prints a [`Came`] and ends.
async fn started(
    mut command: Command,
    database: &Database,
    clients: u32,
    seconds: f64,
) -> anyhow::Result<Came> {
    let output = command
        .args(["--url", &database.url()])
        .args(["--clients", &clients.to_string()])
        .args(["--seconds", &seconds.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .await?;
    anyhow::ensure!(output.status.success(), "it ended with {}", output.status);
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// One row a transaction, prepared, with a payload as long as ours: the ceiling for whoever commits each append by itself.
#[expect(clippy::disallowed_methods, reason = "a benchmark is an edge")]
async fn pgbench(args: &AppendArgs, clients: u32) -> anyhow::Result<Came> {
    const SCRIPT: &str = "insert into plain (stream, payload)
        values (:client_id || '-' || :n, json_build_object('text', repeat('x', 189)));\n";
    let database = Database::create().await?;
    let folder = env::temp_dir().join(format!("foldline-bench-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let script = folder.join("insert.sql");
    std::fs::write(&script, format!("\\set n random(1, 1000000000)\n{SCRIPT}"))?;
    let mut owner = <sqlx::PgConnection as sqlx::Connection>::connect(&database.url()).await?;
    sqlx::raw_sql("create table plain (id bigserial primary key, stream text not null, payload json not null)")
        .execute(&mut owner)
        .await?;
    sqlx::Connection::close(owner).await?;
    let programs =
        env::var("TEST_POSTGRES_PROGRAMS").context("TEST_POSTGRES_PROGRAMS is not set")?;
    let program = Path::new(&programs).join("pgbench");
    let output = Command::new(&program)
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=1"])
        .arg(format!("--client={clients}"))
        .arg(format!("--time={}", args.seconds.ceil()))
        .arg(format!("--file={}", script.display()))
        .arg(database.url())
        .output()
        .await
        .with_context(|| format!("cannot run {}", program.display()))?;
    std::fs::remove_dir_all(&folder)?;
    anyhow::ensure!(
        output.status.success(),
        "pgbench: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let said = String::from_utf8(output.stdout)?;
    let number = |label: &str| -> anyhow::Result<f64> {
        let after = said.split_once(label).map(|(_, rest)| rest.trim_start());
        let word = after.and_then(|rest| rest.split([' ', '\n']).next());
        word.and_then(|word| word.parse().ok())
            .with_context(|| format!("pgbench did not say {label}: {said}"))
    };
    let a_second = number("tps =")?;
    database.drop().await?;
    Ok(Came {
        appends: (a_second * args.seconds) as u64,
        seconds: args.seconds,
        p50_ms: number("latency average =")?,
        p99_ms: f64::NAN,
        peak_mib: None,
    })
}
