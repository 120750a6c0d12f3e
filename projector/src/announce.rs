//! Tells readers in other processes that rows may have moved.
//!
//! Never inside a writing transaction, whose commit a notification would serialise with every other of the server:
//! after it, on a connection of its own, once for however many commits came in the meantime. A notification that is
//! lost costs a reader one poll interval, nothing else.

use std::time::Duration;

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::sync::watch;

use crate::CHANNEL;

/// How long to wait before connecting again after the connection was lost.
const RECONNECT_PAUSE_MS: u64 = 500;
/// How long it may take to connect, and to say it once.
const ANNOUNCE_MS_MAX: u64 = 10_000;

/// Announces each change of `moved`; ends when its sender is gone.
pub(crate) async fn run(options: PgConnectOptions, mut moved: watch::Receiver<u64>) {
    while moved.has_changed().is_ok() {
        if let Err(error) = announce(&options, &mut moved).await {
            tracing::warn!(%error, "readers in other processes are not woken; they poll until it works again");
            // What was not said has to be said later.
            moved.mark_changed();
            tokio::time::sleep(Duration::from_millis(RECONNECT_PAUSE_MS)).await;
        }
    }
}

async fn announce(
    options: &PgConnectOptions,
    moved: &mut watch::Receiver<u64>,
) -> Result<(), sqlx::Error> {
    let mut connection = in_time(PgConnection::connect_with(options)).await?;
    while moved.changed().await.is_ok() {
        let announcing = sqlx::query("select pg_notify($1, '')")
            .bind(CHANNEL)
            .execute(&mut connection);
        in_time(announcing).await?;
    }
    connection.close().await
}

async fn in_time<T>(
    announcing: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let bound = Duration::from_millis(ANNOUNCE_MS_MAX);
    let late = |_elapsed| sqlx::Error::Io(std::io::ErrorKind::TimedOut.into());
    tokio::time::timeout(bound, announcing)
        .await
        .map_err(late)?
}
