//! Reading a stream in order to fold it: what a fold needs of each event, and no more. A command waits for it, so it costs
//! less than half of what [`Log::read_stream`] does; whoever needs to know who did what, and when, reads that.

use foldline_events::{DecodeError, Event, Position, Recorded, Tenant, Version};
use futures_util::{StreamExt, TryStreamExt};
use sqlx::{
    PgPool, Postgres, Row,
    postgres::{PgArguments, PgRow},
    query::Query,
};
use uuid::Uuid;

use crate::{AnyLog, Error, Log, MemoryLog, read::limit_as_i64};

/// Most streams are no longer than this; they are read by one statement. What follows takes another to say where the stream
/// ends, and then comes straight from the segments, which is faster for each event.
const SHORT_EVENTS: usize = 100;
/// A stream that goes on over more segments than this is read as [`Log::read_stream`] does it.
const SEGMENTS_MAX: i64 = 8;

/// An event of a stream, as a fold needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamEvent {
    /// Its place in its stream, from 1.
    pub version: Version,
    /// Its place in the log, from 1.
    pub position: Position,
    /// As whoever appended it named it.
    pub id: Uuid,
    /// `context.FactInPastTense`.
    pub event_type: String,
    /// Of its payload, from 1.
    pub schema_version: i16,
    /// JSON text, byte for byte as it was appended.
    pub payload: String,
}

impl StreamEvent {
    /// The event inside, or why this build cannot read it.
    pub fn event(&self) -> Result<Event, DecodeError> {
        Event::decode(&self.event_type, self.schema_version, &self.payload)
    }
}

impl From<Recorded> for StreamEvent {
    fn from(recorded: Recorded) -> Self {
        Self {
            version: recorded.version,
            position: recorded.position,
            id: recorded.id,
            event_type: recorded.event_type,
            schema_version: recorded.schema_version,
            payload: recorded.payload,
        }
    }
}

impl Log {
    /// The events of a stream after a version, oldest first, at most `limit`, as a fold needs them. An unknown stream has
    /// none.
    pub async fn read_to_fold(
        &self,
        tenant: &Tenant,
        stream: &str,
        after: Version,
        limit: usize,
    ) -> Result<Vec<StreamEvent>, Error> {
        let pool = &self.inner.pool;
        let after = after.max(0);
        let few = limit.min(SHORT_EVENTS);
        let mut events = self.by_function(tenant, stream, after, few).await?;
        let more = limit - few;
        let Some(last) = events.last().filter(|_| events.len() == few && more > 0) else {
            return Ok(events);
        };
        let (after, position) = (last.version, last.position);
        let through: Position = sqlx::query_scalar(
            "select last_position from log.streams where tenant = $1 and stream = $2",
        )
        .bind(tenant.as_str())
        .bind(stream)
        .fetch_one(pool)
        .await
        .map_err(Error::Read)?;
        let size = self.inner.segment_positions;
        let rest = if through / size - position / size < SEGMENTS_MAX {
            let query = sqlx::query(
                "select version, position, id, type, schema_version, payload::text
                 from log.events
                 where tenant = $1
                   and stream = $2
                   and version > $3
                   and version <= $4
                   and position > $5
                   and position <= $6
                 order by version",
            )
            .bind(tenant.as_str())
            .bind(stream)
            .bind(after)
            .bind(after.saturating_add(limit_as_i64(more)))
            .bind(position)
            .bind(through);
            fetch(query, pool).await?
        } else {
            self.by_function(tenant, stream, after, more).await?
        };
        events.extend(rest);
        Ok(events)
    }

    /// See `sql/read_stream.sql`.
    async fn by_function(
        &self,
        tenant: &Tenant,
        stream: &str,
        after: Version,
        limit: usize,
    ) -> Result<Vec<StreamEvent>, Error> {
        let query = sqlx::query(
            "select version, position, id, type, schema_version, payload
             from log.read_stream($1, $2, $3, null, $4, $5)",
        )
        .bind(tenant.as_str())
        .bind(stream)
        .bind(after)
        .bind(limit_as_i64(limit))
        .bind(self.inner.segment_positions);
        fetch(query, &self.inner.pool).await
    }
}

/// Each is decoded as it comes, while the database still sends the others.
async fn fetch(
    query: Query<'_, Postgres, PgArguments>,
    pool: &PgPool,
) -> Result<Vec<StreamEvent>, Error> {
    let decoded = |row: PgRow| StreamEvent {
        version: row.get(0),
        position: row.get(1),
        id: row.get(2),
        event_type: row.get(3),
        schema_version: row.get(4),
        payload: row.get(5),
    };
    query
        .fetch(pool)
        .map(|row| row.map(decoded).map_err(Error::Read))
        .try_collect()
        .await
}

impl MemoryLog {
    /// See [`Log::read_to_fold`].
    pub fn read_to_fold(
        &self,
        tenant: &Tenant,
        stream: &str,
        after: Version,
        limit: usize,
    ) -> Vec<StreamEvent> {
        let events = self.read_stream(tenant, stream, after, limit);
        events.into_iter().map(StreamEvent::from).collect()
    }
}

impl AnyLog {
    /// See [`Log::read_to_fold`].
    pub async fn read_to_fold(
        &self,
        tenant: &Tenant,
        stream: &str,
        after: Version,
        limit: usize,
    ) -> Result<Vec<StreamEvent>, Error> {
        match self {
            Self::Postgres(log) => log.read_to_fold(tenant, stream, after, limit).await,
            Self::Memory(log) => Ok(log.read_to_fold(tenant, stream, after, limit)),
        }
    }
}
