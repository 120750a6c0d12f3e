//! Who holds the log's lock when appends do not get it.
//!
//! PostgreSQL lets everybody who may connect take any advisory lock, so it need not be one of ours. Such a session is not ended
//! from here: docs/OPERATIONS.md says how.

use chrono::{DateTime, Utc};
use sqlx::{Connection, PgConnection, Row, postgres::PgDatabaseError};

/// What the database says when a lock was not had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// How long the rest of a request may be on its way. From PostgreSQL 17 on the server ends such a session by itself, as early
/// ([`super::writer`]); 16 never does.
const ABANDONED_AFTER_S: f64 = 11.0;

pub(crate) fn is_kept_waiting(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(|error| error.code());
    code.is_some_and(|code| code == LOCK_NOT_AVAILABLE)
}

/// What the database did when it waited for another lock than the log's, as it tells it; `None` when that was it.
pub(super) fn elsewhere(error: &sqlx::Error) -> Option<String> {
    let said = error.as_database_error()?;
    let said = said.try_downcast_ref::<PgDatabaseError>()?;
    let doing = said.r#where().unwrap_or_default();
    let is_of_log = doing.contains(&crate::install::LOG_LOCK.to_string());
    (!is_of_log).then(|| doing.to_owned())
}

/// Says who holds the lock, and ends a session of the same login that holds it in the middle of an append and has said
/// nothing for long: its process was stopped, or its machine. What another login's session does is for its own role and
/// monitors alone to see, and nobody's to end.
pub(super) async fn name(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    // The service's role may not see what its own login does.
    let mut as_login = connection.begin().await?;
    sqlx::query("set local role none")
        .execute(&mut *as_login)
        .await?;
    let holder = sqlx::query(
        "select l.pid, a.usename::text as login, a.application_name, a.state, a.xact_start as since,
            coalesce(
                a.usename = session_user
                and a.state = 'active'
                and a.wait_event in ('ClientRead', 'ClientWrite')
                and a.query like '%log.append%'
                and a.xact_start < clock_timestamp() - make_interval(secs => $2),
                false
            ) as is_abandoned
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
    .bind(ABANDONED_AFTER_S)
    .fetch_optional(&mut *as_login)
    .await?;
    let Some(holder) = holder else {
        tracing::warn!("the log's lock was not had in time; nobody holds it any more");
        return as_login.commit().await;
    };
    let since: Option<DateTime<Utc>> = holder.get("since");
    let pid: Option<i32> = holder.get("pid");
    tracing::warn!(
        pid,
        login = holder.get::<Option<String>, _>("login"),
        application = holder.get::<Option<String>, _>("application_name"),
        state = holder.get::<Option<String>, _>("state"),
        since = since.map(|since| since.to_rfc3339()),
        "somebody else holds the log's lock"
    );
    if holder.get("is_abandoned") {
        let ended: bool = sqlx::query_scalar("select pg_terminate_backend($1)")
            .bind(pid)
            .fetch_one(&mut *as_login)
            .await?;
        tracing::warn!(
            pid,
            ended,
            "it never sent the end of an append, and is ended"
        );
    }
    as_login.commit().await
}
