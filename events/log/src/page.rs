//! How much of the log is read at a time: in events as whoever reads says, in bytes as it says here. Payloads may be long,
//! so a number of events says little about memory.

use std::sync::atomic::{AtomicUsize, Ordering};

use foldline_events::Recorded;
use futures_util::TryStreamExt;
use sqlx::{
    PgPool, Postgres,
    postgres::{PgArguments, PgRow},
    query::Query,
};

use crate::Error;

/// How many bytes of events one read of the log brings, whatever the number of events: it ends with the event that
/// reaches this.
pub const READ_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Whether another event may be read.
#[derive(Debug, Default)]
pub(crate) struct Room {
    bytes: usize,
}

impl Room {
    /// Counts an event. False once the read is full with it.
    pub(crate) fn take(&mut self, event: &Recorded) -> bool {
        let tags = event.tags.iter().map(|tag| tag.len() + size_of::<String>());
        self.bytes += size_of::<Recorded>()
            + event.payload.len()
            + event.stream.len()
            + event.event_type.len()
            + event.actor.len()
            + event.trace_context.as_ref().map_or(0, String::len)
            + tags.sum::<usize>();
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
pub(crate) fn until_full<'a>(events: impl Iterator<Item = &'a Recorded>, limit: usize) -> Fetched {
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
pub(crate) struct Fetched {
    pub(crate) events: Vec<Recorded>,
    /// It may have more: it ended because there was no room, or because it had as many as were asked for.
    pub(crate) may_go_on: bool,
}

/// Takes what a query brings, decoded as it comes, until there is no room for more. The query was made for `asked` events
/// at most, which [`Pace::ask`] gave.
pub(crate) async fn fetch(
    pool: &PgPool,
    query: Query<'_, Postgres, PgArguments>,
    (pace, asked): (&Pace, usize),
    room: &mut Room,
    mut decode: impl FnMut(&PgRow) -> Result<Recorded, Error>,
) -> Result<Fetched, Error> {
    let mut connection = pool.acquire().await.map_err(Error::reading)?;
    let mut rows = query.fetch(&mut *connection);
    let mut events = Vec::new();
    let mut is_cut = false;
    while let Some(row) = rows.try_next().await.map_err(Error::reading)? {
        let event = decode(&row)?;
        let has_room = room.take(&event);
        events.push(event);
        if !has_room && events.len() < asked {
            is_cut = true;
            break;
        }
    }
    drop(rows);
    if is_cut {
        // Whoever had this connection next would have to take all that is still being sent first.
        connection.close_on_drop();
    }
    pace.learn(asked, events.len(), room);
    let may_go_on = is_cut || events.len() >= asked;
    Ok(Fetched { events, may_go_on })
}
