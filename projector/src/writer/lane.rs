//! A lane: some partitions of a delivery, written in transactions of their own, beside the other lanes.
//!
//! No two partitions ever write one row, so lanes do not wait for each other; a large delivery goes in several, so that the
//! database works at it with several processes, and a small one in one, which is one commit.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, VecDeque},
};

use chrono::{DateTime, Utc};
use foldline_events::{Partition, Recorded, Version};
use foldline_log::Slice;
use sqlx::PgPool;
use uuid::Uuid;

use super::{
    Applied, BEGIN, Held,
    batch::{Batch, Decoded, Part},
    bounded, folds, stop,
};
use crate::{
    Build, Builds, Error, Folded,
    checkpoint::{self, Checkpoint, Move},
    parking::{self, PARKED_MAX, Parked},
    times::{self, Times},
};

/// In how many transactions at once a delivery is written, at most.
const LANES_MAX: usize = 2;
/// How many events a lane is worth.
const LANE_EVENTS_MIN: usize = 250;

/// The partitions of a lane, taken from the writer for as long as it takes.
pub(super) struct Lane {
    pool: PgPool,
    epoch: Uuid,
    builds: Builds,
    held: BTreeMap<Partition, Held>,
}

#[derive(Debug, Default)]
struct Written {
    events: usize,
    committed_at: Option<DateTime<Utc>>,
}

/// Shares the slices of a delivery out among as many lanes as it is worth, each with about as many events as the others.
pub(super) fn share_out<S>(mut slices: Vec<S>, events: impl Fn(&S) -> usize) -> Vec<Vec<S>> {
    let all: usize = slices.iter().map(&events).sum();
    let lanes = (all / LANE_EVENTS_MIN).clamp(1, LANES_MAX);
    if lanes == 1 {
        return vec![slices];
    }
    // The largest first, each to where least is.
    slices.sort_by_key(|slice| Reverse(events(slice)));
    let mut shares: Vec<(usize, Vec<S>)> = (0..lanes).map(|_| (0, Vec::new())).collect();
    for slice in slices {
        let load = |(events, of_lane): &&mut (usize, Vec<S>)| (*events, of_lane.len());
        if let Some(least) = shares.iter_mut().min_by_key(load) {
            least.0 += events(&slice);
            least.1.push(slice);
        }
    }
    shares.into_iter().map(|(_, of_lane)| of_lane).collect()
}

impl Lane {
    pub(super) fn new(
        pool: PgPool,
        epoch: Uuid,
        builds: Builds,
        held: BTreeMap<Partition, Held>,
    ) -> Self {
        Self {
            pool,
            epoch,
            builds,
            held,
        }
    }

    /// Writes slices of these partitions, and gives the partitions back with what became of it.
    pub(super) async fn apply(
        mut self,
        slices: Vec<Slice>,
    ) -> (BTreeMap<Partition, Held>, Result<Applied, Error>) {
        let outcome = self.write_all(slices).await;
        (self.held, outcome)
    }

    async fn write_all(&mut self, slices: Vec<Slice>) -> Result<Applied, Error> {
        let mut applied = Applied::default();
        // Usually one batch; an event that cannot be folded splits it, or is found at once.
        let folded_through = |partition| {
            let held = self.held.get(&partition)?;
            held.folded_through().filter(|_| !held.stopped)
        };
        let mut waiting = VecDeque::from([Batch::decode(slices, folded_through)]);
        while let Some(mut batch) = waiting.pop_front() {
            batch.parts.retain(|part| folds(&self.held, part.partition));
            for part in &mut batch.parts {
                self.park_unreadable(part);
                self.bound_parked(part);
            }
            match bounded(self.write(&batch)).await {
                Ok(written) => {
                    applied.events += written.events;
                    applied.committed_at = written.committed_at.or(applied.committed_at);
                    applied.parked.extend(batch.parked().cloned());
                    for poison in batch.into_poisons() {
                        stop(&mut self.held, poison.partition);
                        applied.poisoned.push(poison);
                    }
                }
                Err(Error::Lost { partitions }) => {
                    for partition in partitions {
                        stop(&mut self.held, partition);
                        applied.lost.push(partition);
                    }
                    waiting.push_front(batch);
                }
                Err(error) => {
                    for part in batch.isolate(error)?.into_iter().rev() {
                        waiting.push_front(part);
                    }
                }
            }
        }
        Ok(applied)
    }

    async fn write(&mut self, batch: &Batch) -> Result<Written, Error> {
        let moves = self.moves(batch);
        if moves.is_empty() {
            return Ok(Written::default());
        }
        let mut transaction = self.pool.begin_with(BEGIN).await.map_err(Error::Begin)?;
        fail::fail_point!("projector_before_rows", |_| std::process::abort());
        let in_order = batch.in_order();
        let parked: Vec<&Parked> = batch.parked().collect();
        let mut events = 0;
        for build in self.builds.iter() {
            let due = self.due(build, &in_order);
            if !due.is_empty() {
                build.fold(&mut transaction, &due).await?;
            }
            events = events.max(due.len());
        }
        times::store(&mut transaction, &self.times(batch)).await?;
        parking::park(&mut transaction, &self.builds, &parked).await?;
        fail::fail_point!("projector_after_rows", |_| std::process::abort());
        let committed_at = checkpoint::advance(&mut transaction, &moves).await?;
        fail::fail_point!("projector_before_commit", |_| std::process::abort());
        transaction.commit().await.map_err(Error::Commit)?;
        fail::fail_point!("projector_after_commit", |_| std::process::abort());

        for step in moves {
            let held = self.held.get_mut(&step.partition);
            let checkpoint = held.and_then(|held| held.checkpoints.get_mut(&step.build));
            if let Some(checkpoint) = checkpoint {
                checkpoint.mark = step.to;
                checkpoint.offset = step.offset.or(checkpoint.offset);
            }
        }
        for parked in parked {
            if let Some(held) = self.held.get_mut(&parked.partition) {
                held.aside.park(parked.view, parked.key());
            }
        }
        Ok(Written {
            events,
            committed_at,
        })
    }

