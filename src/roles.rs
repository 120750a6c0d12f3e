//! Each role: what it opens, and how it runs as a process of its own. `foldline up` opens the same parts in one.

use std::time::Duration;

use anyhow::Context;
use axum::Router;
use foldline_command::{
    Handler,
    worker::{Worker, WorkerOptions},
};
use foldline_events::upcast;
use foldline_gate::{Gate, Secret};
use foldline_log::{
    Feed, Log, LogOptions, Service,
    feed::{KafkaFeed, KafkaFeedOptions, PostgresFeed},
    relay::{self, RelayStatus},
};
use foldline_projector::{Projector, ProjectorOptions};
use foldline_query::{Commands, Limits, QueryOptions, QueryState, Wakes};
use serde_json::json;
use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use crate::{
    config::{
        CommandArgs, Database, FeedConfig, ListenArgs, Projecting, ProjectorArgs, QueryArgs,
        RelayArgs, WorkerArgs,
    },
    serve::{self, Check},
    shutdown,
};

/// Connections of a command process: one appends, the others load streams.
const COMMAND_CONNECTIONS_MAX: u32 = 8;
/// Connections of a projector or relay to the log.
const READER_CONNECTIONS_MAX: u32 = 4;
/// Connections of a projector to the views: two fold, and the others are for what is done beside it.
const PROJECTOR_CONNECTIONS_MAX: u32 = 5;
/// Connections of a worker to its tables; its lead has one of its own.
const WORKER_CONNECTIONS_MAX: u32 = 2;
/// How long one of its statements may take.
const WORKER_STATEMENT_TIMEOUT: &str = "20s";
/// Connections of a query process to the views.
const QUERY_CONNECTIONS_MAX: u32 = 16;

/// How long a request may wait for one of them.
const ACQUIRE_TIMEOUT_MS: u64 = 5_000;

/// How long the command service may take to answer a mutation that was handed to it.
const FORWARD_SECONDS_MAX: u64 = 30;

/// How long a role waits at its start for a database that is not there yet.
const CONNECT_SECONDS_MAX: u64 = 30;
const CONNECT_PAUSE_MS: u64 = 500;

/// Opens the log as a service. A database that is away, or not migrated yet, is waited for.
pub async fn open_log(database: &Database, service: Service) -> anyhow::Result<Log> {
    let role = match service {
        Service::Command => "command",
        Service::Relay => "relay",
        Service::Projector => "projector",
    };
    let options = LogOptions {
        url: called(&database.url, role),
        direct: Some(called(&database.direct, role)),
        service,
        connections_max: match service {
            Service::Command => COMMAND_CONNECTIONS_MAX,
            Service::Relay | Service::Projector => READER_CONNECTIONS_MAX,
        },
    };
    patiently("the log's database", async || {
        Log::open(options.clone()).await
    })
    .await
    .context("cannot open the log")
}

/// Tries again for a while: at a start of everything at once, a database may come last. One that is there and does not let us
/// in will not do so later.
async fn patiently<T, E>(what: &str, open: impl AsyncFn() -> Result<T, E>) -> anyhow::Result<T>
where
    anyhow::Error: From<E>,
{
    let until = Instant::now() + Duration::from_secs(CONNECT_SECONDS_MAX);
    loop {
        let error = match open().await {
            Ok(opened) => return Ok(opened),
            Err(error) => anyhow::Error::from(error),
        };
        if Instant::now() > until || error.chain().any(is_refusal) {
            return Err(error);
        }
        tracing::warn!(error = format!("{error:#}"), "waiting for {what}");
        tokio::time::sleep(Duration::from_millis(CONNECT_PAUSE_MS)).await;
    }
}

/// A wrong password, a user or role that is not there, and one that the user may not act as.
const REFUSALS: [&str; 4] = ["28P01", "28000", "22023", "42501"];

fn is_refusal(cause: &(dyn std::error::Error + 'static)) -> bool {
    let said = cause.downcast_ref::<sqlx::Error>();
    let code = said
        .and_then(sqlx::Error::as_database_error)
        .and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| REFUSALS.contains(&code.as_ref()))
}

