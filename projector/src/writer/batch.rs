//! A delivery with its events decoded, and how it is taken apart when one of them cannot be folded.

use foldline_events::{Event, Partition, Position, Recorded};
use foldline_log::{Mark, Slice};

use super::Poison;
use crate::{
    Error, Folded,
    error::{Remedy, in_full},
};

/// Stretches of several partitions, to be written together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) parts: Vec<Part>,
}

/// A stretch of one partition whose every event was decoded.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) partition: Partition,
    events: Vec<(Recorded, Event)>,
    /// How far the partition is folded once this is written; `None` moves nothing.
    pub(super) through: Option<Mark>,
    pub(super) offset: Option<i64>,
    /// The event after this stretch, when it can never be folded.
    poison: Option<Poison>,
}

impl Batch {
    /// Decodes every event once, for all views. A slice ends before the first event that this build cannot read.
    /// `folded_through` says what every view has folded of a partition, so that none of it needs to be read again;
    /// slices of which it knows nothing are dropped.
    pub(super) fn decode(
        slices: Vec<Slice>,
        folded_through: impl Fn(Partition) -> Option<Position>,
    ) -> Self {
        let decode = |slice: Slice| {
            let after = folded_through(slice.partition)?;
            Some(Part::decode(slice, after))
        };
        Self {
            parts: slices.into_iter().filter_map(decode).collect(),
        }
    }

    /// The events of all parts in the log's order.
    pub(super) fn in_order(&self) -> Vec<Folded<'_>> {
        let mut in_order: Vec<Folded<'_>> = self
            .parts
            .iter()
            .flat_map(|part| &part.events)
            .map(|(recorded, event)| Folded { recorded, event })
            .collect();
        in_order.sort_unstable_by_key(|folded| folded.recorded.position);
        in_order
    }

    /// Takes apart a batch that could not be written because of an event in it: the batches to write instead, in order.
    /// Each is smaller than this one or ends in front of the event, so it comes to an end. Other errors are given back.
    pub(super) fn isolate(mut self, error: Error) -> Result<Vec<Self>, Error> {
        match error.remedy() {
            Remedy::Isolate => {}
            Remedy::Retry | Remedy::Stop => return Err(error),
        }
        if let Error::Unfoldable {
            partition,
            position,
            why,
        } = &error
        {
            let culprit = |part: &&mut Part| part.partition == *partition && part.holds(*position);
            let Some(part) = self.parts.iter_mut().find(culprit) else {
                return Err(error);
            };
            part.cut(*position, why.clone());
            return Ok(vec![self]);
        }
        // The database does not say which row it refused: each partition alone, then ever smaller stretches of it.
        if self.parts.len() > 1 {
            return Ok(self.parts.into_iter().map(Self::of).collect());
        }
        let Some(mut part) = self.parts.pop() else {
            return Err(error);
        };
        match part.events.as_slice() {
            [] => Err(error),
            [(only, _)] => {
                let position = only.position;
                part.cut(position, in_full(&error));
                Ok(vec![Self::of(part)])
            }
            [_, _, ..] => {
                let (first, second) = part.halves();
                Ok(vec![Self::of(first), Self::of(second)])
            }
        }
    }

    /// The events that stopped a part, once the parts were written.
    pub(super) fn into_poisons(self) -> impl Iterator<Item = Poison> {
        self.parts.into_iter().filter_map(|part| part.poison)
    }

    fn of(part: Part) -> Self {
        Self { parts: vec![part] }
    }
}

impl Part {
    fn decode(slice: Slice, after: Position) -> Self {
        let mut part = Self {
            partition: slice.partition,
            events: Vec::with_capacity(slice.events.len()),
            through: Some(slice.through),
            offset: slice.offset,
            poison: None,
        };
        let new = |recorded: &Recorded| recorded.position > after;
        for recorded in slice.events.into_iter().filter(new) {
            match recorded.event() {
                Ok(event) => part.events.push((recorded, event)),
                Err(error) => {
                    part.cut(recorded.position, in_full(&error));
                    break;
                }
            }
        }
        part
    }

    fn holds(&self, position: Position) -> bool {
        self.events
            .iter()
            .any(|(recorded, _)| recorded.position == position)
    }

    /// Ends the part before the event at `position`.
    fn cut(&mut self, position: Position, why: String) {
        self.events
            .retain(|(recorded, _)| recorded.position < position);
        self.through = self.events.last().map(mark_of);
        // It leads behind the event; the one stored before is only further back, which is safe.
        self.offset = None;
        self.poison = Some(Poison {
            partition: self.partition,
            position,
            why,
        });
    }

    fn halves(mut self) -> (Self, Self) {
        let second = self.events.split_off(self.events.len() / 2);
        let first = Self {
            partition: self.partition,
            through: self.events.last().map(mark_of),
            events: self.events,
            offset: None,
            poison: None,
        };
        let second = Self {
            partition: self.partition,
            events: second,
            through: self.through,
            offset: self.offset,
            poison: self.poison,
        };
        (first, second)
    }
}

fn mark_of((recorded, _): &(Recorded, Event)) -> Mark {
    Mark {
        position: recorded.position,
        event_id: recorded.id,
    }
}
