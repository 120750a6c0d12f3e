//! What an append takes of everything that is bounded: of a batch, of the queue, of the time under the log's lock.

use crate::{
    Append, BYTES_PER_APPEND_MAX, EVENTS_PER_APPEND_MAX, Error, GUARD_SEEKS_MAX, Guard, NewEvent,
    SEEKS_PER_APPEND_MAX,
};

/// What an event, a stream or a guard takes beside its texts.
const ITEM_BYTES: usize = 160;
/// What a text takes beside its own bytes.
const TEXT_BYTES: usize = 40;

/// Of one append, or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    pub(crate) events: usize,
    /// In memory or on the way to the database, whichever is more.
    pub(crate) bytes: usize,
    /// How many entries of the tags' index its guards make the database look for, at most.
    pub(crate) seeks: usize,
}

impl Cost {
    pub(crate) fn of(append: &Append) -> Self {
        let mut events = 0;
        let mut bytes = ITEM_BYTES + append.input_hmac.len();
        for write in &append.writes {
            bytes += ITEM_BYTES + text(&write.stream);
            // Each event is sent, and stored, with all of this.
            let beside = write.stream.len()
                + append.actor.len()
                + append.trace_context.as_ref().map_or(0, String::len);
            events += write.events.len();
            let of_event = |event: &NewEvent| beside + own_bytes(event);
            bytes += write.events.iter().map(of_event).sum::<usize>();
        }
        bytes += append.guards.iter().map(guard_bytes).sum::<usize>();
        Self {
            events,
            bytes,
            seeks: append.guards.iter().map(guard_seeks).sum(),
        }
    }

    /// Refuses what is too much for one append. How many events it has was looked at before.
    pub(super) fn within_bounds(self) -> Result<Self, Error> {
        debug_assert!(self.events <= EVENTS_PER_APPEND_MAX, "it was checked");
        if self.bytes > BYTES_PER_APPEND_MAX {
            return Err(Error::Malformed(format!(
                "its payloads, tags and names take {} bytes, more than {BYTES_PER_APPEND_MAX}",
                self.bytes
            )));
        }
        if self.seeks > SEEKS_PER_APPEND_MAX {
            return Err(Error::Malformed(format!(
                "its guards may take {} looks into the index of tags, more than {SEEKS_PER_APPEND_MAX}: each type one, \
                 and {GUARD_SEEKS_MAX} of a guard with several tags",
                self.seeks
            )));
        }
        Ok(self)
    }
}

impl std::ops::Add for Cost {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            events: self.events + other.events,
            bytes: self.bytes + other.bytes,
            seeks: self.seeks + other.seeks,
        }
    }
}

fn text(text: &str) -> usize {
    TEXT_BYTES + text.len()
}

fn texts(of: &[String]) -> usize {
    of.iter().map(|it| text(it)).sum()
}

fn own_bytes(event: &NewEvent) -> usize {
    ITEM_BYTES + event.encoded.payload.len() + texts(&event.encoded.tags)
}

/// Its tags are sent with each of its types.
fn guard_bytes(guard: &Guard) -> usize {
    ITEM_BYTES + texts(&guard.event_types) + guard.event_types.len() * texts(&guard.tags)
}

fn guard_seeks(guard: &Guard) -> usize {
    let of_type = if guard.tags.len() > 1 {
        GUARD_SEEKS_MAX
    } else {
        1
    };
    guard.event_types.len() * of_type
}