    /// When the events were recorded that no view has passed by before, be they folded or not.
    fn times(&self, batch: &Batch) -> Vec<Times> {
        let of_part = |part: &Part| {
            let held = self.held.get(&part.partition)?;
            let positions = held.checkpoints.values().map(|it| it.mark.position);
            let furthest = positions.max()?;
            let events = part.events.iter().map(|(recorded, _)| recorded);
            let new = events.filter(|recorded| recorded.position > furthest);
            Times::of(self.epoch, part.partition, new)
        };
        batch.parts.iter().filter_map(of_part).collect()
    }

    /// The events that a build has not folded yet, and does not leave out.
    fn due<'b>(&self, build: Build, in_order: &[(&'b Part, &'b Decoded)]) -> Vec<Folded<'b>> {
        let due = |&(part, (recorded, event)): &(&'b Part, &'b Decoded)| {
            let follows = self.follows(build, part, recorded)?;
            let event = event.as_ref().ok()?;
            Some(Folded {
                view: build.view,
                recorded,
                event,
                follows,
            })
        };
        in_order.iter().filter_map(due).collect()
    }

    /// The version of its stream that a build holds before an event that it is to fold now; `None` for all other events.
    fn follows(&self, build: Build, part: &Part, recorded: &Recorded) -> Option<Version> {
        let held = self.held.get(&recorded.partition)?;
        let view = build.view;
        let is_due = view.folds(&recorded.stream)
            && recorded.position > held.checkpoints[&build].mark.position
            && !part.parks(view, recorded);
        if is_due {
            held.aside.follows(view, recorded)
        } else {
            None
        }
    }

    /// Parks what this build cannot read, in every view that it concerns.
    fn park_unreadable(&self, part: &mut Part) {
        let mut unreadable = Vec::new();
        for (recorded, event) in &part.events {
            if let Err(why) = event {
                let concerned = |build: &Build| self.follows(*build, part, recorded).is_some();
                let concerned = self.builds.iter().filter(concerned);
                let parked = |build: Build| (build.view, recorded.position, why.clone());
                unreadable.extend(concerned.map(parked));
            }
        }
        for (view, position, why) in unreadable {
            part.park(view, position, why);
        }
    }

    /// Ends a part before the event that would park one stream too many.
    fn bound_parked(&self, part: &mut Part) {
        let parked = self.held.get(&part.partition);
        let parked = parked.map_or(0, |held| held.aside.parked());
        while parked + part.parked() > PARKED_MAX {
            let Some(last) = part.parked_last() else {
                return;
            };
            let why = format!(
                "{PARKED_MAX} streams of its partition are parked already; of this one, {} cannot fold its event: {}",
                last.view, last.why.text
            );
            part.cut(last.position, why);
        }
    }

    fn moves(&self, batch: &Batch) -> Vec<Move> {
        let of_part = |part: &Part| {
            let (held, to) = (self.held.get(&part.partition)?, part.through?);
            let (partition, offset) = (part.partition, part.offset);
            let step = move |(build, from): (&Build, &Checkpoint)| Move {
                build: *build,
                partition,
                from: *from,
                to,
                offset,
            };
            let behind = move |(_, from): &(&Build, &Checkpoint)| from.mark.position < to.position;
            Some(held.checkpoints.iter().filter(behind).map(step))
        };
        batch.parts.iter().filter_map(of_part).flatten().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared(slices: Vec<usize>) -> Vec<Vec<usize>> {
        share_out(slices, |events| *events)
    }

    #[test]
    fn a_small_delivery_is_one_commit() {
        let slices = vec![LANE_EVENTS_MIN, LANE_EVENTS_MIN - 1, 0];
        assert_eq!(shared(slices.clone()), [slices]);
    }

    #[test]
    fn a_large_delivery_is_shared_out_evenly_and_whole() {
        let slices = vec![0, 700, 100, 300, 0, 300, 100];
        let lanes = shared(slices.clone());
        assert_eq!(lanes.len(), LANES_MAX);
        for lane in &lanes {
            let events: usize = lane.iter().sum();
            assert!((700..=800).contains(&events), "{lanes:?}");
        }
        let sorted = |mut slices: Vec<usize>| {
            slices.sort_unstable();
            slices
        };
        assert_eq!(sorted(lanes.concat()), sorted(slices));
    }

    #[test]
    fn a_large_slice_is_not_taken_apart() {
        assert_eq!(shared(vec![5_000, 0]), [vec![5_000], vec![0]]);
    }
}
