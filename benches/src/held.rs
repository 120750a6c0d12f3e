//! Batch after batch while somebody keeps a repeatable-read snapshot open, which keeps every dead row version from being
//! cleaned away; beside it, in turns, the same on a log that nobody looks at.

use std::time::{Duration, Instant};

use clap::Args;
use foldline_log::{Log, Verdict};
use sqlx::{Connection, PgConnection};

use crate::{
    database::{self, Database},
    report::{self, Figure},
    sample,
};

/// How many batches the log gets that is looked at before it is the other's turn, and how many that one, which nothing piles
/// up in.
const HELD_TURN_BATCHES: usize = 2_500;
const FREE_TURN_BATCHES: usize = 1_000;

#[derive(Args)]
pub struct HeldArgs {
    /// How many batches are appended while the snapshot is open
    #[arg(long, default_value_t = 100_000)]
    batches: usize,
    /// How often everything is measured
    #[arg(long, default_value_t = 3)]
    runs: usize,
}

pub async fn run(args: HeldArgs) -> anyhow::Result<()> {
    let (mut free, mut held, mut free_last, mut held_last) = (vec![], vec![], vec![], vec![]);
    for run in 1..=args.runs {
        let took = measure(args.batches).await?;
        free.push(a_second(&took.free, FREE_TURN_BATCHES));
        held.push(a_second(&took.held, HELD_TURN_BATCHES));
        free_last.push(a_second(last_tenth(&took.free), FREE_TURN_BATCHES));
        held_last.push(a_second(last_tenth(&took.held), HELD_TURN_BATCHES));
        eprintln!(
            "run {run}: {:.0} batches a second beside an open snapshot, {:.0} without",
            held[run - 1],
            free[run - 1]
        );
    }
    let figures = |name: &str, held, free| {
        let free = Figure::new(&format!("no snapshot open, {name}"), "batches/s", free);
        let mut held = Figure::new(&format!("a snapshot open, {name}"), "batches/s", held);
        held.against("no snapshot", free.median);
        [held, free]
    };
    let of_all = figures("all batches", held, free);
    let of_last = figures("the last tenth of them", held_last, free_last);
    let figures: Vec<Figure> = of_all.into_iter().chain(of_last).collect();
    report::publish("held", &figures)
}

fn a_second(turns: &[Duration], turn_batches: usize) -> f64 {
    let seconds: f64 = turns.iter().map(Duration::as_secs_f64).sum();
    (turns.len() * turn_batches) as f64 / seconds
}

fn last_tenth(turns: &[Duration]) -> &[Duration] {
    &turns[turns.len() - turns.len().div_ceil(10)..]
}

/// How long each turn took.
struct Took {
    held: Vec<Duration>,
    free: Vec<Duration>,
}

async fn measure(batches: usize) -> anyhow::Result<Took> {
    let (watched, alone) = (Database::with_log().await?, Database::with_log().await?);
    let (watched_log, alone_log) = (
        database::open(&watched.url()).await?,
        database::open(&alone.url()).await?,
    );
    for log in [&watched_log, &alone_log] {
        turn(log, FREE_TURN_BATCHES).await?;
    }
    let mut looking = PgConnection::connect(&watched.url()).await?;
    sqlx::raw_sql("begin isolation level repeatable read; select count(*) from log.streams")
        .execute(&mut looking)
        .await?;
    let mut took = Took {
        held: Vec::new(),
        free: Vec::new(),
    };
    for _ in 0..batches.div_ceil(HELD_TURN_BATCHES) {
        took.held.push(turn(&watched_log, HELD_TURN_BATCHES).await?);
        took.free.push(turn(&alone_log, FREE_TURN_BATCHES).await?);
    }
    sqlx::raw_sql("commit").execute(&mut looking).await?;
    looking.close().await?;
    drop((watched_log, alone_log));
    watched.drop().await?;
    alone.drop().await?;
    Ok(took)
}

/// Each append waits for its answer, so each is a batch. Every other one goes on with the stream of the one before it, so
/// that rows are changed as well as made.
async fn turn(log: &Log, batches: usize) -> anyhow::Result<Duration> {
    let began = Instant::now();
    let mut before = None;
    for _ in 0..batches {
        let mut append = sample::append();
        if let Some((stream, version)) = before.take() {
            append.writes[0].stream = stream;
            append.writes[0].expected = foldline_log::Expected::Exactly(version);
        }
        let goes_on = append.writes[0].expected == foldline_log::Expected::NoStream;
        match log.append(append).await? {
            Verdict::Appended(receipt) => {
                before = goes_on.then_some((receipt.stream, receipt.version));
            }
            other @ (Verdict::Known(_)
            | Verdict::InputDiffers
            | Verdict::Conflict { .. }
            | Verdict::Guarded { .. }) => anyhow::bail!("an append was answered {other:?}"),
        }
    }
    Ok(began.elapsed())
}
