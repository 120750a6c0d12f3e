//! A delivery with its events decoded, and how it is taken apart when one of them cannot be folded.

use std::collections::BTreeMap;

use foldline_events::{Event, Partition, Position, Recorded};
use foldline_log::{Mark, Slice};

use super::Poison;
use crate::{
    Error, View,
    error::{Remedy, in_full},
    parking::{Parked, StreamKey, Why},
};

/// After so many finds, each an event that a view cannot fold, a batch is taken apart: each costs one more try of all of it, and where there are
/// many, smaller pieces get written in between.
const FOUND_MAX: usize = 8;

/// Stretches of several partitions, to be written together.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) parts: Vec<Part>,
    /// How many events of it were found that cannot be folded.
    found: usize,
}

/// An event, and what this build reads in it.
pub(super) type Decoded = (Recorded, Result<Event, Why>);

/// A stretch of one partition with its events decoded, as far as this build can read them.
#[derive(Debug)]
pub(super) struct Part {
    pub(super) partition: Partition,
    pub(super) events: Vec<Decoded>,
    /// How far the partition is folded once this is written; `None` moves nothing.
    pub(super) through: Option<Mark>,
    pub(super) offset: Option<i64>,
    /// The streams that wait from an event of this stretch on.
    parked: BTreeMap<(View, StreamKey), Parked>,
    /// The event after this stretch, when the partition can go no further.
    poison: Option<Poison>,
}

impl Batch {
    /// Decodes every event once, for all views. `folded_through` says what every view has folded of a partition, so that
    /// none of it needs to be read again; slices of which it knows nothing are dropped.
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
            found: 0,
        }
    }

    /// The events of all parts in the log's order, each with its part.
    pub(super) fn in_order(&self) -> Vec<(&Part, &Decoded)> {
        let mut in_order: Vec<(&Part, &Decoded)> = self
            .parts
            .iter()
            .flat_map(|part| part.events.iter().map(move |decoded| (part, decoded)))
            .collect();
        in_order.sort_unstable_by_key(|(_, (recorded, _))| recorded.position);
        in_order
    }

    /// The streams that wait once this is written.
    pub(super) fn parked(&self) -> impl Iterator<Item = &Parked> {
        self.parts.iter().flat_map(|part| part.parked.values())
    }

    /// Takes apart a batch that could not be written because of an event in it: the batches to write instead, in order.
    /// Each is smaller than this one or parks a stream more, so it comes to an end. Other errors are given back.
    pub(super) fn isolate(mut self, error: Error) -> Result<Vec<Self>, Error> {
        match error.remedy() {
            Remedy::Isolate => {}
            Remedy::Retry | Remedy::Stop => return Err(error),
        }
        if let Error::Unfoldable {
            view,
            partition,
            position,
            why,
        } = &error
        {
            let culprit = |part: &&mut Part| part.partition == *partition && part.holds(*position);
            let Some(part) = self.parts.iter_mut().find(culprit) else {
                return Err(error);
            };
            if !part.park(*view, *position, Why::unfoldable(why.clone())) {
                return Err(error);
            }
            self.found += 1;
            return Ok(match self.found < FOUND_MAX {
                true => vec![self],
                false => self.apart(),
            });
        }
        // The database does not say which row it refused: each partition alone, then ever smaller stretches of it.
        if self.parts.len() > 1 {
            return Ok(self.apart());
        }
        let (Some(mut part), Error::Rows { view, .. }) = (self.parts.pop(), &error) else {
            return Err(error);
        };
        match part.events.as_slice() {
            [] => Err(error),
            [(only, _)] => {
                let position = only.position;
                if part.park(*view, position, Why::unfoldable(in_full(&error))) {
                    Ok(vec![Self::of(part)])
                } else {
                    Err(error)
                }
            }
            [_, _, ..] => Ok(Self::of(part).apart()),
        }
    }

    /// The events that stopped a part, once the parts were written.
    pub(super) fn into_poisons(self) -> impl Iterator<Item = Poison> {
        self.parts.into_iter().filter_map(|part| part.poison)
    }

    fn of(part: Part) -> Self {
        Self {
            parts: vec![part],
            found: 0,
        }
    }

    /// Each partition alone, or of one that is alone its halves.
    fn apart(mut self) -> Vec<Self> {
        let can_be_halved = |part: &Part| part.events.len() > 1;
        match self.parts.pop() {
            Some(only) if self.parts.is_empty() && can_be_halved(&only) => {
                let (first, second) = only.halves();
                vec![Self::of(first), Self::of(second)]
            }
            last => self.parts.into_iter().chain(last).map(Self::of).collect(),
        }
    }
}

impl Part {
    fn decode(slice: Slice, after: Position) -> Self {
        let new = |recorded: &Recorded| recorded.position > after;
        let events = slice.events.into_iter().filter(new).map(|recorded| {
            let event = recorded.event().map_err(|error| Why::of(&error));
            (recorded, event)
        });
        Self {
            partition: slice.partition,
            events: events.collect(),
            through: Some(slice.through),
            offset: slice.offset,
            parked: BTreeMap::new(),
            poison: None,
        }
    }

