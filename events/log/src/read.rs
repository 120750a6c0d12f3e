//! Reading the log back: a stream, the log after a position, one partition's stretch, the head, a position in time.

use chrono::{DateTime, NaiveDate, NaiveTime, SubsecRound, Utc};
use foldline_events::{Partition, Position, Recorded, Tenant, Version};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use crate::{Error, Log, Mark};

impl Log {
    /// The events of a stream after a version, oldest first, at most `limit`. An unknown stream has none.
    pub async fn read_stream(
        &self,
        tenant: &Tenant,
        stream: &str,
        after: Version,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        let rows = sqlx::query(
            "select position, partition, id, tenant, stream, version, type, schema_version, payload::text as payload,
                 tags, actor, command_id, correlation_id, causation_id, trace_context, occurred_at, recorded_at
             from log.events
             where tenant = $1
               and stream = $2
               and version > $3
             order by version
             limit $4",
        )
        .bind(tenant.as_str())
        .bind(stream)
        .bind(after)
        .bind(limit_as_i64(limit))
        .fetch_all(&self.inner.pool)
        .await
        .map_err(Error::Read)?;
        rows.iter().map(recorded).collect()
    }

    /// The events of a stream before a version, newest first, at most `limit`. `Version::MAX` begins with the last
    /// one; the version of the last event given goes on before it.
    pub async fn read_stream_backward(
        &self,
        tenant: &Tenant,
        stream: &str,
        before: Version,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        let rows = sqlx::query(
            "select position, partition, id, tenant, stream, version, type, schema_version, payload::text as payload,
                 tags, actor, command_id, correlation_id, causation_id, trace_context, occurred_at, recorded_at
             from log.events
             where tenant = $1
               and stream = $2
               and version < $3
             order by version desc
             limit $4",
        )
        .bind(tenant.as_str())
        .bind(stream)
        .bind(before)
        .bind(limit_as_i64(limit))
        .fetch_all(&self.inner.pool)
        .await
        .map_err(Error::Read)?;
        rows.iter().map(recorded).collect()
    }

    /// The log after a position, in order, at most `limit` events: gapless, or an error.
    pub async fn read(&self, after: Position, limit: usize) -> Result<Vec<Recorded>, Error> {
        let rows = sqlx::query(
            "select position, partition, id, tenant, stream, version, type, schema_version, payload::text as payload,
                 tags, actor, command_id, correlation_id, causation_id, trace_context, occurred_at, recorded_at
             from log.events
             where position > $1
             order by position
             limit $2",
        )
        .bind(after)
        .bind(limit_as_i64(limit))
        .fetch_all(&self.inner.pool)
        .await
        .map_err(Error::Read)?;
        let events: Vec<Recorded> = rows.iter().map(recorded).collect::<Result<_, _>>()?;
        check_gapless(after, &events)?;
        Ok(events)
    }

    /// The events of one partition after a position and up to another, in order, at most `limit`.
    pub async fn read_partition(
        &self,
        partition: Partition,
        after: Position,
        through: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        let rows = sqlx::query(
            "select position, partition, id, tenant, stream, version, type, schema_version, payload::text as payload,
                 tags, actor, command_id, correlation_id, causation_id, trace_context, occurred_at, recorded_at
             from log.events
             where position > $1
               and position <= $2
               and partition = $3
             order by position
             limit $4",
        )
        .bind(after)
        .bind(through)
        .bind(partition)
        .bind(limit_as_i64(limit))
        .fetch_all(&self.inner.pool)
        .await
        .map_err(Error::Read)?;
        rows.iter().map(recorded).collect()
    }

    /// The last event's place, [`Mark::START`] for an empty log.
    pub async fn head(&self) -> Result<Mark, Error> {
        let row = sqlx::query("select position, id from log.events order by position desc limit 1")
            .fetch_optional(&self.inner.pool)
            .await
            .map_err(Error::Read)?;
        Ok(row.map_or(Mark::START, |row| Mark {
            position: row.get("position"),
            event_id: row.get("id"),
        }))
    }

    /// The last position recorded at or before an instant, 0 when there is none. Every instant is valid.
    pub async fn position_at(&self, instant: DateTime<Utc>) -> Result<Position, Error> {
        sqlx::query_scalar("select log.position_at($1)")
            .bind(as_kept(instant))
            .fetch_one(&self.inner.pool)
            .await
            .map_err(Error::Read)
    }

    /// Whether each mark is still an event of this log. A mark that is not was made by another incarnation of it.
    ///
    /// # Errors
    /// [`Error::AnotherLog`] for the first mark that is not.
    pub async fn verify(&self, marks: &[Mark]) -> Result<(), Error> {
        let mut marks: Vec<Mark> = marks
            .iter()
            .copied()
            .filter(|mark| *mark != Mark::START)
            .collect();
        marks.sort_by_key(|mark| mark.position);
        marks.dedup();
        let positions: Vec<Position> = marks.iter().map(|mark| mark.position).collect();
        let ids: Vec<Uuid> = marks.iter().map(|mark| mark.event_id).collect();
        let stranger = sqlx::query(
            "select mark.position, mark.id
             from unnest($1::bigint[], $2::uuid[]) as mark (position, id)
             where not exists (
                 select from log.events e where e.position = mark.position and e.id = mark.id
             )
             order by mark.position
             limit 1",
        )
        .bind(&positions)
        .bind(&ids)
        .fetch_optional(&self.inner.pool)
        .await
        .map_err(Error::Read)?;
        match stranger {
            None => Ok(()),
            Some(row) => Err(Error::AnotherLog {
                position: row.get("position"),
                expected: row.get("id"),
            }),
        }
    }
}

/// An instant as the log keeps it, in whole microseconds; one that the database does not know becomes the nearest year
/// that it does.
fn as_kept(instant: DateTime<Utc>) -> DateTime<Utc> {
    let year = |year| {
        let day = NaiveDate::from_ymd_opt(year, 1, 1).expect("every year has a first day");
        day.and_time(NaiveTime::MIN).and_utc()
    };
    instant.trunc_subsecs(6).clamp(year(1), year(9999))
}

fn limit_as_i64(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The lock promises that no position is ever missing. A reader that trusts the promise checks it, too: going on
/// past a gap would lose an event in silence.
pub(crate) fn check_gapless(after: Position, events: &[Recorded]) -> Result<(), Error> {
    let mut last = after;
    for event in events {
        if event.position != last + 1 {
            return Err(Error::Gap {
                after: last,
                found: event.position,
            });
        }
        last = event.position;
    }
    Ok(())
}

pub(crate) fn recorded(row: &PgRow) -> Result<Recorded, Error> {
    Ok(Recorded {
        position: row.get("position"),
        partition: row.get("partition"),
        id: row.get("id"),
        tenant: Tenant::parse(row.get("tenant"))?,
        stream: row.get("stream"),
        version: row.get("version"),
        event_type: row.get("type"),
        schema_version: row.get("schema_version"),
        payload: row.get("payload"),
        tags: row.get("tags"),
        actor: row.get("actor"),
        command_id: row.get("command_id"),
        correlation_id: row.get("correlation_id"),
        causation_id: row.get("causation_id"),
        trace_context: row.get("trace_context"),
        occurred_at: row.get("occurred_at"),
        recorded_at: row.get("recorded_at"),
    })
}
