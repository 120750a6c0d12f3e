//! Brings the log's database functions to this build's text. Part of `foldline migrate`, after the tables.

use std::{collections::BTreeSet, time::Duration};

use sqlx::{Connection, PgConnection};
use tokio::time::Instant;

use crate::{Error, batcher::is_kept_waiting};

/// How many segments are made ahead of the one that the head is in.
pub(crate) const SEGMENTS_AHEAD: i32 = 2;

/// How many segments ahead of the head `log.ensure_segments` makes, whoever asks and however often;
/// `sql/ensure_segments.sql` says so, too.
pub const SEGMENTS_AHEAD_MAX: i32 = 100;

const FUNCTIONS: [&str; 12] = [
    include_str!("../sql/ensure_segments.sql"),
    include_str!("../sql/guards_plan.sql"),
    include_str!("../sql/newest_tagged.sql"),
    include_str!("../sql/refusals.sql"),
    include_str!("../sql/append.sql"),
    include_str!("../sql/append_one.sql"),
    include_str!("../sql/append_offline.sql"),
    include_str!("../sql/position_at.sql"),
    include_str!("../sql/read_stream.sql"),
    include_str!("../sql/streams_of.sql"),
    include_str!("../sql/tagged.sql"),
    include_str!("../sql/forget_commands.sql"),
];

/// Forms with fewer parameters than now, which `create or replace` would leave beside the present ones. Processes of the
/// build that called them are served by the present ones: what was added has a default.
const DROP_EARLIER_FORMS: &str = "
do $$
declare
    earlier regprocedure;
begin
    for earlier in
        select p.oid::regprocedure
        from pg_proc p
        where p.pronamespace = 'log'::regnamespace
            and (p.proname, p.pronargs) in (('append', 39), ('refusals', 12))
    loop
        execute format('drop function %s', earlier);
    end loop;
end
$$";

/// The one lock of the log, as in `sql/append.sql`.
pub(crate) const LOG_LOCK: i64 = 1_718_578_276;

/// Two that replace the same function at once get in each other's way; the number is "inst" in ASCII.
const INSTALL_LOCK: i64 = 1_768_846_196;

/// How long one lock is waited for, which others hold for as long as a statement may take at most; and how long this may keep
/// one itself and say nothing, as when its process is stopped.
const PATIENCE: &str =
    "set local lock_timeout = '20s'; set local idle_in_transaction_session_timeout = '20s'";

/// How long calls of earlier forms that are under way are waited for: longer than any statement may take.
const EARLIER_CALLS_MS_MAX: u64 = 40_000;
const EARLIER_CALLS_PAUSE_MS: u64 = 100;

/// Where the log ends, of an append by a form that did not say so in `log.batches` yet. Without it the next append would
/// be given positions that are taken.
const CATCH_UP: &str = "
    insert into log.batches (last_position, recorded_at)
    select e.position, e.recorded_at
    from log.events e
    order by e.position desc
    limit 1
    on conflict do nothing";

/// Installs the functions, all at once, and the first segments. Run by the tables' owner; safe to repeat, and while
/// others append.
///
/// # Errors
/// [`Error::InstallBlocked`] when somebody keeps a lock that this needs for 20 s; [`Error::Install`] when the database refuses
/// a function, as to a user who does not own the tables. Repeating it goes on.
pub async fn install(connection: &mut PgConnection) -> Result<(), Error> {
    let mut all = connection.begin().await.map_err(Error::Install)?;
    lock(&mut all, INSTALL_LOCK).await?;
    for text in std::iter::once(DROP_EARLIER_FORMS).chain(FUNCTIONS) {
        sqlx::raw_sql(text)
            .execute(&mut *all)
            .await
            .map_err(Error::Install)?;
    }
    all.commit().await.map_err(Error::Install)?;
    outlast_earlier_calls(connection).await?;
    sqlx::query("select log.ensure_segments($1)")
        .bind(SEGMENTS_AHEAD)
        .execute(connection)
        .await
        .map_err(Error::Install)?;
    Ok(())
}

/// Takes a lock for the rest of a transaction, or says who has it.
async fn lock(transaction: &mut PgConnection, number: i64) -> Result<(), Error> {
    let mut trying = transaction.begin().await.map_err(Error::Install)?;
    sqlx::raw_sql(PATIENCE)
        .execute(&mut *trying)
        .await
        .map_err(Error::Install)?;
    let taken = sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(number)
        .execute(&mut *trying)
        .await;
    match taken {
        Ok(_) => trying.commit().await.map_err(Error::Install),
        Err(error) if is_kept_waiting(&error) => {
            trying.rollback().await.map_err(Error::Install)?;
            let pid = holder(transaction, number).await?;
            Err(Error::InstallBlocked { pid })
        }
        Err(error) => Err(Error::Install(error)),
    }
}

/// The session that has the lock; none when it has just let go.
async fn holder(connection: &mut PgConnection, number: i64) -> Result<Option<i32>, Error> {
    let pid: Result<Option<Option<i32>>, _> = sqlx::query_scalar(
        "select pid
         from pg_locks
         where locktype = 'advisory'
           and classid = 0
           and objid = $1::bigint::oid
           and objsubid = 1
           and granted
           and database = (select oid from pg_database where datname = current_database())",
    )
    .bind(number)
    .fetch_optional(connection)
    .await;
    Ok(pid.map_err(Error::Install)?.flatten())
}

/// A call that began before its function was replaced runs to its end as it was, and may have waited for the log's lock
/// until now. By their locks, which everybody may see: what a session of another login does is not told to the owner.
async fn outlast_earlier_calls(connection: &mut PgConnection) -> Result<(), Error> {
    let until = Instant::now() + Duration::from_millis(EARLIER_CALLS_MS_MAX);
    let pause = Duration::from_millis(EARLIER_CALLS_PAUSE_MS);
    // Those that were called a moment ago are at the lock after it.
    tokio::time::sleep(pause).await;
    let earlier = calls_under_way(connection).await?;
    loop {
        let mut catching_up = connection.begin().await.map_err(Error::Install)?;
        lock(&mut catching_up, LOG_LOCK).await?;
        sqlx::query(CATCH_UP)
            .execute(&mut *catching_up)
            .await
            .map_err(Error::Install)?;
        catching_up.commit().await.map_err(Error::Install)?;
        let still = calls_under_way(connection).await?;
        if earlier.is_disjoint(&still) || Instant::now() >= until {
            return Ok(());
        }
        tokio::time::sleep(pause).await;
    }
}

/// The transactions that hold the log's lock or wait for it.
async fn calls_under_way(connection: &mut PgConnection) -> Result<BTreeSet<String>, Error> {
    let calls: Vec<String> = sqlx::query_scalar(
        "select virtualtransaction
         from pg_locks
         where locktype = 'advisory'
           and classid = 0
           and objid = $1::bigint::oid
           and objsubid = 1
           and database = (select oid from pg_database where datname = current_database())
           and pid <> pg_backend_pid()",
    )
    .bind(LOG_LOCK)
    .fetch_all(connection)
    .await
    .map_err(Error::Install)?;
    Ok(calls.into_iter().collect())
}
