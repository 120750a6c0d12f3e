//! The worker: reactions, commands that wait for their time, schedules and housekeeping.
//!
//! Everything that it does is a job, a row in `work.jobs` with a time before which it is not begun. What orders jobs is one
//! process at a time: the leader, which reads the log for the reactions and looks at the clock for the schedules (read
//! `worker/leader.rs`). What runs them is every process, a few at once (`worker/runner.rs`). A process may die at any point:
//! what it had begun is begun again by another, and a job that is a command has its own id for the command's, so that it does
//! nothing twice.
//!
//! It hands commands to the [`Handler`] as everybody does, and knows the log as a reader. The tables lie beside the log
//! (`schema/log/0004_work.sql`), and it must not know how the log stores events.

pub mod desk;
mod housekeeping;
mod jobs;
mod leader;
mod runner;
mod schedules;

use std::{collections::BTreeMap, time::Duration};

use foldline_events::{DecodeError, Position};
use foldline_log::Log;
use sqlx::{PgConnection, PgPool, postgres::PgConnectOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Handler, reactions::Reaction};
pub use jobs::{Kind, Policy};
pub use runner::JOBS_CONCURRENT_MAX;

/// How many days the id of a command is known, unless said otherwise: far longer than anybody repeats a command.
pub const COMMAND_ID_DAYS: u16 = 90;
/// The fewest that may be said; `events/log/sql/forget_commands.sql` forgets nothing younger.
pub const COMMAND_ID_DAYS_MIN: u16 = 7;
/// How long connecting, one page of events, one look at the clock, or one statement about jobs may take.
const STEP_SECONDS_MAX: u64 = 30;

/// A worker that has not begun. Cheap to make; [`Worker::run`] does everything.
pub struct Worker {
    handler: Handler,
    log: Log,
    pool: PgPool,
    options: WorkerOptions,
    status: watch::Sender<Status>,
}

#[derive(Debug, Clone)]
pub struct WorkerOptions {
    /// A connection as the role `foldline_worker` that no pooler stands before: its session holds the lead.
    pub direct: PgConnectOptions,
    /// Where a reaction begins that was never run on this log: after this position, or at the head.
    pub new_from: Option<Position>,
    /// How often, how long and how many at once jobs of a kind are tried.
    pub policy: fn(Kind) -> Policy,
    /// How many days the id of a command is known.
    pub command_id_days: u16,
}

impl WorkerOptions {
    pub fn new(direct: PgConnectOptions) -> Self {
        Self {
            direct,
            new_from: None,
            policy: Kind::policy,
            command_id_days: COMMAND_ID_DAYS,
        }
    }
}

/// What jobs are done with.
#[derive(Clone)]
struct Means {
    handler: Handler,
    log: Log,
    pool: PgPool,
    command_id_days: u16,
}

/// How a worker does.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Status {
    /// Whether this process orders the jobs.
    pub leader: bool,
    /// Up to where each reaction has answered the log, in the process that leads.
    pub reactions: BTreeMap<Reaction, Position>,
    /// As the leader counted last.
    pub jobs: Option<Counts>,
    /// Why the lead was lost, until this or another process has it.
    pub failure: Option<String>,
    /// Why this process cannot take jobs, until it can.
    pub jobs_failure: Option<String>,
}

impl Status {
    pub fn is_ready(&self) -> bool {
        self.failure.is_none() && self.jobs_failure.is_none()
    }
}

