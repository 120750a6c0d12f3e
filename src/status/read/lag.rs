//! How far behind the log something is.

use foldline_events::{PARTITIONS, Partition, Position};
use sqlx::{PgConnection, Row};

use super::{Lag, Marks, Stalled};

/// How long a partition may stand, with events to fold, until it counts as stalled. The Kafka feed brings partitions
/// one after another, so being behind others for a moment means nothing.
const STALLED_SECONDS: f64 = 10.0;

/// What a view has not folded, up to the log's head.
pub(super) async fn of_view(
    log: &mut PgConnection,
    marks: &Marks,
    head: Position,
) -> Result<Lag, sqlx::Error> {
    let low = marks.positions.iter().copied().min().unwrap_or(0);
    if low >= head {
        return Ok(Lag::default());
    }
    let high = marks.positions.iter().copied().max().unwrap_or(0).min(head);
    // Positions have no gaps, so only what lies between the partitions has to be counted.
    let row = sqlx::query(
        "select
             (
                 select count(*)
                 from log.events
                 where position > $2
                     and position <= $3
                     and position > ($1::bigint[])[partition + 1]
             ) as between_partitions,
             (
                 select extract(epoch from clock_timestamp() - recorded_at)::float8
                 from log.events
                 where position > $2
                     and position <= $4
                     and position > ($1::bigint[])[partition + 1]
                 order by position
                 limit 1
             ) as seconds",
    )
    .bind(marks.positions.as_slice())
    .bind(low)
    .bind(high)
    .bind(head)
    .fetch_one(log)
    .await?;
    let between: i64 = row.get("between_partitions");
    let seconds: Option<f64> = row.get("seconds");
    Ok(Lag {
        events: between + (head - high),
        seconds: seconds.unwrap_or(0.0).max(0.0),
    })
}

/// What lies after a position: what the relay has not carried, say.
pub(super) async fn since(
    log: &mut PgConnection,
    mark: Position,
    head: Position,
) -> Result<Lag, sqlx::Error> {
    if mark >= head {
        return Ok(Lag::default());
    }
    let seconds: Option<f64> = sqlx::query_scalar(
        "select extract(epoch from clock_timestamp() - recorded_at)::float8
         from log.events
         where position = $1",
    )
    .bind(mark + 1)
    .fetch_optional(log)
    .await?;
    Ok(Lag {
        events: head - mark,
        seconds: seconds.unwrap_or(0.0).max(0.0),
    })
}

/// The partitions that stand while others of the view have passed their next event.
pub(super) async fn stalled(
    log: &mut PgConnection,
    marks: &Marks,
) -> Result<Vec<Stalled>, sqlx::Error> {
    let furthest = marks.positions.iter().copied().max().unwrap_or(0);
    let standing: Vec<(Partition, Position, f64)> = (0..PARTITIONS)
        .zip(marks.positions)
        .zip(marks.idle_seconds)
        .map(|((partition, position), idle)| (partition, position, idle))
        .filter(|(_, position, idle)| *position < furthest && *idle >= STALLED_SECONDS)
        .collect();
    if standing.is_empty() {
        return Ok(Vec::new());
    }
    let rows = sqlx::query(
        "select
             standing.partition,
             standing.position,
             standing.idle_seconds,
             next.position as next,
             next.type as next_type
         from unnest($1::smallint[], $2::bigint[], $3::float8[]) as standing (partition, position, idle_seconds)
         cross join lateral (
             select
                 position,
                 type
             from log.events
             where events.partition = standing.partition
                 and events.position > standing.position
                 and events.position <= $4
             order by events.position
             limit 1
         ) as next
         order by standing.partition",
    )
    .bind(standing.iter().map(|(partition, ..)| *partition).collect::<Vec<_>>())
    .bind(standing.iter().map(|(_, position, _)| *position).collect::<Vec<_>>())
    .bind(standing.iter().map(|(.., idle)| *idle).collect::<Vec<_>>())
    .bind(furthest)
    .fetch_all(log)
    .await?;
    let stalled = |row: &sqlx::postgres::PgRow| Stalled {
        partition: row.get("partition"),
        position: row.get("position"),
        next: row.get("next"),
        next_type: row.get("next_type"),
        seconds: row.get("idle_seconds"),
    };
    Ok(rows.iter().map(stalled).collect())
}
