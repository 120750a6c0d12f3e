//! A new epoch: what an operator gives a log that was restored, so that nobody takes it for what it was before.

use foldline_events::Position;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::{Error, prepared, relay::LEADER_LOCK};

/// What became of a log's epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewEpoch {
    /// The one that it had.
    pub before: Uuid,
    /// The one that it has.
    pub now: Uuid,
    /// The last position of the log: what was recorded above it before is not in this log.
    pub head: Position,
}

/// Gives the log another epoch and forgets how far the relay had come, so that the topic gets all of this log under the
/// new epoch. Run by the tables' owner, while nobody else is connected: every role reads the epoch at its start.
///
/// # Errors
/// [`Error::InUse`] when another session is connected to this database.
pub async fn new_epoch(connection: &mut PgConnection) -> Result<NewEpoch, Error> {
    let failed = Error::NewEpoch;
    let mut transaction = connection.begin().await.map_err(failed)?;
    // No relay begins meanwhile; the others would have to be very quick.
    let alone: bool = sqlx::query_scalar("select pg_try_advisory_xact_lock($1)")
        .bind(LEADER_LOCK)
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    let others: Vec<String> = sqlx::query_scalar(
        "select format('process %s of user %s %s', pid, usename, application_name)
         from pg_stat_activity
         where datname = current_database()
           -- Who may not see what a session does is not told of which kind it is, either.
           and usename is not null
           and coalesce(backend_type, 'client backend') = 'client backend'
           and pid <> pg_backend_pid()
         order by pid
         limit 10",
    )
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed)?;
    if !alone || !others.is_empty() {
        let others: Vec<&str> = others.iter().map(|other| other.trim_end()).collect();
        return Err(Error::InUse {
            by: others.join(", "),
        });
    }
    let before = sqlx::query_scalar("select epoch from log.cell")
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| match prepared::is_absent(&error) {
            true => Error::not_migrated(&error),
            false => failed(error),
        })?;
    let now = sqlx::query_scalar("update log.cell set epoch = gen_random_uuid() returning epoch")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    sqlx::query("delete from log.relay")
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    let head = sqlx::query_scalar("select coalesce(max(position), 0) from log.events")
        .fetch_one(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(NewEpoch { before, now, head })
}
