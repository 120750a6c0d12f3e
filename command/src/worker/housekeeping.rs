//! Removes rows that have expired. What they are of is gone by their age alone, so doing it late, twice or half is no harm.

use std::time::Duration;

use sqlx::PgPool;

use super::{Error, over};

/// How long the state of a stream is kept that was not written anew: after that a load folds it again.
const SNAPSHOT_DAYS_MAX: i32 = 30;
/// How many rows one statement removes.
const ROWS_PER_STATEMENT_MAX: u64 = 10_000;
/// How long one is waited between two of them, so that others get their turn.
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

/// Says how many rows it has removed.
pub(super) async fn keep_house(pool: &PgPool) -> Result<u64, Error> {
    let mut removed = 0;
    loop {
        let query = sqlx::query(EXPIRED_SNAPSHOTS)
            .bind(SNAPSHOT_DAYS_MAX)
            .bind(i64::try_from(ROWS_PER_STATEMENT_MAX).unwrap_or(i64::MAX));
        let done = over(pool, async |on| query.execute(on).await).await?;
        removed += done.rows_affected();
        if done.rows_affected() < ROWS_PER_STATEMENT_MAX {
            break;
        }
        tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
    }
    metrics::counter!("foldline_worker_rows_expired_total", "of" => "snapshots").increment(removed);
    Ok(removed)
}
