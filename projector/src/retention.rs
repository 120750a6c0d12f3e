//! How long rows of the past are kept: from a view's position on readers may ask as of any, and what ended before it is cleared
//! away.
//!
//! The position is committed before anything goes, and readers look at it in the statement that reads (`views.keeps`), so
//! whoever misses a row is refused. Any number of projectors may do this at once.

use std::{collections::BTreeMap, future::Future, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use foldline_events::{PARTITIONS, Position};
use foldline_log::Log;
use sqlx::{AssertSqlSafe, PgPool};
use uuid::Uuid;

use crate::{
    Build, Error, View, builds,
    error::{in_full, unless_unprepared},
};

/// How many rows one statement clears away.
const CLEARED_ROWS_MAX: i64 = 5_000;
/// The pause between two of them, so that those who fold are not held up.
const CLEARED_PAUSE_MS: u64 = 50;
/// How many statements clear a table in one round; the next round goes on.
const STATEMENTS_MAX: usize = 1_000;
/// How long one of them may take.
const STATEMENT_MS_MAX: u64 = 30_000;

/// For how long the rows of the past of a view are kept; of one that is not here, for ever.
pub type Retention = BTreeMap<View, TimeDelta>;

/// Clears away what need not be kept, again and again, until it is dropped.
pub(crate) async fn run(pool: PgPool, log: Log, retention: Retention, every: Duration) {
    loop {
        for (view, keep) in &retention {
            match forget(&pool, &log, *view, *keep).await {
                Ok(0) => {}
                Ok(rows) => tracing::info!(
                    view = view.name(),
                    rows,
                    "rows of the past were cleared away"
                ),
                Err(error) => {
                    let error = in_full(&error);
                    tracing::warn!(
                        error,
                        view = view.name(),
                        "cannot clear away rows of the past; trying again later"
                    );
                }
            }
        }
        tokio::time::sleep(every).await;
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long something is kept counts from now"
)]
fn ago(keep: TimeDelta) -> Option<DateTime<Utc>> {
    Utc::now().checked_sub_signed(keep)
}

/// Says how many rows went.
async fn forget(pool: &PgPool, log: &Log, view: View, keep: TimeDelta) -> Result<u64, Error> {
    let Some(until) = ago(keep) else {
        return Ok(0);
    };
    let position = log.position_at(until).await?;
    let Some(shown) = builds::shown(pool).await?.remove(&view) else {
        return Ok(0);
    };
    // What another release folds is kept as that says, and in its tables.
    if shown.projection != view.projection() {
        return Ok(0);
    }
    let build = shown.build;
    let Some(kept) = keep_from(pool, build, log.epoch(), position).await? else {
        return Ok(0);
    };
    metrics::gauge!("foldline_projector_past_kept_from", "view" => view.name()).set(as_gauge(kept));
    let mut rows = 0;
    for table in view.past_tables() {
        for _ in 0..STATEMENTS_MAX {
            let cleared = clear(pool, build, table, kept).await?;
            metrics::counter!("foldline_projector_past_cleared_total", "view" => view.name())
                .increment(cleared);
            if cleared == 0 {
                break;
            }
            rows += cleared;
            tokio::time::sleep(Duration::from_millis(CLEARED_PAUSE_MS)).await;
        }
    }
    Ok(rows)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; it errs by a few events beyond 2^53"
)]
fn as_gauge(position: Position) -> f64 {
    position as f64
}

// Only of views that were folded from this log, and never beyond what all of their partitions have folded.
const KEEP_FROM: &str = "
    insert into views.kept as k (view, version, position)
    select
        $1,
        $2,
        least($3, min(position))
    from views.checkpoints
    where view = $1
        and version = $2
        and epoch = $4
        and not exists (
            select
            from views.heads
            where heads.epoch = $4
                and heads.lost_at is not null
        )
    having count(*) = $5
    on conflict on constraint kept_pkey do update
    set position = greatest(k.position, excluded.position)
    returning position
";

/// Says from where on they are kept: never from further back than before, because what is gone does not come back. `None` where
/// nothing may go, because the view was not folded from this log, or not yet all of it.
async fn keep_from(
    pool: &PgPool,
    build: Build,
    epoch: Uuid,
    position: Position,
) -> Result<Option<Position>, Error> {
    let keeping = sqlx::query_scalar(KEEP_FROM)
        .bind(build.view.name())
        .bind(build.version)
        .bind(position)
        .bind(epoch)
        .bind(i64::from(PARTITIONS))
        .fetch_optional(pool);
    within_bound(keeping).await
}

/// A network that swallows everything would keep one statement waiting for ever.
async fn within_bound<T>(
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    let bound = Duration::from_millis(STATEMENT_MS_MAX);
    let ended = tokio::time::timeout(bound, statement).await;
    ended
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map_err(unless_unprepared(Error::Retention))
}

async fn clear(pool: &PgPool, build: Build, table: &str, kept: Position) -> Result<u64, Error> {
    let table = build.table(table);
    let statement = format!(
        "delete from {table}
         where ctid = any(array(
             select ctid
             from {table}
             where until + 0 <= $1
             limit $2
             for update skip locked
         ))"
    );
    let clearing = sqlx::query(AssertSqlSafe(statement))
        .bind(kept)
        .bind(CLEARED_ROWS_MAX)
        .execute(pool);
    Ok(within_bound(clearing).await?.rows_affected())
}
