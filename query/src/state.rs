//! What the query service is made of, built once where the program starts.

use std::sync::Arc;

use foldline_events::Cursor;
use foldline_gate::Gate;
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    commands::Commands,
    error::Error,
    progress::{Progress, VIEWS, Wakes},
    schema::{self, Schema},
};

/// The role that reads: row-level security holds for it.
pub const ROLE: &str = "foldline_query";

/// What a deployment may want otherwise; every other bound is a constant beside what it bounds.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long a read waits for `atLeast` and `asOf`, together.
    pub at_least_wait_ms_max: u64,
    /// How long a request over HTTP may take in all, and a statement of any.
    pub request_ms_max: u64,
    /// How long a WebSocket may be open before its `connection_init` came.
    pub ws_init_ms_max: u64,
    /// How often a WebSocket is pinged; one that is silent for two of these is dropped.
    pub ws_ping_interval_ms: u64,
    /// How many WebSockets may be open at a time; one more is refused.
    pub websockets_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            at_least_wait_ms_max: 5_000,
            request_ms_max: 30_000,
            ws_init_ms_max: 10_000,
            ws_ping_interval_ms: 30_000,
            websockets_max: 4_096,
        }
    }
}

/// Everything the service is given.
pub struct QueryOptions {
    /// A pool whose connections act as [`ROLE`]: see [`as_reader`].
    pub views: PgPool,
    pub wakes: Wakes,
    pub gate: Gate,
    pub commands: Commands,
    pub limits: Limits,
    /// Ends the background tasks and closes open WebSockets.
    pub closed: CancellationToken,
}

/// The service's state; cheap to clone.
#[derive(Clone)]
pub struct QueryState {
    pub(crate) schema: Schema,
    pub(crate) views: PgPool,
    pub(crate) progress: Progress,
    pub(crate) gate: Gate,
    pub(crate) commands: Commands,
    pub(crate) limits: Limits,
    /// As many places as there may be WebSockets.
    pub(crate) websockets: Arc<Semaphore>,
    pub(crate) closed: CancellationToken,
}

/// The same connection, acting as [`ROLE`].
pub fn as_reader(options: PgConnectOptions) -> PgConnectOptions {
    options.options([("role", ROLE)])
}

impl QueryState {
    /// Checks that row-level security holds for the pool's connections, and starts following the views.
    pub async fn open(options: QueryOptions) -> Result<Self, Error> {
        check_role(&options.views).await?;
        let progress =
            Progress::start(options.views.clone(), options.wakes, options.closed.clone()).await;
        Ok(Self {
            schema: schema::build(),
            views: options.views,
            progress,
            gate: options.gate,
            commands: options.commands,
            websockets: Arc::new(Semaphore::new(options.limits.websockets_max)),
            limits: options.limits,
            closed: options.closed,
        })
    }

    /// Whether the views' checkpoints were read lately: for the readiness probe.
    pub fn is_ready(&self) -> bool {
        self.progress.is_known()
    }

    /// Waits until answers show what a cursor stands for, as long as a read with `atLeast` does.
    pub async fn has_folded(&self, cursor: &Cursor) -> Result<(), Error> {
        let wait_ms_max = self.limits.at_least_wait_ms_max;
        self.progress.at_least(cursor, &VIEWS, wait_ms_max).await
    }
}

/// A superuser's reads would show every tenant's rows to everybody if a statement forgot its filter.
async fn check_role(views: &PgPool) -> Result<(), Error> {
    let (role, exempt): (String, bool) = sqlx::query_as(
        "select rolname::text, rolsuper or rolbypassrls
         from pg_roles
         where rolname = current_user",
    )
    .fetch_one(views)
    .await
    .map_err(Error::read)?;
    if exempt {
        let detail = format!(
            "the views are read as {role}, for which row-level security does not hold; act as {ROLE}"
        );
        return Err(Error::Role { detail });
    }
    Ok(())
}
