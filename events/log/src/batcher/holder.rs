//! Who holds the log's lock when appends do not get it.
//!
//! PostgreSQL lets everybody who may connect take any advisory lock, so it need not be one of ours. Nobody is ended from
//! here: docs/OPERATIONS.md says how.

use chrono::{DateTime, Utc};
use sqlx::{PgConnection, Row};

/// What the database says when a lock was not had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

pub(super) fn is_kept_waiting(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == LOCK_NOT_AVAILABLE)
}

/// Says who holds the lock. What the session does and since when is for its own role and monitors alone to see.
pub(super) async fn name(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    metrics::counter!("foldline_log_lock_timeouts_total").increment(1);
    let holder = sqlx::query(
        "select l.pid, a.usename::text as login, a.application_name, a.state, a.xact_start as since
         from pg_locks l
         left join pg_stat_activity a on a.pid = l.pid
         where l.locktype = 'advisory'
           and l.classid = 0
           and l.objid = $1::bigint::oid
           and l.objsubid = 1
           and l.granted
           and l.database = (select d.oid from pg_database d where d.datname = current_database())
           and l.pid <> pg_backend_pid()",
    )
    .bind(crate::install::LOG_LOCK)
    .fetch_optional(connection)
    .await?;
    let Some(holder) = holder else {
        tracing::warn!("the log's lock was not had in time; nobody holds it any more");
        return Ok(());
    };
    let since: Option<DateTime<Utc>> = holder.get("since");
    tracing::warn!(
        pid = holder.get::<Option<i32>, _>("pid"),
        login = holder.get::<Option<String>, _>("login"),
        application = holder.get::<Option<String>, _>("application_name"),
        state = holder.get::<Option<String>, _>("state"),
        since = since.map(|since| since.to_rfc3339()),
        "somebody else holds the log's lock"
    );
    Ok(())
}
