//! Partitions that do not go on: since when, why, and when each is tried again.
//!
//! A partition stalls at an event that can never be folded, or because another writer took it over although the feed
//! says that it is ours. Both may mend (a newer build, a rebalance), so it is tried again from its checkpoint, seldom.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use foldline_events::{Partition, Position};

use crate::{Poison, health::Stall};

/// When nothing is stalled there is nothing to do for this long.
const IDLE: Duration = Duration::from_secs(3_600);

/// A partition that was taken over is soon revoked, if it was rightly so; if not, it must not wait for long.
const LOST_RETRY: Duration = Duration::from_secs(2);

/// How soon one is tried again of which a parked stream was released: others may follow.
const HASTE: Duration = Duration::from_secs(1);

/// Trying again reads the log from the partition's checkpoint, so it must become rare.
const RETRY_FACTOR_MAX: u32 = 32;

#[derive(Debug)]
pub(super) struct Stalls {
    retry_after: Duration,
    of: BTreeMap<Partition, Stalled>,
}

#[derive(Debug)]
struct Stalled {
    stall: Stall,
    /// How long to wait now; doubles up to [`RETRY_FACTOR_MAX`] times the first.
    pause: Duration,
    retry_at: Instant,
}

impl Stalls {
    pub(super) fn new(retry_after: Duration) -> Self {
        Self {
            retry_after,
            of: BTreeMap::new(),
        }
    }

    pub(super) fn poisoned(&mut self, poison: Poison) {
        let Poison {
            partition,
            position,
            why,
        } = poison;
        self.stall(partition, Some(position), why, self.retry_after);
    }

    pub(super) fn lost(&mut self, partition: Partition) {
        let why = "another projector took it over, though it is assigned to this one";
        let pause = self.retry_after.min(LOST_RETRY);
        self.stall(partition, None, why.to_owned(), pause);
    }

    /// The same stall found again keeps its beginning and is not logged again.
    fn stall(
        &mut self,
        partition: Partition,
        position: Option<Position>,
        why: String,
        first_pause: Duration,
    ) {
        let now = Instant::now();
        let known = self
            .of
            .get(&partition)
            .filter(|known| known.stall.position == position);
        let since = known.map_or(now, |known| known.stall.since);
        let pause = known.map_or(first_pause, |known| {
            (known.pause * 2).min(self.retry_after * RETRY_FACTOR_MAX)
        });
        if known.is_none() {
            tracing::error!(
                partition,
                position,
                why,
                "a partition stalled; the others go on"
            );
            metrics::counter!("foldline_projector_stalls_total").increment(1);
        }
        let stall = Stall {
            partition,
            position,
            why,
            since,
        };
        let retry_at = now + pause;
        self.of.insert(
            partition,
            Stalled {
                stall,
                pause,
                retry_at,
            },
        );
    }

    /// When the next one is to be tried again.
    pub(super) fn due_at(&self) -> Instant {
        let first = self.of.values().map(|stalled| stalled.retry_at).min();
        first.unwrap_or_else(|| Instant::now() + IDLE)
    }

    /// The partitions to try now. One that is folded already, because it has not come to its event yet, is not among
    /// them.
    pub(super) fn retry(&mut self, folds: impl Fn(Partition) -> bool) -> Vec<Partition> {
        let now = Instant::now();
        let mut due = Vec::new();
        for (partition, stalled) in &mut self.of {
            if stalled.retry_at <= now {
                stalled.retry_at = now + stalled.pause;
                if !folds(*partition) {
                    due.push(*partition);
                }
            }
        }
        due
    }

    /// Whether it stopped at an event, and not because it was taken over.
    pub(super) fn is_at_event(&self, partition: Partition) -> bool {
        let stalled = self.of.get(&partition);
        stalled.is_some_and(|stalled| stalled.stall.position.is_some())
    }

    /// Something was mended that may have been its cause: a partition that is stalled is tried soon.
    pub(super) fn hasten(&mut self, partition: Partition) {
        if let Some(stalled) = self.of.get_mut(&partition) {
            stalled.retry_at = stalled.retry_at.min(Instant::now() + HASTE);
        }
    }

    /// Ends the stalls of partitions that are folded again, and beyond the event that they stopped at.
    /// `folded_through` speaks only of those that are being folded.
    pub(super) fn passed(&mut self, folded_through: impl Fn(Partition) -> Option<Position>) {
        self.of.retain(|partition, Stalled { stall, .. }| {
            let goes_on = match (folded_through(*partition), stall.position) {
                (Some(through), Some(stopped_at)) => through >= stopped_at,
                (Some(_), None) => true,
                (None, _) => false,
            };
            if goes_on {
                tracing::info!(partition, "a stalled partition goes on");
            }
            !goes_on
        });
    }

    /// It is somebody else's now, and so is its stall.
    pub(super) fn forget(&mut self, partition: Partition) {
        self.of.remove(&partition);
    }

    pub(super) fn list(&self) -> Vec<Stall> {
        self.of
            .values()
            .map(|stalled| stalled.stall.clone())
            .collect()
    }
}
