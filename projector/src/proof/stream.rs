//! One stream folded again, and held against the rows that a view has of it.
//!
//! It is folded into the view's own tables under the name of a tenant that nobody has, in a transaction that is rolled back: so by
//! the same code and the same statements, and what is compared is seen at one moment.

use std::time::Duration;

use foldline_events::{Position, Tenant, Version};
use foldline_log::Log;
use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Row as _};

use crate::{
    Error, RowDifference,
    again::{self, Scope},
    difference::shown,
    error::{Remedy, in_full, unless_unprepared},
    verify::DIFFERENCES_MAX,
    view::Table,
};

/// A longer stream is not folded again only to be compared.
const STREAM_EVENTS_MAX: usize = 10_000;
/// How long one comparison may take.
const COMPARISON_MS_MAX: u64 = 30_000;

/// Whoever waits for a lock holds others up.
const BEGIN: &str = "begin isolation level repeatable read;
    set local lock_timeout = '1s';
    set local statement_timeout = '30s';
    set local idle_in_transaction_session_timeout = '10s';
    set local timezone = 'UTC'";

pub(super) enum Compared {
    /// Nothing of its partition is, or not so much that the view has its indexes.
    NotFolded,
    /// It has too many events, or too much is in them.
    TooLong,
    Differences(Vec<RowDifference>),
}

/// Compares the rows of a stream. Uses one connection, and leaves nothing.
pub(super) async fn compare(
    pool: &PgPool,
    log: &Log,
    beside: &Tenant,
    scope: &Scope,
) -> Result<Compared, Error> {
    let bound = Duration::from_millis(COMPARISON_MS_MAX);
    let comparing = tokio::time::timeout(bound, in_transaction(pool, log, beside, scope));
    comparing.await.unwrap_or(Ok(Compared::TooLong))
}

/// Whether a stream has more events than are folded only to be compared.
async fn is_long(log: &Log, scope: &Scope) -> Result<bool, Error> {
    let Some(stream) = &scope.stream else {
        return Ok(false);
    };
    let after = Version::try_from(STREAM_EVENTS_MAX).unwrap_or(Version::MAX);
    let next = log.read_stream(&scope.tenant, stream, after, 1).await?;
    Ok(!next.is_empty())
}

async fn in_transaction(
    pool: &PgPool,
    log: &Log,
    beside: &Tenant,
    scope: &Scope,
) -> Result<Compared, Error> {
    if is_long(log, scope).await? {
        return Ok(Compared::TooLong);
    }
    let mut transaction = pool.begin_with(BEGIN).await.map_err(Error::Begin)?;
    let Some((through, kept)) = standing(&mut transaction, scope).await? else {
        return Ok(Compared::NotFolded);
    };
    let folding = again::fold(
        &mut transaction,
        log,
        scope,
        beside,
        through,
        STREAM_EVENTS_MAX,
    );
    let compared = match folding.await {
        Ok(_) => {
            let differences = differences(&mut transaction, beside, scope, kept).await?;
            Compared::Differences(differences)
        }
        Err(Error::TooManyEvents { .. }) => Compared::TooLong,
        Err(error) => match error.remedy() {
            Remedy::Retry | Remedy::Stop => return Err(error),
            Remedy::Isolate => Compared::Differences(vec![RowDifference {
                row: "its events".to_owned(),
                fields: Vec::new(),
                stored: "folded".to_owned(),
                again: shown(&in_full(&error)),
            }]),
        },
    };
    transaction.rollback().await.map_err(Error::Proof)?;
    Ok(compared)
}

/// Where the view is in the partition, and up to where rows of the past may be gone.
async fn standing(
    connection: &mut PgConnection,
    scope: &Scope,
) -> Result<Option<(Position, Position)>, Error> {
    sqlx::query_as(
        "select c.position, coalesce(k.position, 0)
         from views.checkpoints c
         left join views.kept k
             on k.view = c.view
             and k.version = c.version
         where c.view = $1
             and c.version = $2
             and c.partition = $3
             and c.position > 0
             -- Without its indexes each look reads whole tables.
             and not exists (
                 select
                 from views.late_indexes l
                 where l.view = c.view
                     and l.version = c.version
             )",
    )
    .bind(scope.build.view.name())
    .bind(scope.build.version)
    .bind(scope.partition)
    .fetch_optional(connection)
    .await
    .map_err(unless_unprepared(Error::Proof))
}

async fn differences(
    connection: &mut PgConnection,
    beside: &Tenant,
    scope: &Scope,
    kept: Position,
) -> Result<Vec<RowDifference>, Error> {
    let mut found = Vec::new();
    for table in scope.build.view.tables() {
        let Some(of) = table.of else {
            // Other streams add to these rows too; `foldline verify` recounts them.
            continue;
        };
        let rows = sqlx::query(AssertSqlSafe(statement(scope, table, of)))
            .bind(scope.tenant.as_str())
            .bind(beside.as_str())
            .bind(scope.aggregate())
            .bind(kept)
            .bind(i64::try_from(DIFFERENCES_MAX).unwrap_or(i64::MAX))
            .fetch_all(&mut *connection)
            .await
            .map_err(unless_unprepared(Error::Proof))?;
        for row in rows {
            let key: Value = row.get("key");
            let (stored, again) = (row.get("stored"), row.get("again"));
            found.push(RowDifference::of(table.name, &key, stored, again));
        }
    }
    found.truncate(DIFFERENCES_MAX);
    Ok(found)
}

/// The rows that differ. Of marks only those are looked for that the stream is folded to: their table has no index by task, and
/// `foldline verify` finds what is too many.
fn statement(scope: &Scope, table: &Table, of: &str) -> String {
    let name = scope.build.table(table.name);
    let key: Vec<&str> = [of].into_iter().chain(table.key.iter().copied()).collect();
    let pairs: Vec<String> = key.iter().map(|key| format!("'{key}', {key}")).collect();
    let (columns, pairs) = (key.join(", "), pairs.join(", "));
    let kept = if table.is_past() {
        "and r.until > $4"
    } else {
        "and $4::bigint is not null"
    };
    let rows = |tenant: &str, more: &str| {
        format!(
            "select {columns}, to_jsonb(r) - 'tenant' as held
             from {name} r
             where r.tenant = {tenant}
                 and r.{of} = $3
                 {kept}
                 {more}"
        )
    };
    let marks = format!("and r.mark = any(array(select mark from {name} where tenant = $2))");
    let indexed = if table.key.contains(&"mark") {
        &marks
    } else {
        ""
    };
    format!(
        "select
             jsonb_build_object({pairs}) as key,
             stored.held as stored,
             again.held as again
         from ({}) as stored
         full join ({}) as again using ({columns})
         where stored.held is distinct from again.held
         order by {columns}
         limit $5",
        rows("$1", indexed),
        rows("$2", "")
    )
}
