//! The program: subcommands, configuration, telemetry and wiring, and nothing else.
//!
//! What a command, an event, a view or a query is, it does not know: it opens connections and puts the crates
//! together. Read [`up`] next for all of them in one process, [`roles`] for each in a process of its own.

mod changes;
mod config;
mod demo;
mod folder;
mod import;
mod jobs;
mod log;
mod migrate;
mod parked;
mod query;
mod rebuild;
mod replay;
mod roles;
mod schema;
mod serve;
mod shutdown;
mod status;
mod telemetry;
mod token;
mod up;
mod up_kafka;
mod verify;
mod views;
mod what_if;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// For librdkafka, too, which takes memory on one thread and gives it back on another; see `docs/decisions/0012-allocator.md`.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// An event-sourced CQRS platform: one log, one order, live views.
#[derive(Parser)]
#[command(name = "foldline", version, propagate_version = true)]
struct Cli {
    #[command(flatten)]
    logs: telemetry::LogArgs,
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Run everything in one process, with a Postgres of its own.
    Up(config::UpArgs),
    /// Run the five roles as processes of their own, with a Postgres and a Kafka of their own in the middle.
    UpKafka(config::UpArgs),
    /// Run the write side: takes commands over HTTP and appends their events to the log.
    Command(config::CommandArgs),
    /// Run the writers of views: folds the log into read models and dashboards.
    Projector(config::ProjectorArgs),
    /// Run the read side: GraphQL over the views.
    Query(config::QueryArgs),
    /// Run the relay: copies the log to Kafka.
    Relay(config::RelayArgs),
    /// Run the worker: reactions to events, commands that wait for their time, and housekeeping.
    Worker(config::WorkerArgs),
    /// Bring the databases' tables, functions and roles to this version.
    Migrate(config::MigrateArgs),
    /// Issue a development token.
    Token(token::TokenArgs),
    /// Send a file of commands (NDJSON, plain or gzip) to a running server, or write it into an empty log.
    Import(import::ImportArgs),
    /// Make up projects and tasks, and send them to a running server.
    Demo(demo::DemoArgs),
    /// List every change of a task or a project; exit code 0: shown, 1: there is no such thing, 2: not known.
    History(changes::HistoryArgs),
    /// Say in what a task or a project differs between two moments; exit code 0: in nothing, 1: in something, 2: not known.
    Diff(changes::DiffArgs),
    /// Say for each field of a task or a project since when it is as it is, and who made it so; exit code as of history.
    Blame(changes::BlameArgs),
    /// Read the log again, forward, back or step by step: each event with what it changed and the state that it leaves; exit code
    /// 0: shown, 1: no such stream or event, 2: not known.
    Replay(config::ReplayArgs),
    /// Ask what a command would do, now or as of the past; exit code 0: it would be accepted, 1: rejected, 2: not known.
    WhatIf(what_if::WhatIfArgs),
    /// Say how far the views and the relay follow the log; exit code 0: caught up, 1: lagging, 2: unreachable.
    Status(config::StatusArgs),
    /// Recount the dashboards from the tasks, and the like; exit code 0: equal, 1: something differs, 2: not checked.
    Verify(config::VerifyArgs),
    /// Fold a view again from the log: the whole of it beside what readers see, and shown in its place; or the rows of a tenant, or of
    /// one stream, in their place. Exit code 0: done, 1: refused, 2: not done.
    Rebuild(config::RebuildArgs),
    /// Look after the streams that a view does not fold any more, because it cannot fold one of their events.
    #[command(subcommand)]
    Parked(parked::ParkedTask),
    /// Look after the worker's jobs.
    #[command(subcommand)]
    Jobs(jobs::JobsTask),
    /// Say whether a change of the event schemas breaks a reader.
    Schema(schema::SchemaArgs),
    /// Look after the log itself: compare the topic with it, give it a new epoch after a restore.
    #[command(subcommand)]
    Log(log::LogTask),
}

impl Task {
    /// What is logged: nothing while the whole screen is somebody's.
    fn logs(&self, logs: telemetry::LogArgs) -> telemetry::LogArgs {
        if let Self::Replay(args) = self
            && args.step
        {
            return logs.silent();
        }
        logs
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    // Crash points of fault tests, from the FAILPOINTS variable.
    #[cfg(feature = "crash-points")]
    let _crash_points = fail::FailScenario::setup();
    let cli = Cli::parse();
    telemetry::start(&cli.task.logs(cli.logs.clone()));
    // Two TLS libraries could be in the program one day; this one is meant.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let ended = match cli.task {
        Task::Up(args) => up::run(args).await,
        Task::UpKafka(args) => up_kafka::run(args, &cli.logs).await,
        Task::Command(args) => roles::run_command(args).await,
        Task::Projector(args) => roles::run_projector(args).await,
        Task::Query(args) => roles::run_query(args).await,
        Task::Relay(args) => roles::run_relay(args).await,
        Task::Worker(args) => roles::run_worker(args).await,
        Task::Migrate(args) => migrate::run(args).await,
        Task::Token(args) => token::run(args),
        Task::History(args) => return changes::told(changes::history(args).await),
        Task::Diff(args) => return changes::told(changes::diff(args).await),
        Task::Blame(args) => return changes::told(changes::blame(args).await),
        Task::Replay(args) => return changes::told(replay::run(args).await),
        Task::WhatIf(args) => return what_if::run(args).await,
        Task::Status(args) => return status::run(args).await,
        Task::Verify(args) => return verify::run(args).await,
        Task::Rebuild(args) => return rebuild::run(args).await,
        Task::Parked(task) => return parked::run(task).await,
        Task::Jobs(task) => return jobs::run(task).await,
        Task::Schema(args) => return schema::run(args).await,
        Task::Log(task) => return log::run(task).await,
        Task::Import(args) => match import::run(args).await {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
        Task::Demo(args) => match demo::run(args).await {
            Ok(code) => return code,
            Err(error) => Err(error),
        },
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("foldline: {error:#}");
            ExitCode::FAILURE
        }
    }
}
