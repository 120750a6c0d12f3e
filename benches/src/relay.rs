//! The relay: how fast it drains a backlog and in how much memory, and how far behind it is while the log is appended to.

use std::{
    collections::HashMap,
    env,
    path::PathBuf,
    process::Stdio,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use clap::Args;
use foldline_log::{
    KafkaOptions, Log, LogOptions, Service, Verdict,
    relay::{self, RelayStatus},
};
use rdkafka::{
    ClientConfig, Message, Offset, TopicPartitionList,
    consumer::{BaseConsumer, Consumer},
    message::Headers,
};
use sqlx::{Connection, PgConnection};
use tokio::{
    process::{Child, Command},
    sync::watch,
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    database::{self, Database},
    load, memory,
    report::{self, Figure},
    sample,
};

/// The goal for a backlog: 60,000 events a second.
const TARGET: f64 = 60_000.0;
/// How many appends are under way at a time in the mixed run.
const CLIENTS: u32 = 32;
/// How long the log is loaded to see what it takes.
const CAPACITY_SECONDS: f64 = 4.0;
const PARTITIONS: i32 = 32;
/// How long anything may take before the benchmark gives up.
const PATIENCE: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(20);

#[derive(Args)]
pub struct RelayArgs {
    /// How long the backlog is
    #[arg(long, default_value_t = 1_000_000)]
    events: usize,
    /// How often the backlog is drained, by each build, and how often the mixed run is made; 0 leaves the backlog out, and makes
    /// one mixed run
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// How long the log is appended to while the relay runs; 0 leaves it out
    #[arg(long, default_value_t = 20.0)]
    seconds: f64,
    /// Another build of this program, whose relay is measured in turns with this one's
    #[arg(long)]
    against: Option<PathBuf>,
}

#[derive(Args)]
pub struct RelayingArgs {
    /// A database with a log
    #[arg(long)]
    url: String,
}

/// One process that relays until it is killed.
pub async fn relaying(args: RelayingArgs) -> anyhow::Result<()> {
    let log = Log::open(LogOptions::new(args.url.parse()?, Service::Relay)).await?;
    let (sender, _status) = watch::channel(RelayStatus::default());
    Ok(relay::run(log, kafka()?, sender, CancellationToken::new()).await?)
}

pub async fn run(args: RelayArgs) -> anyhow::Result<()> {
    let own = env::current_exe()?;
    let mut figures = Vec::new();
    if args.runs > 0 {
        let programs: Vec<(&str, PathBuf)> = [Some(("relay", own.clone()))]
            .into_iter()
            .chain([args
                .against
                .clone()
                .map(|program| ("the other build", program))])
            .flatten()
            .collect();
        let mut came: Vec<Vec<Drained>> = vec![Vec::new(); programs.len()];
        let database = Database::with_log().await?;
        let head = database.fill(args.events).await?;
        for run in 1..=args.runs {
            for ((name, program), came) in programs.iter().zip(&mut came) {
                let drained = drain(&database, program, head).await?;
                eprintln!(
                    "run {run}: {name}: {:.0} events a second, {:.0} MiB",
                    drained.a_second, drained.mib
                );
                came.push(drained);
            }
        }
        database.drop().await?;
        for ((name, _), came) in programs.iter().zip(&came) {
            let of = |of: fn(&Drained) -> f64| came.iter().map(of).collect();
            let mut rate = Figure::new(
                &format!("{name}, backlog"),
                "events/s",
                of(|it| it.a_second),
            );
            rate.against("the target", TARGET);
            figures.push(rate);
            figures.push(Figure::new(
                &format!("{name}, peak memory"),
                "MiB",
                of(|it| it.mib),
            ));
        }
    }
    if args.seconds > 0.0 {
        let mut came: Vec<Mixed> = Vec::new();
        for run in 1..=args.runs.max(1) {
            let mixed = mixed(&own, args.seconds).await?;
            eprintln!("mixed run {run}: {:.1} ms at p95", mixed.p95_ms);
            came.push(mixed);
        }
        figures.extend(mixed_figures(&came));
    }
    report::publish("relay", &figures)
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is an edge")]
pub fn brokers() -> anyhow::Result<String> {
    env::var("KAFKA_BROKERS").context("KAFKA_BROKERS is not set")
}

fn kafka() -> anyhow::Result<KafkaOptions> {
    Ok(KafkaOptions {
        brokers: brokers()?,
        properties: std::collections::BTreeMap::new(),
    })
}

/// Another cell has another topic.
#[expect(clippy::disallowed_methods, reason = "a benchmark is an edge")]
pub async fn rename_cell(database: &Database) -> anyhow::Result<String> {
    let mut owner = PgConnection::connect(&database.url()).await?;
    let cell = format!("bench-{}", &Uuid::new_v4().simple().to_string()[..16]);
    sqlx::query("update log.cell set name = $1, epoch = gen_random_uuid()")
        .bind(&cell)
        .execute(&mut owner)
        .await?;
    owner.close().await?;
    Ok(cell)
}

#[derive(Debug, Clone, Copy)]
struct Drained {
    a_second: f64,
    mib: f64,
}

fn start(program: &PathBuf, database: &Database) -> anyhow::Result<Child> {
    Command::new(program)
        .args(["relaying", "--url", &database.url()])
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))
}

