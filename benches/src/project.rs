//! Projecting: how fast a `foldline projector` process folds a log from its beginning into every view, by each feed, and in how
//! much memory; and how soon after an append its rows are visible.
//!
//! The log is that of `foldline demo`: tasks with everything that they go through, so all views have their usual work.

use std::{
    collections::BTreeMap,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use foldline_events::{Cursor, Partition, Position};
use serde::Deserialize;
use sqlx::{Connection, PgConnection, postgres::PgListener};
use tokio::process::{Child, Command};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::{
    database::Database,
    memory,
    peers::{self, Peers},
    report::{self, Figure},
    service::{self, Service},
};

/// The goals for a replay: so many events a second, in so much memory.
const POSTGRES_TARGET: f64 = 30_000.0;
const KAFKA_TARGET: f64 = 25_000.0;
const MEMORY_MIB_MAX: f64 = 300e6 / (1 << 20) as f64;
/// How often something is appended to see how soon it is visible.
const APPEND_EVERY: Duration = Duration::from_millis(10);
/// How long that is done before it counts: connections are made, plans are cached, and Kafka's code is compiled meanwhile.
const WARM_UP: Duration = Duration::from_secs(45);
/// Checkpoints of a view database whose every view is folded everywhere: 4 views of 32 partitions.
const CHECKPOINTS: i64 = 128;
/// How long anything may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Long enough for the clients, for every process to be connected and, with Kafka, for the group to have assigned partitions.
const SETTLE: Duration = Duration::from_secs(8);
/// Long enough for the relay to tell every partition where the log ends, once it has carried all.
const WATERMARKS: Duration = Duration::from_secs(2);
/// How many events another store's listener is given: it takes one at a time.
const LISTENED_EVENTS: usize = 10_000;
const SECRET: &str = "the secret of a log that lives for some minutes";

#[derive(Args)]
pub struct ProjectArgs {
    /// How many tasks the log tells of, with some seven events each
    #[arg(long, default_value_t = 137_000)]
    tasks: u32,
    /// How often the log is replayed by each feed
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How long it is measured how soon appends are visible; 0 leaves it out
    #[arg(long, default_value_t = 15.0)]
    seconds: f64,
    /// Which feed is measured; both, when none is named
    #[arg(long)]
    feed: Option<String>,
    #[command(flatten)]
    peers: Peers,
}

#[derive(Debug, Clone, Copy)]
struct Replayed {
    /// Until every row is there.
    folded_a_second: f64,
    /// Until every index is there, too, that readers are fast by.
    a_second: f64,
    mib: f64,
}

pub async fn run(args: ProjectArgs) -> anyhow::Result<()> {
    let feeds: Vec<&str> = ["postgres", "kafka"]
        .into_iter()
        .filter(|feed| args.feed.as_deref().is_none_or(|only| only == *feed))
        .collect();
    let mut figures = Vec::new();
    if args.runs > 0 {
        let log = Database::with_log().await?;
        let head = fill(&log, args.tasks).await?;
        if feeds.contains(&"kafka") {
            relay(&log, head).await?;
        }
        let mut came: BTreeMap<&str, Vec<Replayed>> = BTreeMap::new();
        for run in 1..=args.runs {
            for feed in &feeds {
                let replayed = replay(&log, feed, head).await?;
                eprintln!(
                    "run {run}: {feed}: {:.0} events a second folded, {:.0} with all indexes, {:.0} MiB",
                    replayed.folded_a_second, replayed.a_second, replayed.mib
                );
                came.entry(feed).or_default().push(replayed);
            }
        }
        log.drop().await?;
        if args.peers.names().any(|name| name == LISTENER) {
            let mut rates = Vec::new();
            for _ in 0..args.runs {
                rates.push(listened(&args.peers).await?);
            }
            figures.push(Figure::new(
                &format!("{LISTENER}'s listener"),
                "events/s",
                rates,
            ));
        }
        for (feed, came) in came {
            let of = |of: fn(&Replayed) -> f64| came.iter().map(of).collect();
            let name = format!("replay, {feed} feed");
            let folded = format!("{name}, rows alone");
            let mut folded = Figure::new(&folded, "events/s", of(|it| it.folded_a_second));
            let mut rate = Figure::new(&name, "events/s", of(|it| it.a_second));
            let target = if feed == "kafka" {
                KAFKA_TARGET
            } else {
                POSTGRES_TARGET
            };
            folded.against("the target", target);
            rate.against("the target", target);
            let mut mib = Figure::new(&format!("{name}, peak memory"), "MiB", of(|it| it.mib));
            mib.against("the most it should be", MEMORY_MIB_MAX);
            figures.extend([folded, rate, mib]);
        }
    }
    if args.seconds > 0.0 {
        for feed in &feeds {
            figures.extend(visible(feed, args.seconds).await?);
        }
    }
    report::publish("project", &figures)
}

const LISTENER: &str = "disintegrate";

/// What a program that measures says.
#[derive(Deserialize)]
struct Came {
    events: f64,
    seconds: f64,
}

/// Another store's listener, which writes three rows of each event: about a third of what our views write.
async fn listened(peers: &Peers) -> anyhow::Result<f64> {
    let database = Database::create().await?;
    let events = LISTENED_EVENTS.to_string();
    let mut fill = peers.doing("fill", LISTENER)?;
    fill.args(["--events", &events]);
    let _filled: Came = peers::answer(fill, &database).await?;
    database.tidy().await?;
    let mut listen = peers.doing("listen", LISTENER)?;
    listen.args(["--events", &events]);
    let came: Came = peers::answer(listen, &database).await?;
    database.drop().await?;
    let rate = came.events / came.seconds;
    eprintln!("{LISTENER}: {rate:.0} events a second");
    Ok(rate)
}

/// Runs the program to its end.
async fn finished(arguments: &[&str], settings: &[(&str, &str)]) -> anyhow::Result<()> {
    let status = Command::new(service::program()?)
        .args(arguments)
        .envs(settings.iter().copied())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .status()
        .await?;
    anyhow::ensure!(status.success(), "{arguments:?} ended with {status}");
    Ok(())
}

/// The made-up tasks, imported past the service. Returns the head.
async fn fill(log: &Database, tasks: u32) -> anyhow::Result<Position> {
    let began = Instant::now();
    let program = service::program()?;
    let mut making = Command::new(&program)
        .args(["demo", "--print", "--tasks", &tasks.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let made: Stdio = making
        .stdout
        .take()
        .context("its output is not piped")?
        .try_into()?;
    let imported = Command::new(&program)
        .args(["import", "-", "--offline"])
        .env("LOG_URL", log.url())
        .env("FOLDLINE_SECRET", SECRET)
        .stdin(made)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .await?;
    anyhow::ensure!(imported.success(), "the import ended with {imported}");
    making.wait().await?;
    log.tidy().await?;
    let head = sqlx::query_scalar("select max(position) from log.events")
        .fetch_one(&mut PgConnection::connect(&log.url()).await?)
        .await?;
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("a log of {head} events, made in {seconds:.0} s");
    Ok(head)
}

/// A cell whose topic nobody has made yet, and all of it carried there.
async fn relay(log: &Database, head: Position) -> anyhow::Result<()> {
    crate::relay::rename_cell(log).await?;
    let kafka = crate::relay::brokers()?;
    let settings = [("LOG_URL", log.url()), ("KAFKA_BROKERS", kafka)];
    let settings = settings
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let (mut relay, _) = service::start(&["relay"], &settings).await?;
    let mut watcher = PgConnection::connect(&log.url()).await?;
    until(async || {
        let mark: Option<Position> = sqlx::query_scalar("select max(mark) from log.relay")
            .fetch_one(&mut watcher)
            .await?;
        Ok(mark == Some(head))
    })
    .await?;
    tokio::time::sleep(WATERMARKS).await;
    Ok(relay.kill().await?)
}

async fn until(mut is_so: impl AsyncFnMut() -> anyhow::Result<bool>) -> anyhow::Result<()> {
    let began = Instant::now();
    while !is_so().await? {
        anyhow::ensure!(began.elapsed() < PATIENCE, "it never came to that");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// A projector of a new view database.
async fn projector(log: &Database, views: &Database, feed: &str) -> anyhow::Result<Child> {
    finished(&["migrate"], &[("VIEW_URL", &views.url())]).await?;
    let kafka = crate::relay::brokers()?;
    let (log, views) = (log.url(), views.url());
    let mut settings = vec![("LOG_URL", log.as_str()), ("VIEW_URL", &views)];
    if feed == "kafka" {
        settings.push(("KAFKA_BROKERS", &kafka));
    }
    let (process, _) = service::start(&["projector", "--feed", feed], &settings).await?;
    Ok(process)
}

async fn replay(log: &Database, feed: &str, head: Position) -> anyhow::Result<Replayed> {
    let views = Database::create().await?;
    let mut projector = projector(log, &views, feed).await?;
    let mut watcher = PgConnection::connect(&views.url()).await?;
    // Starting, connecting and being assigned partitions are no part of it.
    let (mut since, mut folded) = (None, None);
    until(async || {
        let (most, least, checkpoints): (Option<Position>, Option<Position>, i64) =
            sqlx::query_as("select max(position), min(position), count(*) from views.checkpoints")
                .fetch_one(&mut watcher)
                .await?;
        if most.is_some_and(|most| most > 0) {
            since.get_or_insert_with(Instant::now);
        }
        anyhow::ensure!(projector.try_wait()?.is_none(), "the projector ended");
        // Whoever reads the views needs their indexes, too.
        let late: i64 = sqlx::query_scalar("select count(*) from views.late_indexes")
            .fetch_one(&mut watcher)
            .await?;
        let is_folded = checkpoints == CHECKPOINTS && least >= Some(head);
        if is_folded {
            folded.get_or_insert_with(Instant::now);
        }
        Ok(is_folded && late == 0)
    })
    .await?;
    let ended = Instant::now();
    let (since, folded) = since.zip(folded).context("it never began")?;
    let a_second = |elapsed: Duration| head as f64 / elapsed.as_secs_f64();
    let mib = memory::peak_mib(projector.id().context("it has ended")?)?;
    projector.kill().await?;
    watcher.close().await?;
    views.drop().await?;
    Ok(Replayed {
        folded_a_second: a_second(folded - since),
        a_second: a_second(ended - since),
        mib,
    })
}

/// Commands at a steady pace, and when the rows of each can be seen.
async fn visible(feed: &str, seconds: f64) -> anyhow::Result<Vec<Figure>> {
    let database = Database::with_log().await?;
    let service = Service::start(&database).await?;
    let (url, kafka) = (database.url(), crate::relay::brokers()?);
    let mut relay = None;
    if feed == "kafka" {
        let settings = [("LOG_URL", url.as_str()), ("KAFKA_BROKERS", &kafka)];
        relay = Some(service::start(&["relay"], &settings).await?.0);
    }
    let mut projector = projector(&database, &database, feed).await?;
    let ended = CancellationToken::new();
    let watching = tokio::spawn(watch(url.clone(), ended.clone()));
    tokio::time::sleep(SETTLE).await;

    let counted_from = Instant::now() + WARM_UP;
    let until = counted_from + Duration::from_secs_f64(seconds);
    let mut pace = tokio::time::interval(APPEND_EVERY);
    let mut sending = Vec::new();
    while Instant::now() < until {
        pace.tick().await;
        let client = service.client.clone();
        let n = sending.len();
        sending.push(AbortOnDropHandle::new(tokio::spawn(async move {
            let sent = Instant::now();
            let cursor = client.create_task(n).await?;
            anyhow::Ok((sent, Instant::now(), cursor))
        })));
    }
    let mut appended = Vec::new();
    for sent in sending {
        appended.push(sent.await??);
    }
    tokio::time::sleep(SETTLE).await;
    ended.cancel();
    let seen = watching.await??;
    projector.kill().await?;
    if let Some(mut relay) = relay {
        relay.kill().await?;
    }
    service.stop().await?;
    database.drop().await?;

    let mut after_sent = Vec::new();
    let mut after_acknowledged = Vec::new();
    let counted = appended.iter().filter(|(sent, ..)| *sent >= counted_from);
    for (sent, acknowledged, cursor) in counted {
        let at = first_seen(&seen, cursor).context("an event was never seen")?;
        let ms = |since: Instant| at.saturating_duration_since(since).as_secs_f64() * 1e3;
        after_sent.push(ms(*sent));
        after_acknowledged.push(ms(*acknowledged));
    }
    let mut figures = Vec::new();
    for (since, mut delays) in [("sent", after_sent), ("acknowledged", after_acknowledged)] {
        delays.sort_by(f64::total_cmp);
        for hundredths in [50, 95] {
            let name = format!("{feed} feed, {since} to visible, p{hundredths}");
            let value = delays[(delays.len() - 1) * hundredths / 100];
            figures.push(Figure::new(&name, "ms", vec![value]));
        }
    }
    Ok(figures)
}

/// How far a partition of the slowest view was folded, and when that could be seen.
type Seen = BTreeMap<Partition, Vec<(Position, Instant)>>;

/// Looks whenever the projector says that rows may have moved, as a query service does.
async fn watch(url: String, ended: CancellationToken) -> anyhow::Result<Seen> {
    let mut listener = PgListener::connect(&url).await?;
    listener.listen("foldline_views").await?;
    let mut reader = PgConnection::connect(&url).await?;
    let mut seen = Seen::new();
    loop {
        tokio::select! {
            () = ended.cancelled() => return Ok(seen),
            heard = listener.recv() => { heard?; }
        }
        let rows: Vec<(Partition, Position)> = sqlx::query_as(
            "select partition, min(position) from views.checkpoints group by partition",
        )
        .fetch_all(&mut reader)
        .await?;
        let now = Instant::now();
        for (partition, position) in rows {
            let of_partition = seen.entry(partition).or_default();
            if of_partition.last().is_none_or(|(last, _)| *last < position) {
                of_partition.push((position, now));
            }
        }
    }
}

fn first_seen(seen: &Seen, cursor: &Cursor) -> Option<Instant> {
    let of_partition = seen.get(&cursor.partition?)?;
    let index = of_partition.partition_point(|(position, _)| *position < cursor.position);
    of_partition.get(index).map(|(_, at)| *at)
}