    fn holds(&self, position: Position) -> bool {
        self.events
            .iter()
            .any(|(recorded, _)| recorded.position == position)
    }

    /// Whether a view leaves an event out because its stream waits from here on.
    pub(super) fn parks(&self, view: View, recorded: &Recorded) -> bool {
        // Mostly nothing is parked, and then no name is copied.
        if self.parked.is_empty() {
            return false;
        }
        let stream = (recorded.tenant.clone(), recorded.stream.clone());
        let parked = self.parked.get(&(view, stream));
        parked.is_some_and(|parked| parked.position <= recorded.position)
    }

    /// Lets the stream of an event wait, from that event on. Says whether it did not wait from there before.
    pub(super) fn park(&mut self, view: View, position: Position, why: Why) -> bool {
        let here = |(recorded, _): &&Decoded| recorded.position == position;
        let Some((recorded, _)) = self.events.iter().find(here) else {
            return false;
        };
        let parked = Parked::at(view, recorded, why);
        let stream = (view, parked.key());
        let before = self.parked.get(&stream);
        if before.is_some_and(|before| before.position <= position) {
            return false;
        }
        self.parked.insert(stream, parked);
        true
    }

    /// How many streams wait that did not before.
    pub(super) fn parked(&self) -> usize {
        self.parked.len()
    }

    /// Where the last of them waits.
    pub(super) fn parked_last(&self) -> Option<&Parked> {
        self.parked.values().max_by_key(|parked| parked.position)
    }

    /// Ends the part before the event at `position`.
    pub(super) fn cut(&mut self, position: Position, why: String) {
        self.events
            .retain(|(recorded, _)| recorded.position < position);
        self.parked.retain(|_, parked| parked.position < position);
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
        let through = self.events.last().map(mark_of);
        let last = through.map_or(0, |mark| mark.position);
        let (parked_first, parked_second) = self
            .parked
            .into_iter()
            .partition(|(_, parked)| parked.position <= last);
        let first = Self {
            partition: self.partition,
            through,
            events: self.events,
            offset: None,
            parked: parked_first,
            poison: None,
        };
        let second = Self {
            partition: self.partition,
            events: second,
            through: self.through,
            offset: self.offset,
            parked: parked_second,
            poison: self.poison,
        };
        (first, second)
    }
}

fn mark_of((recorded, _): &Decoded) -> Mark {
    Mark {
        position: recorded.position,
        event_id: recorded.id,
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use foldline_events::Tenant;
    use uuid::Uuid;

    use super::*;

    /// An event that this build does not know: taking a batch apart does not look into it.
    fn event(partition: Partition, position: Position) -> Recorded {
        let id = Uuid::from_u128(u128::try_from(position).unwrap());
        Recorded {
            position,
            partition,
            id,
            tenant: Tenant::parse("acme").unwrap(),
            stream: format!("task-{id}"),
            version: 1,
            event_type: "tasks.TaskAbducted".to_owned(),
            schema_version: 1,
            payload: "{}".to_owned(),
            tags: Vec::new(),
            actor: "ada".to_owned(),
            command_id: id,
            correlation_id: id,
            causation_id: id,
            trace_context: None,
            occurred_at: DateTime::UNIX_EPOCH,
            recorded_at: DateTime::UNIX_EPOCH,
        }
    }

    /// Of so many partitions, each with so many events.
    fn batch(partitions: Partition, each: Position) -> Batch {
        let slice = |partition| {
            let position =
                |nth: Position| nth * Position::from(partitions) + Position::from(partition) + 1;
            let events: Vec<Recorded> = (0..each)
                .map(|nth| event(partition, position(nth)))
                .collect();
            let last = events.last().unwrap();
            Slice {
                partition,
                through: Mark {
                    position: last.position,
                    event_id: last.id,
                },
                offset: None,
                events,
            }
        };
        Batch::decode((0..partitions).map(slice).collect(), |_| Some(0))
    }

    fn unfoldable(partition: Partition, position: Position) -> Error {
        Error::Unfoldable {
            view: View::TaskView,
            partition,
            position,
            why: "it is spoilt".to_owned(),
        }
    }

    #[test]
    fn a_batch_with_many_events_that_cannot_be_folded_is_taken_apart() {
        let mut whole = batch(2, 100);
        for found in 1..FOUND_MAX {
            let position = Position::try_from(2 * found).unwrap();
            let mut again = whole.isolate(unfoldable(1, position)).unwrap();
            assert_eq!(again.len(), 1, "it is tried again whole");
            whole = again.remove(0);
            assert_eq!(whole.parked().count(), found);
        }
        let position = Position::try_from(2 * FOUND_MAX).unwrap();
        let pieces = whole.isolate(unfoldable(1, position)).unwrap();
        assert_eq!(pieces.len(), 2, "each partition alone");
        let parked: usize = pieces.iter().map(|piece| piece.parked().count()).sum();
        assert_eq!(parked, FOUND_MAX, "what was found is not forgotten");
    }

    #[test]
    fn the_same_event_found_again_ends_the_search() {
        let whole = batch(1, 10).isolate(unfoldable(0, 5)).unwrap().remove(0);
        assert!(whole.isolate(unfoldable(0, 5)).is_err());
    }
}
