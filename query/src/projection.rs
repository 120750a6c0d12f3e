//! How far the views follow the log, as the projectors that fold them say it.
//!
//! The log itself is not known here. Whoever folds a partition writes down every second how far behind it is
//! (`projector/src/lag.rs`), and whoever reads this learns when nobody does any more.

use std::time::Duration;

use async_graphql::{Context, Enum, Object, SimpleObject};
use chrono::{DateTime, Utc};
use foldline_events::Partition;
use sqlx::FromRow;
use uuid::Uuid;

use crate::{ask::Ask, error::Error, page::int, read::Reader, scalars::Position};

/// What was told longer ago than this is no longer true: projectors tell it again every 15 seconds.
const TOLD_MS_MAX: u64 = 60_000;

#[derive(Debug, Default)]
pub struct ProjectionQuery;

/// How far the views follow the log.
#[derive(Debug, Clone, SimpleObject)]
pub struct Projection {
    /// The incarnation of the log that they are folded from; null before anything was folded.
    epoch: Option<Uuid>,
    /// The log's last position, as a projector saw it; null when none has looked within the last minute: then nobody
    /// folds.
    head: Option<Position>,
    /// The lowest position up to which every partition of every view is folded.
    completed_prefix: Position,
    /// The views that are read, by name.
    views: Vec<ViewProjection>,
}

/// How far one view follows the log.
#[derive(Debug, Clone, SimpleObject)]
pub struct ViewProjection {
    /// The view.
    name: String,
    /// The version of it that is read.
    version: i32,
    /// The lowest position up to which every partition is folded.
    completed_prefix: Position,
    /// The first position as of which it may be asked; null where rows of the past are kept from the beginning.
    kept_from: Option<Position>,
    /// How many events it has not folded; null when that is not known of a partition.
    lag_events: Option<i32>,
    /// How long the first of them has been in the log, in seconds, by its recorded time; null when that is not known of a
    /// partition.
    lag_seconds: Option<f64>,
    /// Its partitions, by number.
    partitions: Vec<PartitionProjection>,
}

/// How far one view follows the log in one partition. Nothing of a partition that has caught up waits, however long ago it
/// moved; one that is stalled does not go on by itself.
#[derive(Debug, Clone, SimpleObject)]
pub struct PartitionProjection {
    /// The partition: 0 to 31.
    partition: i32,
    /// Up to where it is folded.
    position: Position,
    /// When it last was.
    moved_at: DateTime<Utc>,
    /// How many of its events are not folded, exact up to 10,000 positions behind the head; null when no projector has told
    /// within the last minute: then nobody folds it.
    lag_events: Option<i32>,
    /// How long the first of them has been in the log, in seconds, by its recorded time; null as before.
    lag_seconds: Option<f64>,
    /// What keeps it from going on; null when nothing does.
    stalled: Option<PartitionStall>,
}

/// Why a partition does not go on. It is tried again, ever more seldom; `foldline status` and its
/// projector's `/health/ready` say more.
#[derive(Debug, Clone, SimpleObject)]
pub struct PartitionStall {
    /// When it began.
    since: DateTime<Utc>,
    /// What is in its way.
    reason: StallReason,
    /// The event that it stopped at; null when it did not stop at one.
    position: Option<Position>,
}

/// What keeps a partition from going on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
pub enum StallReason {
    /// 10,000 of its streams are parked, and one more would have to be.
    TooManyParked,
    /// Another projector took it over, although it is assigned to the one that says so.
    TakenOver,
    /// Whatever whoever folds it tries fails, in every partition.
    Failing,
}

#[derive(FromRow)]
struct Row {
    view: String,
    version: i32,
    partition: Partition,
    epoch: Uuid,
    position: i64,
    moved_at: DateTime<Utc>,
    kept_from: Option<i64>,
    events: Option<i64>,
    seconds: Option<f64>,
    stalled_since: Option<DateTime<Utc>>,
    stalled_at: Option<i64>,
    stalled_reason: Option<String>,
}

