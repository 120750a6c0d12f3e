//! The feed from Postgres: wake, then read by position. Idle partitions advance with the reader, because one order tells
//! about all of them.
//!
//! Nobody spreads partitions here as a consumer group does: either all of them are the consumer's, or it decides itself
//! what it starts and stops.

use std::collections::BTreeMap;

use foldline_events::{Partition, Position, Recorded};

use super::{DELIVERY_EVENTS_MAX, Delivery, Mark, Slice, Start};
use crate::{Error, Log, Pages, Wake, store::all_partitions};

/// Reads the log itself.
#[derive(Debug)]
pub struct PostgresFeed {
    log: Log,
    wake: Wake,
    /// Whether the consumer knows what it owns.
    assigned: bool,
    /// How far each started partition has been delivered.
    reached: BTreeMap<Partition, Position>,
    /// The log for the started partitions.
    pages: Pages,
}

impl PostgresFeed {
    /// Reads the log that is given, and wakes when that does. Every partition is the consumer's.
    pub fn new(log: Log) -> Self {
        Self {
            assigned: false,
            ..Self::unassigned(log)
        }
    }

    /// The same for a consumer that shares the partitions with others: it starts those that it is to have, and stops those
    /// that it is not to have any more, at any time.
    pub fn unassigned(log: Log) -> Self {
        Self {
            wake: log.wake(),
            pages: log.pages(0, DELIVERY_EVENTS_MAX),
            log,
            assigned: true,
            reached: BTreeMap::new(),
        }
    }

    pub(super) async fn next(&mut self) -> Result<Delivery, Error> {
        if !self.assigned {
            self.assigned = true;
            return Ok(Delivery::Assigned(all_partitions()));
        }
        loop {
            if !self.reached.is_empty() {
                let events = self.pages.next().await?;
                if let Some(last) = events.last() {
                    let through = Mark::from(last);
                    return Ok(Delivery::Slices(self.slices(events, through)));
                }
            }
            self.wake.wait().await;
        }
    }

    pub(super) async fn start(&mut self, starts: &[Start]) -> Result<(), Error> {
        let marks: Vec<Mark> = starts.iter().map(|start| start.after).collect();
        self.log.verify(&marks).await?;
        for start in starts {
            self.reached.insert(start.partition, start.after.position);
        }
        // Partitions that are further drop what they have already; see `slices`.
        let after = self.reached.values().copied().min().unwrap_or(0);
        self.pages = self.log.pages(after, DELIVERY_EVENTS_MAX);
        Ok(())
    }

    /// Ends the delivery of partitions, until they are started again.
    pub fn stop(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.reached.remove(partition);
        }
    }

    pub(super) fn rest(&mut self) {
        self.reached.clear();
    }

    fn slices(&mut self, events: Vec<Recorded>, through: Mark) -> Vec<Slice> {
        let mut by_partition: BTreeMap<Partition, Vec<Recorded>> = BTreeMap::new();
        for event in events {
            let reached = self.reached.get(&event.partition);
            if reached.is_some_and(|reached| event.position > *reached) {
                by_partition.entry(event.partition).or_default().push(event);
            }
        }
        let mut slices = Vec::with_capacity(self.reached.len());
        for (partition, reached) in &mut self.reached {
            if *reached < through.position {
                *reached = through.position;
                slices.push(Slice {
                    partition: *partition,
                    events: by_partition.remove(partition).unwrap_or_default(),
                    through,
                    offset: None,
                });
            }
        }
        slices
    }
}