async fn drain(database: &Database, program: &PathBuf, head: i64) -> anyhow::Result<Drained> {
    let cell = rename_cell(database).await?;
    let topic = relay::topic(&cell);
    let mut watcher = PgConnection::connect(&database.url()).await?;
    let mut relay = start(program, database)?;
    let began = Instant::now();
    let mut first = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let mark = mark(&mut watcher, &topic).await?;
        if mark > 0 {
            // Starting, connecting and making the topic are no part of it.
            first.get_or_insert((Instant::now(), mark));
        }
        if mark >= head {
            break;
        }
        anyhow::ensure!(relay.try_wait()?.is_none(), "the relay ended");
        anyhow::ensure!(began.elapsed() < PATIENCE, "the relay stands at {mark}");
    }
    let (since, from) = first.context("the relay never began")?;
    let mib = peak_mib(&relay)?;
    relay.kill().await?;
    watcher.close().await?;
    Ok(Drained {
        a_second: (head - from) as f64 / since.elapsed().as_secs_f64(),
        mib,
    })
}

async fn mark(watcher: &mut PgConnection, topic: &str) -> anyhow::Result<i64> {
    let mark = sqlx::query_scalar("select mark from log.relay where topic = $1")
        .bind(topic)
        .fetch_optional(watcher)
        .await?;
    Ok(mark.unwrap_or(0))
}

fn peak_mib(child: &Child) -> anyhow::Result<f64> {
    memory::peak_mib(child.id().context("it has ended")?)
}

/// When a record was seen, and when its append was acknowledged, by position.
#[derive(Default)]
struct Times {
    seen: Mutex<HashMap<i64, Instant>>,
    acknowledged: Mutex<HashMap<i64, Instant>>,
    head: AtomicI64,
    done: AtomicBool,
}

/// What a mixed run gave.
struct Mixed {
    appends_a_second: f64,
    lag_max: f64,
    lag_end: f64,
    until_zero_ms: f64,
    p50_ms: f64,
    p95_ms: f64,
    p99_ms: f64,
    mib: f64,
}

fn mixed_figures(came: &[Mixed]) -> Vec<Figure> {
    let figure = |name: &str, unit, of: fn(&Mixed) -> f64| {
        Figure::new(
            &format!("mixed, {name}"),
            unit,
            came.iter().map(of).collect(),
        )
    };
    vec![
        figure("appends", "appends/s", |it| it.appends_a_second),
        figure("most behind", "events", |it| it.lag_max),
        figure("behind at the end", "events", |it| it.lag_end),
        figure("until none behind", "ms", |it| it.until_zero_ms),
        figure("acknowledged to visible, p50", "ms", |it| it.p50_ms),
        figure("acknowledged to visible, p95", "ms", |it| it.p95_ms),
        figure("acknowledged to visible, p99", "ms", |it| it.p99_ms),
        figure("peak memory", "MiB", |it| it.mib),
    ]
}