/// What is opened at the start of a role; `None` when it is ended before.
async fn unless_ended<T>(
    shutdown: &CancellationToken,
    open: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<Option<T>> {
    tokio::select! {
        opened = open => opened.map(Some),
        () = shutdown.cancelled() => Ok(None),
    }
}

/// Connections to the views as the projector.
pub async fn open_views_to_write(database: &Database) -> anyhow::Result<PgPool> {
    pool(
        "the views' database",
        PROJECTOR_CONNECTIONS_MAX,
        as_projector(&database.url),
    )
    .await
}

pub fn as_projector(options: &PgConnectOptions) -> PgConnectOptions {
    called(options, "projector").options([("role", "foldline_projector")])
}

/// The same as the worker.
pub fn as_worker(options: &PgConnectOptions) -> PgConnectOptions {
    called(options, "worker").options([
        ("role", "foldline_worker"),
        ("statement_timeout", WORKER_STATEMENT_TIMEOUT),
    ])
}

/// The same, which say in `pg_stat_activity` whose they are, unless the settings say something else.
pub fn called(options: &PgConnectOptions, role: &str) -> PgConnectOptions {
    match options.get_application_name() {
        Some(_) => options.clone(),
        None => options
            .clone()
            .application_name(&format!("foldline {role}")),
    }
}

/// Connections to the views as a reader, for whom row-level security holds.
pub async fn open_views_to_read(database: &Database) -> anyhow::Result<PgPool> {
    let options = foldline_query::as_reader(called(&database.url, "query"));
    pool("the views' database", QUERY_CONNECTIONS_MAX, options).await
}

async fn pool(
    what: &str,
    connections_max: u32,
    options: PgConnectOptions,
) -> anyhow::Result<PgPool> {
    let pool = PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_millis(ACQUIRE_TIMEOUT_MS));
    patiently(what, async || {
        pool.clone().connect_with(options.clone()).await
    })
    .await
    .with_context(|| format!("cannot connect to {what}"))
}

/// The command service's routes.
pub fn command_routes(log: &Log, secret: &Secret) -> (Router, Handler) {
    let options = foldline_command::Options::default();
    let handler = Handler::new(log.clone(), secret, &options);
    (
        foldline_command::router(handler.clone(), Gate::new(secret)),
        handler,
    )
}

/// The query service's state; its routes are `foldline_query::router` of it.
pub async fn open_query(
    database: &Database,
    secret: &Secret,
    commands: Commands,
    wakes: Wakes,
    closed: CancellationToken,
) -> anyhow::Result<QueryState> {
    let options = QueryOptions {
        views: open_views_to_read(database).await?,
        wakes,
        gate: Gate::new(secret),
        commands,
        limits: Limits::default(),
        closed,
    };
    QueryState::open(options)
        .await
        .context("cannot open the views")
}

/// A projector over the feed; the second part is marked after each commit.
pub async fn open_projector(
    database: &Database,
    log: &Log,
    feed: &FeedConfig,
    projecting: &Projecting,
) -> anyhow::Result<(Projector, watch::Receiver<u64>)> {
    let views = open_views_to_write(database).await?;
    let feed = match feed {
        FeedConfig::Postgres => Feed::Postgres(PostgresFeed::unassigned(log.clone())),
        FeedConfig::Kafka(kafka) => {
            let options = KafkaFeedOptions {
                kafka: kafka.clone(),
                group: format!("foldline.{}.projector", log.cell()),
            };
            Feed::Kafka(Box::new(KafkaFeed::new(log.clone(), &options)?))
        }
    };
    let (moved, moved_by_us) = watch::channel(0);
    let options = ProjectorOptions {
        direct: as_projector(&database.direct),
        moved,
        stall_retry: ProjectorOptions::STALL_RETRY,
        long_log_events: ProjectorOptions::LONG_LOG_EVENTS,
        retention: projecting.retention.clone(),
        retention_interval: ProjectorOptions::RETENTION_INTERVAL,
        proof_pause: projecting.proof_pause,
    };
    Ok((
        Projector::new(views, feed, log.clone(), options),
        moved_by_us,
    ))
}

/// A worker that gives its commands to the handler, and reads a log that hears of every append.
pub async fn open_worker(
    database: &Database,
    handler: Handler,
    log: &Log,
    options: WorkerOptions,
) -> anyhow::Result<Worker> {
    let url = as_worker(&database.url);
    let pool = pool("the log's database", WORKER_CONNECTIONS_MAX, url).await?;
    Ok(Worker::new(handler, log.clone(), pool, options))
}

/// As it works unless somebody says otherwise.
pub fn worker_options(database: &Database) -> WorkerOptions {
    WorkerOptions::new(as_worker(&database.direct))
}

pub async fn run_command(args: CommandArgs) -> anyhow::Result<()> {
    upcast::check()?;
    let config = args.read()?;
    let shutdown = ending(&args.listen)?;
    let listener = serve::bind(config.listen).await?;
    let opening = open_log(&config.log, Service::Command);
    let Some(log) = unless_ended(&shutdown, opening).await? else {
        return Ok(());
    };
    let (routes, _handler) = command_routes(&log, &config.secret);
    announce("command", &listener, &args.listen)?;
    let ended = log_ended(log.clone(), shutdown.clone());
    let serving = serve::serve(listener, routes, vec![Check::Log(log)], shutdown);
    let (served, ended) = tokio::join!(serving, ended);
    ended.and(served)
}

