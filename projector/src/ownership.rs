//! Who may project. The Kafka feed's consumer group spreads the partitions; the Postgres feed has no such thing, so one
//! process at a time reads it, by a session lock in the view database, and others stand by.
//!
//! The lock only keeps processes out of each other's way. That a process which lost it without noticing writes nothing
//! is the fences' doing, see [`crate::checkpoint`].

use std::time::Duration;

use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::Error;

/// "proj" in ASCII.
const LOCK: i64 = 0x7072_6f6a;

/// How often a process that stands by asks for the lock. Asking again and again, not waiting in the database: a
/// statement that waits holds a snapshot, and with it every dead row.
const STANDBY_POLL_MS: u64 = 500;

/// How often, and for how long at most, the holder asks whether its session is still there.
const PING_INTERVAL_MS: u64 = 2_000;
const PING_MS_MAX: u64 = 10_000;

/// The server ends the session of a process whose host or network is gone within 15 s, and frees the lock.
const KEEPALIVE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "2"),
    ("idle_session_timeout", "0"),
];

/// Being the one projector of a view database; dropping it lets another be.
#[derive(Debug)]
pub(crate) struct Ownership {
    lost: CancellationToken,
    _ping: AbortOnDropHandle<()>,
}

impl Ownership {
    /// Waits, however long, until no other process has it. `options` must lead past any pooler.
    pub(crate) async fn acquire(
        options: &PgConnectOptions,
        standing_by: impl Fn(),
    ) -> Result<Self, Error> {
        let options = options.clone().options(KEEPALIVE);
        let mut connection = PgConnection::connect_with(&options)
            .await
            .map_err(Error::Lock)?;
        loop {
            let acquired: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
                .bind(LOCK)
                .fetch_one(&mut connection)
                .await
                .map_err(Error::Lock)?;
            if acquired {
                break;
            }
            standing_by();
            tokio::time::sleep(Duration::from_millis(STANDBY_POLL_MS)).await;
        }
        let lost = CancellationToken::new();
        let ping = tokio::spawn(hold(connection, lost.clone()));
        Ok(Self {
            lost,
            _ping: AbortOnDropHandle::new(ping),
        })
    }

    /// Resolves when the session, and with it the lock, is gone. Cancel safe.
    pub(crate) async fn lost(&self) {
        self.lost.cancelled().await;
    }
}

async fn hold(mut connection: PgConnection, lost: CancellationToken) {
    let _lost = lost.drop_guard();
    loop {
        tokio::time::sleep(Duration::from_millis(PING_INTERVAL_MS)).await;
        let answer = tokio::time::timeout(Duration::from_millis(PING_MS_MAX), connection.ping());
        match answer.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the session that holds the projector's lock was lost");
                return;
            }
            Err(_) => {
                tracing::warn!("the session that holds the projector's lock does not answer");
                return;
            }
        }
    }
}
