//! Removes what has expired: states of streams, and the ids of commands of long ago. What it has removed stays removed when it is
//! stopped in the middle, and the next time it goes on; doing it late is no harm.

use std::time::Duration;

use foldline_events::Position;
use foldline_log::Log;
use sqlx::PgPool;

use super::{Error, over};

/// How long the state of a stream is kept that was not written anew: after that a load folds it again.
const SNAPSHOT_DAYS_MAX: i32 = 30;
/// How many rows one statement removes.
const ROWS_PER_STATEMENT_MAX: u64 = 10_000;
/// Of how many positions of the log one statement forgets the commands; `events/log/sql/forget_commands.sql` takes no more.
const FORGOTTEN_POSITIONS_MAX: i64 = 10_000;
/// How many statements each of the two may take in one job, which then ends within its time; what is left is done by the next.
const STATEMENTS_MAX: usize = 250;
/// How long one is waited between two statements, so that others get their turn.
const PAUSE_MS: u64 = 100;

/// States of streams, a cache.
const EXPIRED_SNAPSHOTS: &str = "
    delete from log.snapshots
    where (tenant, stream, fold) in (
        select
            tenant,
            stream,
            fold
        from log.snapshots
        where kept_at < clock_timestamp() - make_interval(days => $1)
        limit $2
    )
";

/// Once a day, when it has moved.
const NOTE_HEAD: &str = "
    insert into work.heads (position)
    select $1
    where not exists (
        select
        from work.heads
        where seen_at > clock_timestamp() - interval '1 day'
           or position >= $1
    )
";

/// Where the log ended so many days ago or earlier, and up to where nothing is left to forget.
const OLD: &str = "
    select
        (
            select max(position)
            from work.heads
            where seen_at <= clock_timestamp() - make_interval(days => $1)
        ) as through,
        forgotten.position as after
    from work.forgotten
";

const FORGET: &str = "
    with done as (
        select log.forget_commands($1, $2) as ids
    )
    update work.forgotten
    set position = greatest(forgotten.position, $2)
    from done
    returning done.ids
";

/// The one at that place stays, so that a log that has not moved is not noted again each day.
const FORGET_HEADS: &str = "
    delete from work.heads
    where position < (select position from work.forgotten)
";

pub(super) async fn keep_house(
    pool: &PgPool,
    log: &Log,
    command_id_days: u16,
) -> Result<(), Error> {
    let removed = remove_snapshots(pool).await;
    forget_commands(pool, log, command_id_days).await?;
    removed
}

async fn remove_snapshots(pool: &PgPool) -> Result<(), Error> {
    for _ in 0..STATEMENTS_MAX {
        let query = sqlx::query(EXPIRED_SNAPSHOTS)
            .bind(SNAPSHOT_DAYS_MAX)
            .bind(i64::try_from(ROWS_PER_STATEMENT_MAX).unwrap_or(i64::MAX));
        let done = over(pool, async |on| query.execute(on).await).await?;
        expired("snapshots", done.rows_affected());
        if done.rows_affected() < ROWS_PER_STATEMENT_MAX {
            break;
        }
        pause().await;
    }
    Ok(())
}

async fn forget_commands(pool: &PgPool, log: &Log, days: u16) -> Result<(), Error> {
    let head = log.head().await?.position;
    let query = sqlx::query(NOTE_HEAD).bind(head);
    over(pool, async |on| query.execute(on).await).await?;
    let query = sqlx::query_as(OLD).bind(i32::from(days));
    let (through, mut after): (Option<Position>, Position) =
        over(pool, async |on| query.fetch_one(on).await).await?;
    let through = through.unwrap_or(0);
    for _ in 0..STATEMENTS_MAX {
        if after >= through {
            break;
        }
        let to = through.min(after.saturating_add(FORGOTTEN_POSITIONS_MAX));
        let query = sqlx::query_scalar(FORGET).bind(after).bind(to);
        let ids: i64 = over(pool, async |on| query.fetch_one(on).await).await?;
        expired("command ids", u64::try_from(ids).unwrap_or(0));
        after = to;
        pause().await;
    }
    over(pool, async |on| sqlx::query(FORGET_HEADS).execute(on).await).await?;
    Ok(())
}

fn expired(of: &'static str, rows: u64) {
    metrics::counter!("foldline_worker_rows_expired_total", "of" => of).increment(rows);
    if rows > 0 {
        tracing::debug!(rows, of, "kept house");
    }
}

async fn pause() {
    tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
}