pub async fn run_query(args: QueryArgs) -> anyhow::Result<()> {
    upcast::check()?;
    let config = args.read()?;
    let shutdown = ending(&args.listen)?;
    let listener = serve::bind(config.listen).await?;
    let commands = Commands::Http {
        client: reqwest::Client::builder()
            .timeout(Duration::from_secs(FORWARD_SECONDS_MAX))
            .build()
            .context("cannot make an HTTP client")?,
        server: config.command_url,
    };
    let wakes = Wakes::Listen(called(&config.view.direct, "query"));
    let opening = open_query(
        &config.view,
        &config.secret,
        commands,
        wakes,
        shutdown.clone(),
    );
    let Some(query) = unless_ended(&shutdown, opening).await? else {
        return Ok(());
    };
    let routes = foldline_query::router(query.clone());
    announce("query", &listener, &args.listen)?;
    serve::serve(
        listener,
        routes,
        vec![Check::Query(Box::new(query))],
        shutdown,
    )
    .await
}

pub async fn run_projector(args: ProjectorArgs) -> anyhow::Result<()> {
    upcast::check()?;
    let config = args.read()?;
    let shutdown = ending(&args.listen)?;
    let listener = serve::bind(config.listen).await?;
    let opening = async {
        let log = open_log(&config.log, Service::Projector).await?;
        let (projector, _moved) =
            open_projector(&config.view, &log, &config.feed, &config.projecting).await?;
        Ok((log, projector))
    };
    let Some((log, projector)) = unless_ended(&shutdown, opening).await? else {
        return Ok(());
    };
    let checks = vec![Check::Log(log), Check::Projector(projector.health())];
    announce("projector", &listener, &args.listen)?;
    let projecting = tokio::spawn(projector.run(shutdown.clone()));
    beside(listener, checks, shutdown, async { Ok(projecting.await??) }).await
}

pub async fn run_relay(args: RelayArgs) -> anyhow::Result<()> {
    let config = args.read()?;
    let shutdown = ending(&args.listen)?;
    let listener = serve::bind(config.listen).await?;
    let opening = open_log(&config.log, Service::Relay);
    let Some(log) = unless_ended(&shutdown, opening).await? else {
        return Ok(());
    };
    let (sender, status) = watch::channel(RelayStatus::default());
    let checks = vec![Check::Log(log.clone()), Check::Relay(status)];
    announce("relay", &listener, &args.listen)?;
    let relaying = tokio::spawn(relay::run(log, config.kafka, sender, shutdown.clone()));
    beside(listener, checks, shutdown, async { Ok(relaying.await??) }).await
}

pub async fn run_worker(args: WorkerArgs) -> anyhow::Result<()> {
    upcast::check()?;
    let config = args.read()?;
    let shutdown = ending(&args.listen)?;
    let listener = serve::bind(config.listen).await?;
    let opening = async {
        let log = open_log(&config.log, Service::Command).await?;
        let reading = open_log(&config.log, Service::Projector).await?;
        let (_routes, handler) = command_routes(&log, &config.secret);
        let options = WorkerOptions {
            new_from: config.from,
            command_id_days: config.command_id_days,
            ..worker_options(&config.log)
        };
        let worker = open_worker(&config.log, handler, &reading, options).await?;
        Ok((log, worker))
    };
    let Some((log, worker)) = unless_ended(&shutdown, opening).await? else {
        return Ok(());
    };
    let checks = vec![Check::Log(log.clone()), Check::Worker(worker.status())];
    announce("worker", &listener, &args.listen)?;
    let working = tokio::spawn(worker.run(shutdown.clone()));
    let working = async {
        let worked = working.await;
        shutdown.cancel();
        worked
    };
    let ended = log_ended(log, shutdown.clone());
    let work = async {
        let (worked, ended) = tokio::join!(working, ended);
        ended.and(Ok(worked??))
    };
    beside(listener, checks, shutdown.clone(), work).await
}

/// Ends the process when the log is another than the one that it opened: what it holds in memory is of that one.
pub async fn log_ended(log: Log, shutdown: CancellationToken) -> anyhow::Result<()> {
    tokio::select! {
        () = shutdown.cancelled() => Ok(()),
        error = log.ended() => {
            shutdown.cancel();
            Err(anyhow::Error::new(error).context("the log that this service wrote to is gone; start it again"))
        }
    }
}

/// Serves health and metrics beside a role's work, until the work ends or a signal ends both.
async fn beside(
    listener: tokio::net::TcpListener,
    checks: Vec<Check>,
    shutdown: CancellationToken,
    work: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<()> {
    let serving = serve::serve(listener, Router::new(), checks, shutdown.clone());
    let working = async {
        let ended = work.await;
        shutdown.cancel();
        ended
    };
    let (served, worked) = tokio::join!(serving, working);
    worked.and(served)
}

/// What ends a role.
fn ending(args: &ListenArgs) -> std::io::Result<CancellationToken> {
    if args.end_with_input {
        shutdown::on_signal_or_end_of_input()
    } else {
        shutdown::on_signal()
    }
}

/// Says that the role is there, to a person or to a script.
fn announce(
    role: &str,
    listener: &tokio::net::TcpListener,
    args: &ListenArgs,
) -> anyhow::Result<()> {
    let address = listener
        .local_addr()
        .context("the listening socket has no address")?;
    tracing::info!(role, %address, "ready");
    if args.json {
        println!(
            "{}",
            json!({"role": role, "listen": format!("http://{address}")})
        );
    }
    Ok(())
}
