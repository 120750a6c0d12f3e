//! The connection that batches are written on.

use std::{sync::Arc, time::Duration};

use super::{columns::Columns, holder, identity::Identity, lone::Lone, write::is_transient};
use crate::{Append, Error, Verdict, seen::Seen, store::KEEPALIVES};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

/// How long the database may take to accept a connection, and to answer a batch. The second is above what it gives a
/// statement itself, so that a dead network is told from a slow server.
const CONNECT_TIMEOUT_MS: u64 = 2_000;
const ANSWER_TIMEOUT_MS: u64 = 12_000;
/// How long the database gives one batch, waiting for the lock included.
const STATEMENT_TIMEOUT: &str = "10s";
/// How long it lets one batch wait for the lock of the log, or another: far longer than others' batches take, and short
/// enough for a second try before the appends are told to come back.
const LOCK_TIMEOUT: &str = "2s";
/// What the database gives each append of a batch that took longer than a statement may.
const BRIEF_TIMEOUT: &str = "1s";
/// How long until it ends a session that executed a batch and never sent the request's last bytes: one that was stopped
/// between the two holds the lock, and is not in a statement any more. Above the other, which costs no connection.
const TRANSACTION_TIMEOUT: &str = "11s";

/// Writes batches on a connection of its own: readers cannot take it away, and nobody asks before each batch whether it
/// still works. It is made when it is needed, and given up after any failure.
pub(crate) struct Writer {
    options: PgConnectOptions,
    log: Identity,
    seen: Arc<Seen>,
    /// What the connection was, or will be, made with.
    statement_timeout: &'static str,
    connection: Option<PgConnection>,
}

impl Writer {
    pub(crate) fn new(options: PgConnectOptions, log: Identity, seen: Arc<Seen>) -> Self {
        Self {
            options: options
                .options([("lock_timeout", LOCK_TIMEOUT)])
                .options(KEEPALIVES),
            log,
            seen,
            statement_timeout: STATEMENT_TIMEOUT,
            connection: None,
        }
    }

    /// From now on the database gives a statement little time.
    pub(super) fn be_brief(&mut self) {
        self.give(BRIEF_TIMEOUT);
    }

    /// The usual time again.
    pub(super) fn be_patient(&mut self) {
        self.give(STATEMENT_TIMEOUT);
    }

    fn give(&mut self, statement_timeout: &'static str) {
        self.connection = None;
        self.statement_timeout = statement_timeout;
    }

    /// Whether the log is still the one that was opened.
    pub(super) fn check(&self) -> Result<(), Error> {
        self.seen.check()
    }

    /// What became of each append; `None` of those that were neither stored nor refused, because others were refused.
    pub(super) async fn write(
        &mut self,
        appends: &[&Append],
    ) -> Result<Vec<Option<Verdict>>, sqlx::Error> {
        fail::fail_point!("log_before_append", |_| std::process::abort());
        // Whatever ends this early, a caller that is dropped included, leaves no connection with half an answer.
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => {
                let timeout = [("statement_timeout", self.statement_timeout)];
                let options = self.options.clone().options(timeout);
                let connecting = connect(&options, &self.seen);
                within(CONNECT_TIMEOUT_MS, connecting).await?
            }
        };
        let executing = execute(&mut connection, self.log, appends);
        let answer = within(ANSWER_TIMEOUT_MS, executing).await;
        let kept_waiting = answer
            .as_ref()
            .err()
            .filter(|error| holder::is_kept_waiting(error));
        if kept_waiting.is_some() {
            metrics::counter!("foldline_log_lock_timeouts_total").increment(1);
        }
        if let Some(waited_for) = kept_waiting.and_then(holder::elsewhere) {
            tracing::warn!(
                waited_for,
                "a lock was not had in time; somebody keeps a table of the log"
            );
        } else if kept_waiting.is_some() {
            let naming = holder::name(&mut connection);
            if let Err(error) = within(ANSWER_TIMEOUT_MS, naming).await {
                tracing::warn!(%error, "the log's lock was not had in time; who holds it is unknown");
            }
        }
        if let Ok(verdicts) = &answer {
            self.seen.note_appends(appends, verdicts);
        }
        // A statement that was refused has not harmed its connection.
        if !answer.as_ref().is_err_and(is_transient) {
            self.connection = Some(connection);
        }
        fail::fail_point!("log_after_append", |_| std::process::abort());
        answer
    }
}

async fn connect(options: &PgConnectOptions, seen: &Seen) -> Result<PgConnection, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    seen.compare(&mut connection).await?;
    // PostgreSQL 16 does not have the setting, and refuses connections that ask for it in their options.
    sqlx::query(
        "select set_config(name, $1, false)
         from pg_settings
         where name = 'transaction_timeout'",
    )
    .bind(TRANSACTION_TIMEOUT)
    .execute(&mut connection)
    .await?;
    Ok(connection)
}

async fn within<T>(
    timeout_ms: u64,
    doing: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let timeout = Duration::from_millis(timeout_ms);
    let late = |_elapsed| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(timeout, doing).await.map_err(late)?
}

async fn execute(
    connection: &mut PgConnection,
    log: Identity,
    appends: &[&Append],
) -> Result<Vec<Option<Verdict>>, sqlx::Error> {
    if let [append] = appends
        && let Some(lone) = Lone::from(append)
        && let Some(verdict) = lone.execute(connection, log).await?
    {
        return Ok(vec![Some(verdict)]);
    }
    let columns = Columns::from(appends.iter().copied());
    let answer = columns.query(log).fetch_one(connection).await?;
    columns.verdicts(&answer, log)
}
