//! Tells how far behind the log's head every view is in every partition that this process folds: in its health, in metrics,
//! and in `views.lag`, where those read it who know this database alone.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use foldline_events::{Partition, Position};
use foldline_log::{Lag, Lags, Log};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{Build, Error, Health, Stall, View, error::in_full, health::Failing};

/// How often it looks.
const LOOK_INTERVAL_MS: u64 = 1_000;
/// How long whatever it asks may take.
const LOOK_MS_MAX: u64 = 15_000;
/// How often everything is written to `views.lag`, changed or not: what is older than some of these is not looked after.
const TELL_AGAIN_MS: u64 = 15_000;

/// Looks until it is dropped.
pub(crate) async fn run(log: Log, views: PgPool, health: Health) {
    let mut told = Told::default();
    let mut is_known = true;
    loop {
        tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await;
        let bound = Duration::from_millis(LOOK_MS_MAX);
        let looked = tokio::time::timeout(bound, look(&log, &views, &health, &mut told)).await;
        let why = match looked {
            Ok(Ok(())) => {
                looked_now();
                None
            }
            Ok(Err(error)) => Some(in_full(&error)),
            Err(_) => Some(format!("no answer within {LOOK_MS_MAX} ms")),
        };
        // An outage is said once, not every second.
        if let Some(why) = why.as_ref().filter(|_| is_known) {
            tracing::warn!(why, "cannot tell how far behind the views are");
        }
        is_known = why.is_none();
    }
}

/// The gauges of lag keep what they last said while nothing can be asked; this one says since when.
fn looked_now() {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = since_epoch.map_or(0.0, |since| since.as_secs_f64());
    metrics::gauge!("foldline_projector_lag_looked_timestamp_seconds").set(seconds);
}

/// Looks once, and tells it everywhere.
async fn look(log: &Log, views: &PgPool, health: &Health, told: &mut Told) -> Result<(), Error> {
    let began = Instant::now();
    let mut lags: Vec<(Build, Lags)> = Vec::new();
    let mut asked: Vec<(BTreeMap<Partition, Position>, Lags)> = Vec::new();
    for (build, reached) in health.reached() {
        if reached.is_empty() {
            continue;
        }
        // Views stand at the same places, unless one of them is new.
        let known = asked.iter().find(|(of, _)| *of == reached);
        let of_view = match known {
            Some((_, lags)) => lags.clone(),
            None => log.lags(&reached).await?,
        };
        asked.push((reached, of_view.clone()));
        lags.push((build, of_view));
    }
    health.behind(&lags);
    let rows = rows(&lags, &health.status().stalled, health.failing().as_ref());
    told.measure(&rows);
    let head = lags.iter().map(|(_, lags)| lags.head).max();
    told.write(views, (log.epoch(), head, began), rows).await
}

/// What is to be told of each partition of each view. One that is stalled says why; and where every session fails, all that are
/// behind say so.
fn rows(lags: &[(Build, Lags)], stalls: &[Stall], failing: Option<&Failing>) -> Rows {
    let mut rows = Rows::new();
    for (build, lags) in lags {
        for (partition, lag) in &lags.of {
            let stall = stalls.iter().find(|stall| stall.partition == *partition);
            let stalled = match (stall, failing) {
                (Some(stall), _) => Some(Stalled::of(stall)),
                (None, Some(failing)) if lag.events > 0 => Some(Stalled::failing(failing)),
                (None, _) => None,
            };
            rows.insert((*build, *partition), Row { lag: *lag, stalled });
        }
    }
    rows
}

type Rows = BTreeMap<(Build, Partition), Row>;

/// A row of `views.lag`.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    lag: Lag,
    stalled: Option<Stalled>,
}

#[derive(Debug, Clone, PartialEq)]
struct Stalled {
    /// One of those that `lag_reason_known` in `schema/view/0008_stall_reasons.sql` knows.
    reason: &'static str,
    why: String,
    at: Option<Position>,
    since: Instant,
}

impl Stalled {
    fn of(stall: &Stall) -> Self {
        Self {
            reason: match stall.position {
                Some(_) => "too_many_parked",
                None => "taken_over",
            },
            why: stall.why.clone(),
            at: stall.position,
            since: stall.since,
        }
    }

    fn failing(failing: &Failing) -> Self {
        Self {
            reason: "failing",
            why: failing.why.clone(),
            at: None,
            since: failing.since,
        }
    }
}

/// What was told last, so that only what changed is told again.
#[derive(Debug, Default)]
struct Told {
    rows: Rows,
    all_at: Option<Instant>,
}

impl Told {
    fn measure(&self, rows: &Rows) {
        for ((build, partition), row) in rows {
            gauge(build.view, *partition, row.lag);
        }
        // Whoever folds a partition now says how far behind it is.
        for (build, partition) in self.rows.keys().filter(|key| !rows.contains_key(key)) {
            gauge(build.view, *partition, Lag::default());
        }
    }

