//! How readers learn that the log moved, without asking all the time.
//!
//! A writer never notifies inside its transaction, because that takes a lock of the whole server across the flush. It
//! marks a watch channel; readers in the same process see that at once, and one task tells other processes, once for
//! however many appends came in the meantime. A lost notification costs one poll interval, never an event.

use std::time::Duration;

use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgListener},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{Error, reading::in_time};

/// The notification channel of a log, in the database that holds it.
pub(crate) const CHANNEL: &str = "foldline_log";

/// How long a reader waits for a wake before it looks by itself.
pub(crate) const POLL_INTERVAL_MS: u64 = 500;

/// How long other processes are not notified again after they were.
const NOTIFY_INTERVAL_MS: u64 = 5;

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

/// Tells other processes that the log moved, at once after a pause and else in intervals. Ends when the log is dropped.
///
/// On a connection of its own that does not wait for the disk: a notification that is lost with the server is no loss, and
/// every flush more would delay the appends'.
pub(crate) async fn notify_others(options: PgConnectOptions, mut moved: watch::Receiver<u64>) {
    let options = options.options([("synchronous_commit", "off")]);
    let mut connection = None;
    while moved.changed().await.is_ok() {
        let notifying = in_time(notify(&options, &mut connection)).await;
        if let Err(error) = notifying.and_then(|notified| notified.map_err(Error::Read)) {
            connection = None;
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "readers in other processes were not woken; they will poll"
            );
        }
        tokio::time::sleep(Duration::from_millis(NOTIFY_INTERVAL_MS)).await;
    }
}

async fn notify(
    options: &PgConnectOptions,
    connection: &mut Option<PgConnection>,
) -> Result<(), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(PgConnection::connect_with(options).await?),
    };
    sqlx::query("select pg_notify($1, '')")
        .bind(CHANNEL)
        .execute(connection)
        .await?;
    Ok(())
}

/// Hears other processes and passes it on to this one's readers, until `closed`.
pub(crate) async fn hear_others(
    options: PgConnectOptions,
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

async fn listen(options: &PgConnectOptions, moved: &watch::Sender<u64>) -> Result<(), sqlx::Error> {
    let pool = sqlx::postgres::PgPoolOptions::new()
        .max_connections(1)
        .connect_with(options.clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    let late = |_error| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    in_time(listener.listen(CHANNEL)).await.map_err(late)??;
    loop {
        // Whatever came before we listened must be looked for once.
        moved.send_modify(|count| *count = count.wrapping_add(1));
        if listener.try_recv().await?.is_none() {
            return Ok(());
        }
    }
}
