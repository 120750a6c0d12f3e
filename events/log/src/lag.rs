//! How far behind the log's head somebody is who reads it by partitions, in events and in time.

use std::collections::BTreeMap;

use foldline_events::{PARTITIONS, Partition, Position};
use sqlx::Row;

use crate::{Error, Log};

/// How many positions after the partition that is furthest behind are looked at one by one. What lies beyond is taken to be
/// spread evenly over the partitions.
pub const LAG_POSITIONS_COUNTED_MAX: i64 = 10_000;

/// How far behind one partition is.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Lag {
    /// How many of its events were not read yet.
    pub events: i64,
    /// How long the first of them has been in the log, by its recorded time.
    pub seconds: f64,
}

/// How far behind partitions are, all as of one head.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Lags {
    /// The last position of the log.
    pub head: Position,
    /// Of each partition that was asked for.
    pub of: BTreeMap<Partition, Lag>,
}

const BEHIND: &str = "
    with reached as (
        select
            partition,
            position
        from unnest($1::smallint[], $2::bigint[]) as reached (partition, position)
    ),
    counted as (
        select
            events.partition,
            count(*) as events,
            min(events.recorded_at) as since
        from log.events
        join reached on reached.partition = events.partition
        where events.position > $3
            and events.position <= $4
            and events.position > reached.position
        group by events.partition
    )
    select
        reached.partition,
        coalesce(counted.events, 0) as events,
        coalesce(
            extract(epoch from clock_timestamp() - coalesce(counted.since, next.recorded_at)),
            0
        )::float8 as seconds
    from reached
    left join counted on counted.partition = reached.partition
    -- Of who is further than what was counted: the next event is the most that can be said at this price.
    left join log.events as next
        on next.position = reached.position + 1
        and reached.position >= $4
        and next.position <= $5
";

impl Log {
    /// How far behind the head partitions are that were read up to these positions.
    ///
    /// The number of events is exact up to [`LAG_POSITIONS_COUNTED_MAX`] positions after the lowest of them, and an
    /// estimate beyond. It costs a look at each of those positions, and nothing when all are at the head.
    ///
    /// # Errors
    /// [`Error::Read`] where the database cannot be asked (it may be tried again); [`Error::AnotherLog`] and
    /// [`Error::AnotherEpoch`] once the log turns out to be another; [`Error::NotMigrated`] when it lacks what this build calls.
    pub async fn lags(&self, reached: &BTreeMap<Partition, Position>) -> Result<Lags, Error> {
        let head = self.head_position().await?;
        let none = |partition: &Partition| (*partition, Lag::default());
        let mut lags = Lags {
            head,
            of: reached.keys().map(none).collect(),
        };
        let lowest = reached.values().copied().min().unwrap_or(head);
        if lowest >= head {
            return Ok(lags);
        }
        let counted = head.min(lowest.saturating_add(LAG_POSITIONS_COUNTED_MAX));
        let behind: Vec<(Partition, Position)> = reached
            .iter()
            .filter(|(_, position)| **position < head)
            .map(|(partition, position)| (*partition, *position))
            .collect();
        let (partitions, positions): (Vec<Partition>, Vec<Position>) = behind.into_iter().unzip();
        let query = sqlx::query(BEHIND)
            .bind(partitions)
            .bind(positions)
            .bind(lowest)
            .bind(counted)
            .bind(head);
        for row in self
            .inner
            .read(async |on| query.fetch_all(on).await)
            .await?
        {
            let partition: Partition = row.get("partition");
            let uncounted = head - counted.max(reached[&partition]);
            let seconds: f64 = row.get("seconds");
            let lag = Lag {
                events: row.get::<i64, _>("events") + uncounted / i64::from(PARTITIONS),
                // The clock of a server that took over may be behind.
                seconds: seconds.max(0.0),
            };
            lags.of.insert(partition, lag);
        }
        Ok(lags)
    }
}