/// How many jobs there are; of each kind and state at most as many as are counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Whose time has not come.
    pub waiting: i64,
    /// Whose time has come, or that are under way.
    pub due: i64,
    /// That were given up after their last try.
    pub parked: i64,
}

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "the worker's tables are not as this build needs them; run `foldline migrate` of this build"
    )]
    NotMigrated(#[source] sqlx::Error),
    #[error("cannot connect to the log's database as the worker")]
    Connect(#[source] sqlx::Error),
    #[error("cannot read or write the worker's tables")]
    Work(#[source] sqlx::Error),
    #[error("cannot read the log for reactions")]
    Log(#[from] foldline_log::Error),
    #[error(
        "the reaction {reaction} cannot read the event at position {position} and waits there; if a newer build recorded it, \
         run a worker of that build"
    )]
    Unreadable {
        reaction: &'static str,
        position: Position,
        #[source]
        source: DecodeError,
    },
    #[error("reactions are to begin after position {from}, and the log ends at {head}")]
    BeyondHead { head: Position, from: Position },
}

impl Error {
    /// A table or column that is not there is not an outage.
    fn of_work(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|error| error.code());
        // Undefined schema, table, column, function; no rights.
        match code.as_deref() {
            Some("3F000" | "42P01" | "42703" | "42883" | "42501") => Self::NotMigrated(error),
            _ => Self::Work(error),
        }
    }

    /// Whether trying again cannot help.
    fn is_final(&self) -> bool {
        match self {
            Self::NotMigrated(_) | Self::BeyondHead { .. } => true,
            Self::Log(error) => matches!(
                error,
                foldline_log::Error::AnotherLog { .. }
                    | foldline_log::Error::AnotherEpoch { .. }
                    | foldline_log::Error::NotMigrated { .. }
            ),
            Self::Connect(_) | Self::Work(_) | Self::Unreadable { .. } => false,
        }
    }
}

impl Worker {
    /// `log` is read: it must hear what other processes append. `pool` has connections as the role `foldline_worker`.
    pub fn new(handler: Handler, log: Log, pool: PgPool, options: WorkerOptions) -> Self {
        Self {
            handler,
            log,
            pool,
            options,
            status: watch::Sender::default(),
        }
    }

    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Works until `shutdown`, and then ends the jobs that are under way. An outage is waited for; what no patience helps
    /// against ends it with an error.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), Error> {
        let (ordered, hears) = watch::channel(());
        let leading = leader::run(
            &self.log,
            &self.options,
            &self.status,
            &ordered,
            shutdown.clone(),
        );
        let means = Means {
            handler: self.handler.clone(),
            log: self.log.clone(),
            pool: self.pool.clone(),
            command_id_days: self.options.command_id_days,
        };
        let running = runner::run(
            &means,
            (self.options.policy, &self.status),
            hears,
            shutdown.clone(),
        );
        // One without the other is of no use.
        let leading = ending(leading, &shutdown);
        let running = ending(running, &shutdown);
        let (led, ran) = tokio::join!(leading, running);
        led.and(ran)
    }
}

/// Whoever ends ends the others too.
async fn ending<T>(work: impl Future<Output = T>, shutdown: &CancellationToken) -> T {
    let ended = work.await;
    shutdown.cancel();
    ended
}

/// Gives up what a dead network swallows.
async fn in_time<T>(step: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let bound = Duration::from_secs(STEP_SECONDS_MAX);
    let timed_out = || Error::Work(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
    let ended = tokio::time::timeout(bound, step).await;
    ended.unwrap_or_else(|_| Err(timed_out()))
}

/// The same over a connection of the pool, which is closed then: whoever had it next would wait for the rest of an answer that
/// nobody takes.
async fn over<T>(
    pool: &PgPool,
    step: impl AsyncFnOnce(&mut PgConnection) -> Result<T, sqlx::Error>,
) -> Result<T, Error> {
    let mut connection = pool.acquire().await.map_err(Error::of_work)?;
    let ended = in_time(async { step(&mut connection).await.map_err(Error::of_work) }).await;
    if ended.is_err() {
        connection.close_on_drop();
    }
    ended
}

/// Waits, but no longer than until `shutdown`; says whether it is not over yet.
async fn pause(ms: u64, shutdown: &CancellationToken) -> bool {
    tokio::select! {
        () = shutdown.cancelled() => false,
        () = tokio::time::sleep(Duration::from_millis(ms)) => true,
    }
}