    async fn write(
        &mut self,
        views: &PgPool,
        (epoch, head, began): (Uuid, Option<Position>, Instant),
        rows: Rows,
    ) -> Result<(), Error> {
        let Some(head) = head else {
            self.rows = rows;
            return Ok(());
        };
        let again = Duration::from_millis(TELL_AGAIN_MS);
        let all = self.all_at.is_none_or(|at| at.elapsed() >= again);
        let changed: Vec<((Build, Partition), Row)> = rows
            .iter()
            .filter(|(key, row)| all || self.rows.get(key) != Some(row))
            .map(|(key, row)| (*key, row.clone()))
            .collect();
        sqlx::query(TELL_HEAD)
            .bind(epoch)
            .bind(head)
            .bind(began.elapsed().as_secs_f64())
            .execute(views)
            .await
            .map_err(Error::Lag)?;
        if !changed.is_empty() {
            tell_lag(views, &changed).await?;
        }
        self.rows = rows;
        if all {
            self.all_at = Some(Instant::now());
        }
        Ok(())
    }
}

fn gauge(view: View, partition: Partition, lag: Lag) {
    let labels = [
        ("view", view.name().to_owned()),
        ("partition", partition.to_string()),
    ];
    #[expect(
        clippy::cast_precision_loss,
        reason = "a gauge is a float; it errs by a few events beyond 2^53"
    )]
    metrics::gauge!("foldline_projector_lag_events", &labels).set(lag.events as f64);
    metrics::gauge!("foldline_projector_lag_seconds", &labels).set(lag.seconds);
}

const TELL_HEAD: &str = "
    insert into views.heads as h (epoch, position, seen_at)
    values ($1, $2, clock_timestamp() - make_interval(secs => $3))
    on conflict on constraint heads_pkey do update
    set position = greatest(h.position, excluded.position),
        seen_at = excluded.seen_at,
        lost_at = null
";

const TELL_LOST: &str = "
    insert into views.heads as h (epoch, position, seen_at, lost_at)
    select distinct on (epoch)
        epoch,
        position,
        clock_timestamp(),
        clock_timestamp()
    from views.checkpoints
    where position > 0
    order by
        epoch,
        position desc
    on conflict on constraint heads_pkey do update
    set lost_at = coalesce(h.lost_at, excluded.lost_at)
";

/// Says that the log does not hold what the views were folded from, so that nobody takes their positions for those of the log.
pub(crate) async fn lost(views: &PgPool) -> Result<(), Error> {
    let bound = Duration::from_millis(LOOK_MS_MAX);
    let told = tokio::time::timeout(bound, sqlx::query(TELL_LOST).execute(views)).await;
    let told = told.unwrap_or(Err(sqlx::Error::PoolTimedOut));
    told.map(|_| ()).map_err(Error::Lag)
}

const TELL_LAG: &str = "
    insert into views.lag (
        view, version, partition, events, seconds, stalled_since, stalled_at, stalled_reason, stalled_why, told_at
    )
    select
        view,
        version,
        partition,
        events,
        seconds,
        clock_timestamp() - make_interval(secs => stalled_seconds),
        stalled_at,
        stalled_reason,
        stalled_why,
        clock_timestamp()
    from unnest(
        $1::text[], $2::integer[], $3::smallint[], $4::bigint[], $5::float8[], $6::float8[], $7::bigint[], $8::text[],
        $9::text[]
    ) as told (
        view, version, partition, events, seconds, stalled_seconds, stalled_at, stalled_reason, stalled_why
    )
    order by
        view collate \"C\",
        version,
        partition
    on conflict on constraint lag_pkey do update
    set events = excluded.events,
        seconds = excluded.seconds,
        stalled_since = excluded.stalled_since,
        stalled_at = excluded.stalled_at,
        stalled_reason = excluded.stalled_reason,
        stalled_why = excluded.stalled_why,
        told_at = excluded.told_at
";

async fn tell_lag(views: &PgPool, rows: &[((Build, Partition), Row)]) -> Result<(), Error> {
    fn column<'r, T>(
        rows: &'r [((Build, Partition), Row)],
        of: impl Fn(Build, Partition, &'r Row) -> T,
    ) -> Vec<T> {
        let of_row =
            |((build, partition), row): &'r ((Build, Partition), Row)| of(*build, *partition, row);
        rows.iter().map(of_row).collect()
    }
    sqlx::query(TELL_LAG)
        .bind(column(rows, |build, _, _| build.view.name()))
        .bind(column(rows, |build, _, _| build.version))
        .bind(column(rows, |_, partition, _| partition))
        .bind(column(rows, |_, _, row| row.lag.events))
        .bind(column(rows, |_, _, row| row.lag.seconds))
        .bind(column(rows, |_, _, row| {
            let stalled = row.stalled.as_ref()?;
            Some(stalled.since.elapsed().as_secs_f64())
        }))
        .bind(column(rows, |_, _, row| row.stalled.as_ref()?.at))
        .bind(column(rows, |_, _, row| Some(row.stalled.as_ref()?.reason)))
        // The database takes no NUL, and an error may quote one.
        .bind(column(rows, |_, _, row| {
            Some(row.stalled.as_ref()?.why.replace('\0', "\u{fffd}"))
        }))
        .execute(views)
        .await
        .map_err(Error::Lag)?;
    Ok(())
}