/// Appends at half of what the log takes while the relay runs.
async fn mixed(program: &PathBuf, seconds: f64) -> anyhow::Result<Mixed> {
    let database = Database::with_log().await?;
    let log = database::open(&database.url()).await?;
    let capacity = load::load(&log, CLIENTS, CAPACITY_SECONDS)
        .await?
        .a_second();
    drop(log);
    let cell = rename_cell(&database).await?;
    let topic = relay::topic(&cell);
    let log = database::open(&database.url()).await?;
    let mut relay = start(program, &database)?;
    let mut watcher = PgConnection::connect(&database.url()).await?;
    let start = log.head().await?.position;
    while mark(&mut watcher, &topic).await? < start {
        anyhow::ensure!(relay.try_wait()?.is_none(), "the relay ended");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let times = Arc::new(Times::default());
    let consuming = {
        let (times, topic, kafka) = (Arc::clone(&times), topic.clone(), kafka()?);
        tokio::task::spawn_blocking(move || consume(&kafka, &topic, &times))
    };
    // Until the consumer is at the end.
    tokio::time::sleep(Duration::from_secs(2)).await;

    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let pause = Duration::from_secs_f64(f64::from(CLIENTS) / (capacity / 2.0));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|n| {
            let offset = pause * n / CLIENTS;
            tokio::spawn(paced(log.clone(), Arc::clone(&times), offset, pause, until))
        })
        .collect();
    let mut lag_max = 0;
    while Instant::now() < until {
        tokio::time::sleep(LOOK_EVERY).await;
        let mark = mark(&mut watcher, &topic).await?;
        lag_max = lag_max.max(times.head.load(Ordering::Relaxed) - mark);
    }
    for client in clients {
        client.await??;
    }
    let ended = Instant::now();
    let head = log.head().await?.position;
    let lag_end = head - mark(&mut watcher, &topic).await?;
    while mark(&mut watcher, &topic).await? < head {
        anyhow::ensure!(ended.elapsed() < PATIENCE, "the relay does not get there");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let until_zero_ms = ended.elapsed().as_secs_f64() * 1e3;
    tokio::time::sleep(Duration::from_secs(1)).await;
    times.done.store(true, Ordering::Relaxed);
    consuming.await??;
    let mib = peak_mib(&relay)?;
    relay.kill().await?;
    drop(log);
    watcher.close().await?;
    database.drop().await?;

    let seen = times.seen.lock().expect("nobody panics");
    let acknowledged = times.acknowledged.lock().expect("nobody panics");
    let mut delays: Vec<f64> = acknowledged
        .iter()
        .filter_map(|(position, at)| Some(seen.get(position)?.saturating_duration_since(*at)))
        .map(|delay| delay.as_secs_f64() * 1e3)
        .collect();
    anyhow::ensure!(
        delays.len() == acknowledged.len(),
        "{} of {} records were seen",
        delays.len(),
        acknowledged.len()
    );
    delays.sort_by(f64::total_cmp);
    let quantile = |hundredths: usize| delays[(delays.len() - 1) * hundredths / 100];
    Ok(Mixed {
        appends_a_second: delays.len() as f64 / seconds,
        lag_max: lag_max as f64,
        lag_end: lag_end as f64,
        until_zero_ms,
        p50_ms: quantile(50),
        p95_ms: quantile(95),
        p99_ms: quantile(99),
        mib,
    })
}

async fn paced(
    log: Log,
    times: Arc<Times>,
    offset: Duration,
    pause: Duration,
    until: Instant,
) -> anyhow::Result<()> {
    let mut interval = tokio::time::interval_at(tokio::time::Instant::now() + offset, pause);
    loop {
        interval.tick().await;
        if Instant::now() >= until {
            return Ok(());
        }
        let Verdict::Appended(receipt) = log.append(sample::append()).await? else {
            anyhow::bail!("a new stream was not appended to");
        };
        let position = receipt.cursor.position;
        let now = Instant::now();
        times.head.fetch_max(position, Ordering::Relaxed);
        let mut acknowledged = times.acknowledged.lock().expect("nobody panics");
        acknowledged.insert(position, now);
    }
}

/// Reads what comes from now on, and notes when.
fn consume(kafka: &KafkaOptions, topic: &str, times: &Times) -> anyhow::Result<()> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", &kafka.brokers)
        .set("group.id", "bench")
        .set("enable.auto.commit", "false")
        .create()?;
    let mut wanted = TopicPartitionList::new();
    for partition in 0..PARTITIONS {
        wanted.add_partition_offset(topic, partition, Offset::End)?;
    }
    consumer.assign(&wanted)?;
    while !times.done.load(Ordering::Relaxed) {
        let Some(message) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let message = message?;
        let now = Instant::now();
        let headers = message.headers().context("a record has no headers")?;
        let text = |name: &str| {
            let header = headers.iter().find(|header| header.key == name);
            header.and_then(|header| std::str::from_utf8(header.value?).ok())
        };
        if text("ce_type") == Some("foldline.Watermark") {
            continue;
        }
        let position = text("ce_position").context("a record has no position")?;
        let mut seen = times.seen.lock().expect("nobody panics");
        seen.entry(position.parse()?).or_insert(now);
    }
    Ok(())
}
