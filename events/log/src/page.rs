//! How much of the log is read at a time: in events as whoever reads says, in bytes as it says here. Payloads may be long,
//! so a number of events says little about memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use foldline_events::Recorded;
use futures_util::TryStreamExt;
use sqlx::{
    Postgres,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use crate::{Error, Mark, reading::in_time, store::Inner};

/// How many bytes of events one read of the log brings, whatever the number of events: it ends with the event that
/// reaches this.
pub const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

/// An event as one of the reads brings it.
pub(crate) trait Stored {
    /// What it takes in memory.
    fn bytes(&self) -> usize;
    /// Where it lies.
    fn mark(&self) -> Mark;
}

impl Stored for Recorded {
    fn bytes(&self) -> usize {
        let tags = self.tags.iter().map(|tag| tag.len() + size_of::<String>());
        size_of::<Self>()
            + self.payload.len()
            + self.stream.len()
            + self.event_type.len()
            + self.actor.len()
            + self.trace_context.as_ref().map_or(0, String::len)
            + tags.sum::<usize>()
    }

    fn mark(&self) -> Mark {
        Mark::from(self)
    }
}

/// Whether another event may be read.
#[derive(Debug, Default)]
pub(crate) struct Room {
    bytes: usize,
}

impl Room {
    /// Counts an event. False once the read is full with it.
    pub(crate) fn take(&mut self, event: &impl Stored) -> bool {
        self.bytes += event.bytes();
        !self.is_full()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= READ_BYTES_MAX
    }

    fn is_half_empty(&self) -> bool {
        self.bytes <= READ_BYTES_MAX / 2
    }
}

/// Of events that are in memory already, as many as one read brings.
pub(crate) fn until_full<'a>(
    events: impl Iterator<Item = &'a Recorded>,
    limit: usize,
) -> Fetched<Recorded> {
    let mut room = Room::default();
    let mut read = Vec::new();
    for event in events.take(limit) {
        read.push(event.clone());
        if !room.take(event) {
            break;
        }
    }
    Fetched {
        may_go_on: room.is_full() || read.len() == limit,
        events: read,
    }
}

/// How many events are asked for at a time. A server sends all that a query found, wanted or not, so asking for many more
/// than there is room for would send most of them in vain.
#[derive(Debug)]
pub(crate) struct Pace(AtomicUsize);

impl Default for Pace {
    /// Until events turn out to be long, whoever reads says how many.
    fn default() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }
}

impl Pace {
    /// How many events to ask for where at most `limit` are wanted.
    pub(crate) fn ask(&self, limit: usize) -> usize {
        limit.min(self.0.load(Ordering::Relaxed))
    }

    /// A read that was full asked for too many; one that had what it asked for and room for as much again may ask for
    /// twice as many next.
    fn learn(&self, asked: usize, came: usize, room: &Room) {
        if room.is_full() {
            self.0.store(came.max(1), Ordering::Relaxed);
        } else if came == asked && room.is_half_empty() {
            self.0.fetch_max(asked.saturating_mul(2), Ordering::Relaxed);
        }
    }
}

/// What a query brought.
pub(crate) struct Fetched<E> {
    pub(crate) events: Vec<E>,
    /// It may have more: it ended because there was no room, or because it had as many as were asked for.
    pub(crate) may_go_on: bool,
}

/// Takes what a query brings, decoded as it comes, until there is no room for more. The query was made for `asked` events
/// at most, which [`Pace::ask`] gave.
pub(crate) async fn fetch<E: Stored>(
    inner: &Inner,
    query: Query<'_, Postgres, PgArguments>,
    asked: usize,
    room: &mut Room,
    mut decode: impl FnMut(&PgRow) -> Result<E, Error>,
) -> Result<Fetched<E>, Error> {
    let mut connection = inner.connection().await?;
    let mut events = Vec::new();
    let mut newest = Mark::START;
    let is_cut = in_time(async {
        let mut rows = query.fetch(connection.get());
        while let Some(row) = rows.try_next().await.map_err(Error::reading)? {
            let event = decode(&row)?;
            let mark = event.mark();
            if mark.position > newest.position {
                newest = mark;
            }
            let has_room = room.take(&event);
            events.push(event);
            if !has_room && events.len() < asked {
                return Ok(true);
            }
        }
        Ok::<_, Error>(false)
    })
    .await??;
    // Whoever had the connection of a read that was cut next would have to take all that is still being sent first.
    if !is_cut {
        connection.give_back();
    }
    inner.seen.note(newest);
    inner.pace.learn(asked, events.len(), room);
    let may_go_on = is_cut || events.len() >= asked;
    Ok(Fetched { events, may_go_on })
}