/// Nothing is told of a version that nobody folds, or of what an older process said long ago.
const READ: &str = "
    select
        checkpoints.view,
        checkpoints.version,
        checkpoints.partition,
        checkpoints.epoch,
        checkpoints.position,
        checkpoints.moved_at,
        kept.position as kept_from,
        lag.events,
        lag.seconds,
        lag.stalled_since,
        lag.stalled_at,
        lag.stalled_reason
    from views.active
    join views.checkpoints
        on checkpoints.view = active.view
        and checkpoints.version = active.version
    left join views.kept
        on kept.view = checkpoints.view
        and kept.version = checkpoints.version
    left join views.lag
        on lag.view = checkpoints.view
        and lag.version = checkpoints.version
        and lag.partition = checkpoints.partition
        and lag.told_at > clock_timestamp() - make_interval(secs => $1)
    order by
        checkpoints.view,
        checkpoints.partition
";

#[Object]
impl ProjectionQuery {
    /// How far the views follow the log, in every partition: whether an answer can be old, by how much, and why. It is the
    /// same for every tenant.
    async fn projection(&self, ctx: &Context<'_>) -> Option<Result<Projection, Error>> {
        let answer = async {
            let ask = Ask::of(ctx)?;
            read(&ask.present.reader).await
        };
        Some(answer.await)
    }
}

async fn read(reader: &Reader) -> Result<Projection, Error> {
    let mut transaction = reader.begin().await?;
    let rows: Vec<Row> = sqlx::query_as(READ)
        .bind(Duration::from_millis(TOLD_MS_MAX).as_secs_f64())
        .fetch_all(&mut *transaction)
        .await
        .map_err(Error::read)?;
    // What was folded from nothing belongs to no log yet.
    let epoch = rows
        .iter()
        .find(|row| row.position > 0)
        .map(|row| row.epoch);
    drop(transaction);
    let head = match epoch {
        Some(epoch) => reader.head_seen_within(epoch, TOLD_MS_MAX).await?,
        None => None,
    };
    let lowest = rows.iter().map(|row| row.position).min();
    let views = rows.chunk_by(|one, next| one.view == next.view);
    Ok(Projection {
        epoch,
        head: head.map(Position),
        completed_prefix: Position(lowest.unwrap_or(0)),
        views: views.filter_map(ViewProjection::of).collect(),
    })
}

impl ViewProjection {
    fn of(rows: &[Row]) -> Option<Self> {
        let first = rows.first()?;
        let events: Option<i64> = rows.iter().map(|row| row.events).sum();
        let seconds: Option<Vec<f64>> = rows.iter().map(|row| row.seconds).collect();
        let lowest = rows.iter().map(|row| row.position).min().unwrap_or(0);
        Some(Self {
            name: first.view.clone(),
            version: first.version,
            completed_prefix: Position(lowest),
            kept_from: first.kept_from.map(Position),
            lag_events: events.map(int),
            lag_seconds: seconds.map(|seconds| seconds.into_iter().fold(0.0, f64::max)),
            partitions: rows.iter().map(PartitionProjection::of).collect(),
        })
    }
}

impl PartitionProjection {
    fn of(row: &Row) -> Self {
        let stalled = row.stalled_since.map(|since| PartitionStall {
            since,
            reason: match (row.stalled_reason.as_deref(), row.stalled_at) {
                (Some("failing"), _) => StallReason::Failing,
                (_, Some(_)) => StallReason::TooManyParked,
                (_, None) => StallReason::TakenOver,
            },
            position: row.stalled_at.map(Position),
        });
        Self {
            partition: i32::from(row.partition),
            position: Position(row.position),
            moved_at: row.moved_at,
            lag_events: row.events.map(int),
            lag_seconds: row.seconds,
            stalled,
        }
    }
}
