//! The feed from Postgres: wake, then read by position. Every partition is ours, and idle ones advance with the
//! reader, because one order tells about all of them.

use std::collections::BTreeMap;

use foldline_events::{Partition, Position, Recorded};

use super::{DELIVERY_EVENTS_MAX, Delivery, Mark, Slice, Start};
use crate::{Error, Log, Wake, store::all_partitions};

/// Reads the log itself.
#[derive(Debug)]
pub struct PostgresFeed {
    log: Log,
    wake: Wake,
    /// Whether the consumer has been told what it owns.
    assigned: bool,
    /// How far each started partition has been delivered.
    reached: BTreeMap<Partition, Position>,
    /// How far the log has been read for the started partitions.
    read_to: Position,
}

impl PostgresFeed {
    /// Reads the log that is given, and wakes when that does.
    pub fn new(log: Log) -> Self {
        Self {
            wake: log.wake(),
            log,
            assigned: false,
            reached: BTreeMap::new(),
            read_to: 0,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Delivery, Error> {
        if !self.assigned {
            self.assigned = true;
            return Ok(Delivery::Assigned(all_partitions()));
        }
        loop {
            if !self.reached.is_empty() {
                let events = self.log.read(self.read_to, DELIVERY_EVENTS_MAX).await?;
                if let Some(last) = events.last() {
                    let through = Mark::from(last);
                    self.read_to = through.position;
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
        self.read_to = self.reached.values().copied().min().unwrap_or(0);
        Ok(())
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
