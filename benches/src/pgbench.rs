//! What PostgreSQL itself takes: pgbench inserting one row a transaction into a plain table.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::Context;
use sqlx::{Connection, PgConnection};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{ChildStderr, Command},
};

use crate::{
    database::Database,
    load::{Came, WARM_UP_SECONDS},
    sample::PAYLOAD,
};

const TABLE: &str = "create table plain (
    id bigserial primary key,
    stream text not null,
    payload json not null
)";

/// The payload is a variable, so that it crosses the network with every row, as everybody's does.
const SCRIPT: &str = r"\set n random(1, 1000000000)
insert into plain (stream, payload) values (:client_id || '-' || :n, :payload);
";

/// One thread cannot drive many clients as fast as the server answers them.
const THREADS_MAX: u32 = 2;
/// How long it may run, connecting included, until it has reported on everything that is measured.
const SECONDS_MAX: u32 = 60;

/// One row a transaction, prepared, with a payload as long as ours: the ceiling for whoever commits each append by itself.
/// Whole seconds are measured.
pub async fn pgbench(clients: u32, seconds: f64) -> anyhow::Result<Came> {
    let database = Database::create().await?;
    let mut owner = PgConnection::connect(&database.url()).await?;
    sqlx::raw_sql(TABLE).execute(&mut owner).await?;
    owner.close().await?;
    let script = env::temp_dir().join(format!("foldline-bench-{}.sql", std::process::id()));
    fs::write(&script, SCRIPT)?;
    let program = program()?;
    let mut running = Command::new(&program)
        .args(["--no-vacuum", "--protocol=prepared", "--progress=1"])
        .arg(format!("--define=payload={}", *PAYLOAD))
        .arg(format!("--client={clients}"))
        .arg(format!("--jobs={}", clients.min(THREADS_MAX)))
        .arg(format!("--time={SECONDS_MAX}"))
        .arg(format!("--file={}", script.display()))
        .arg(database.url())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {}", program.display()))?;
    let progress = running.stderr.take().context("its progress is not piped")?;
    let came = came(progress, seconds.ceil() as u32).await?;
    running.kill().await?;
    fs::remove_file(&script)?;
    database.drop().await?;
    Ok(came)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is an edge")]
fn program() -> anyhow::Result<PathBuf> {
    let programs =
        env::var("TEST_POSTGRES_PROGRAMS").context("TEST_POSTGRES_PROGRAMS is not set")?;
    Ok(Path::new(&programs).join("pgbench"))
}

/// From a line for each second, such as `progress: 2.0 s, 5493.1 tps, lat 0.181 ms stddev 0.052, 0 failed`. It reports while
/// it still connects, too, and the second in which it is done with that is not a whole one.
async fn came(progress: ChildStderr, seconds: u32) -> anyhow::Result<Came> {
    let mut lines = BufReader::new(progress).lines();
    let mut rates = Vec::new();
    let not_measured = 1 + WARM_UP_SECONDS as usize;
    while rates.len() < not_measured + seconds as usize {
        let line = lines.next_line().await?.context("it ended too early")?;
        match rate(&line) {
            Some(rate) if rate > 0.0 => rates.push(rate),
            Some(_) => {}
            None => eprintln!("{line}"),
        }
    }
    let appends: f64 = rates[not_measured..].iter().sum();
    Ok(Came {
        appends: appends as u64,
        seconds: seconds.into(),
        p99_ms: f64::NAN,
        peak_mib: None,
    })
}

fn rate(line: &str) -> Option<f64> {
    let (_, rest) = line.strip_prefix("progress: ")?.split_once(" s, ")?;
    rest.split_once(" tps")?.0.parse().ok()
}
