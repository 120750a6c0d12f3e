//! How readers learn that the log moved, without asking all the time.
//!
//! A writer never notifies inside its transaction, because that takes a lock of the whole server across the flush. It
//! marks a watch channel; readers in the same process see that at once, and one task tells other processes, once for
//! however many appends came in the meantime. A lost notification costs one poll interval, never an event.

use std::time::Duration;

use sqlx::{PgPool, postgres::PgListener};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The notification channel of a log, in the database that holds it.
pub(crate) const CHANNEL: &str = "foldline_log";

/// How long a reader waits for a wake before it looks by itself.
pub(crate) const POLL_INTERVAL_MS: u64 = 500;

/// How long to wait before connecting again after the listening connection was lost.
const RECONNECT_PAUSE_MS: u64 = 200;

/// A reader's ear: resolves soon after the log moved, and after the poll interval in any case.
#[derive(Debug, Clone)]
pub struct Wake {
    moved: watch::Receiver<u64>,
}

impl Wake {
    pub(crate) fn new(moved: watch::Receiver<u64>) -> Self {
        Self { moved }
    }

    /// Waits until the log may have moved since the last wait. Cancel safe.
    pub async fn wait(&mut self) {
        let poll = Duration::from_millis(POLL_INTERVAL_MS);
        match tokio::time::timeout(poll, self.moved.changed()).await {
            Ok(Ok(())) | Err(_) => {}
            // The writer is gone, so nobody will wake us: the poll interval is all there is.
            Ok(Err(_)) => tokio::time::sleep(poll).await,
        }
    }
}

/// Tells other processes that the log moved. Ends when the log is dropped.
pub(crate) async fn notify_others(pool: PgPool, mut moved: watch::Receiver<u64>) {
    while moved.changed().await.is_ok() {
        let told = sqlx::query("select pg_notify($1, '')")
            .bind(CHANNEL)
            .execute(&pool)
            .await;
        if let Err(error) = told {
            tracing::warn!(%error, "readers in other processes were not woken; they will poll");
        }
    }
}

/// Hears other processes and passes it on to this one's readers, until `closed`.
pub(crate) async fn hear_others(
    options: sqlx::postgres::PgConnectOptions,
    moved: watch::Sender<u64>,
    closed: CancellationToken,
) {
    let pause = Duration::from_millis(RECONNECT_PAUSE_MS);
    while !closed.is_cancelled() {
        let heard = tokio::select! {
            () = closed.cancelled() => return,
            heard = listen(&options, &moved) => heard,
        };
        if let Err(error) = heard {
            tracing::warn!(%error, "stopped hearing of new events; polling until connected again");
        }
        tokio::time::sleep(pause).await;
    }
}

async fn listen(
    options: &sqlx::postgres::PgConnectOptions,
    moved: &watch::Sender<u64>,
) -> Result<(), sqlx::Error> {
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // Whatever came before we listened must be looked for once.
        moved.send_modify(|count| *count = count.wrapping_add(1));
        if listener.try_recv().await?.is_none() {
            return Ok(());
        }
    }
}
