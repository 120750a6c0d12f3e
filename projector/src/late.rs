//! Indexes late: a view that is folded from the beginning of a long log does without the indexes that only its readers need, and
//! without the keys of tables that are only ever added to, until it has caught up. Made of all rows at once they cost a fraction of
//! what each row costs them. So does what the planner counts of its tables, which would be out of date at once. See
//! `schema/view/0006_late_indexes.sql`, and for what it says now `0009_history.sql` and `0013_late_keys.sql` beside it.

use std::time::Duration;

use foldline_events::PARTITIONS;
use sqlx::PgPool;

use crate::{
    Build, Error,
    error::{self, in_full},
};

/// A view that is so many events behind, in all its partitions together, has caught up.
const CAUGHT_UP_EVENTS_MAX: i64 = 1_000;
/// How often it is looked whether an index is to be made.
const LOOK_INTERVAL_MS: u64 = 1_000;

/// Leaves the indexes of views out of which nothing is folded yet. Where that is not possible they stay, and folding takes longer.
pub(crate) async fn leave(pool: &PgPool, builds: impl Iterator<Item = Build>) {
    for build in builds {
        let only_added = build
            .view
            .tables()
            .iter()
            .filter(|table| table.is_only_added);
        let only_added: Vec<&str> = only_added.map(|table| table.name).collect();
        let left = sqlx::query_scalar("select views.leave_indexes_for_later($1, $2, $3)")
            .bind(build.view.name())
            .bind(build.version)
            .bind(only_added)
            .fetch_one(pool)
            .await;
        let view = build.view.name();
        match left {
            Ok(0_i64) => {}
            Ok(count) => tracing::info!(
                view,
                count,
                "a long log is folded from its beginning; indexes are made, and rows counted, when it has caught up"
            ),
            Err(error) => tracing::warn!(%error, view, "folding a long log with indexes at once"),
        }
    }
}

/// Makes the indexes of views that have caught up, one at a time, until it is dropped.
pub(crate) async fn run(pool: PgPool) {
    let mut is_possible = true;
    loop {
        let built = build(&pool).await;
        // An outage is said once, not every second.
        if let Some(error) = built.as_ref().err().filter(|_| is_possible) {
            let error = in_full(error);
            tracing::error!(error, "cannot make the indexes that were left for later");
        }
        is_possible = built.is_ok();
        if !matches!(built, Ok(Some(_))) {
            tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
        }
    }
}

/// The views of which readers see a build, that lack an index and have caught up: every partition is told of, and little is missing.
const DUE: &str = "
    select distinct
        late.view,
        late.version
    from views.late_indexes late
    join views.active
        on late.view = active.view
        and late.version = active.version
    where (
        select count(*) = $1 and sum(lag.events) <= $2
        from views.lag
        where lag.view = late.view
            and lag.version = late.version
    )
";

/// Makes one index, where one is due, and names it.
async fn build(pool: &PgPool) -> Result<Option<String>, Error> {
    let late: i64 = sqlx::query_scalar("select count(*) from views.late_indexes")
        .fetch_one(pool)
        .await
        .map_err(error::unless_unprepared(Error::LateIndexes))?;
    metrics::gauge!("foldline_projector_late_indexes")
        .set(f64::from(u32::try_from(late).unwrap_or(u32::MAX)));
    if late == 0 {
        return Ok(None);
    }
    let due: Vec<(String, i32)> = sqlx::query_as(DUE)
        .bind(i64::from(PARTITIONS))
        .bind(CAUGHT_UP_EVENTS_MAX)
        .fetch_all(pool)
        .await
        .map_err(Error::LateIndexes)?;
    let mut failed = None;
    for (view, version) in due {
        let building = sqlx::query_scalar("select views.build_late_index($1, $2)")
            .bind(&view)
            .bind(version)
            .fetch_one(pool);
        match building.await {
            Ok(Some(index)) => {
                let index: String = index;
                tracing::info!(
                    view,
                    index,
                    "an index or a count that was left for later is made"
                );
                return Ok(Some(index));
            }
            Ok(None) => {}
            // Other views get theirs.
            Err(error) => failed = Some(error),
        }
    }
    failed.map_or(Ok(None), |error| Err(Error::LateIndexes(error)))
}
