//! Reading a stream in order to fold it: what a fold needs of each event, and no more. A command waits for it, so it costs
//! less than half of what [`Log::read_stream`] does; whoever needs to know who did what, and when, reads that.

use foldline_events::{DecodeError, Event, Position, Recorded, Tenant, Version};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use crate::{
    AnyLog, Error, Log, Mark, MemoryLog,
    page::{Fetched, Room, Stored, fetch},
    read::{cannot_be, limit_as_i64},
};

/// In a log of no more segments than this, a stream is read from all of them, by one statement.
const ALL_SEGMENTS_MAX: i64 = 2;
/// In a longer one, most streams are no longer than this; they are read by one statement, too. What follows takes another to
/// say where the stream ends, and then comes straight from the segments, which is faster for each event.
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
    ///
    /// # Errors
    /// Its type or version is none that this build knows, or its payload is not what they say.
    pub fn event(&self) -> Result<Event, DecodeError> {
        Event::decode(&self.event_type, self.schema_version, &self.payload)
    }
}

impl Stored for StreamEvent {
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.event_type.len() + self.payload.len()
    }

    fn mark(&self) -> Mark {
        Mark {
            position: self.position,
            event_id: self.id,
        }
    }
}

/// Events of a stream, and whether it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPage {
    /// Oldest first.
    pub events: Vec<StreamEvent>,
    /// There may be more after them; where not, the stream ended with them when they were read.
    pub may_go_on: bool,
}

impl From<Fetched<StreamEvent>> for StreamPage {
    fn from(fetched: Fetched<StreamEvent>) -> Self {
        Self {
            events: fetched.events,
            may_go_on: fetched.may_go_on,
        }
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
    /// The events of a stream after a version, oldest first, as a fold needs them: at most `limit`, and no more after those
    /// that reach [`crate::READ_BYTES_MAX`]. An unknown stream has none.
    ///
    /// # Errors
    /// As [`Log::read_stream`], and [`Error::Overloaded`] when too many reads of the tenant are waiting.
    pub async fn read_to_fold(
        &self,
        tenant: &Tenant,
        stream: &str,
        after: Version,
        limit: usize,
    ) -> Result<StreamPage, Error> {
        if cannot_be(stream) {
            return Ok(StreamPage {
                events: vec![],
                may_go_on: false,
            });
        }
        let _share = self.inner.share(tenant).await?;
        let after = after.clamp(0, Version::MAX - 1);
        let mut room = Room::default();
        if self.has_few_segments() {
            let everywhere = (0, Position::MAX);
            let page = self.by_index(tenant, stream, (after, limit), everywhere, &mut room);
            return Ok(page.await?.into());
        }
        let few = limit.min(SHORT_EVENTS);
        let mut page = self
            .by_function(tenant, stream, after, few, &mut room)
            .await?;
        let more = limit - few;
        let is_short = page.events.len() < few || more == 0 || room.is_full();
        let Some(last) = page.events.last().filter(|_| !is_short) else {
            return Ok(page.into());
        };
        let (after, position) = (last.version, last.position);
        let query = sqlx::query_scalar(
            "select last_position from log.streams where tenant = $1 and stream = $2",
        )
        .bind(tenant.as_str())
        .bind(stream);
        let through: Position = self
            .inner
            .read(async |on| query.fetch_one(on).await)
            .await?;
        let size = self.inner.segment_positions;
        let rest = if through / size - position / size < SEGMENTS_MAX {
            let place = (position, through);
            self.by_index(tenant, stream, (after, more), place, &mut room)
                .await?
        } else {
            self.by_function(tenant, stream, after, more, &mut room)
                .await?
        };
        page.events.extend(rest.events);
        Ok(StreamPage {
            events: page.events,
            may_go_on: rest.may_go_on,
        })
    }

    /// Whether asking all segments of the log, as far as this process has seen it, costs less than finding out which to ask.
    /// What it has not seen yet makes a read slower, and nothing else.
    fn has_few_segments(&self) -> bool {
        let newest = self.inner.seen.newest().position;
        newest > 0 && newest / self.inner.segment_positions < ALL_SEGMENTS_MAX
    }

    /// From the segments that lie after one position and up to another.
    async fn by_index(
        &self,
        tenant: &Tenant,
        stream: &str,
        (after, limit): (Version, usize),
        (after_position, through_position): (Position, Position),
        room: &mut Room,
    ) -> Result<Fetched<StreamEvent>, Error> {
        let asked = self.inner.pace.ask(limit);
        let query = sqlx::query(
            "select version, position, id, type, schema_version, payload
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
        .bind(after.saturating_add(limit_as_i64(asked)))
        .bind(after_position)
        .bind(through_position);
        fetch(&self.inner, query, asked, room, stream_event).await
    }

    /// See `sql/read_stream.sql`.
    async fn by_function(
        &self,
        tenant: &Tenant,
        stream: &str,
        after: Version,
        limit: usize,
        room: &mut Room,
    ) -> Result<Fetched<StreamEvent>, Error> {
        let asked = self.inner.pace.ask(limit);
        let query = sqlx::query(
            "select version, position, id, type, schema_version, payload
             from log.read_stream($1, $2, $3, null, $4, $5)",
        )
        .bind(tenant.as_str())
        .bind(stream)
        .bind(after)
        .bind(limit_as_i64(asked))
        .bind(self.inner.segment_positions);
        fetch(&self.inner, query, asked, room, stream_event).await
    }
}

fn stream_event(row: &PgRow) -> Result<StreamEvent, Error> {
    Ok(StreamEvent {
        version: row.get(0),
        position: row.get(1),
        id: row.get(2),
        event_type: row.get(3),
        schema_version: row.get(4),
        payload: row.get_unchecked(5),
    })
}

impl MemoryLog {
    /// See [`Log::read_to_fold`].
    pub fn read_to_fold(
        &self,
        tenant: &Tenant,
        stream: &str,
        after: Version,
        limit: usize,
    ) -> StreamPage {
        let page = self.stream_after(tenant, stream, after, limit);
        StreamPage {
            events: page.events.into_iter().map(StreamEvent::from).collect(),
            may_go_on: page.may_go_on,
        }
    }
}

impl AnyLog {
    /// See [`Log::read_to_fold`].
    ///
    /// # Errors
    /// As [`Log::read_stream`].
    pub async fn read_to_fold(
        &self,
        tenant: &Tenant,
        stream: &str,
        after: Version,
        limit: usize,
    ) -> Result<StreamPage, Error> {
        match self {
            Self::Postgres(log) => log.read_to_fold(tenant, stream, after, limit).await,
            Self::Memory(log) => Ok(log.read_to_fold(tenant, stream, after, limit)),
        }
    }
}
