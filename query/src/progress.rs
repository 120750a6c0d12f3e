//! How far the views have folded, and waiting until they have.
//!
//! One task per process reads the checkpoints of the active views whenever it is woken, and at the latest after
//! [`POLL_INTERVAL_MS`]; everybody else watches what it saw. A checkpoint commits together with its rows, so whoever
//! has *seen* it and reads afterwards reads those rows: an answer is never older than the position it waited for.
//! When the database does not answer, what was seen stays: waiting then ends in its time limit, never in a stale
//! answer. Read `progress/watch.rs` next for the task.

mod watch;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use foldline_events::{Cursor, PARTITIONS, Partition, Position, Tenant};
use tokio::sync;
use uuid::Uuid;

pub use watch::Wakes;

use crate::error::Error;

/// How long the task waits for a wake before it looks by itself.
pub const POLL_INTERVAL_MS: u64 = 500;
/// How long after it was last seen the progress still counts as known.
const KNOWN_FOR_MS: u64 = 10 * POLL_INTERVAL_MS;

/// The views that this service reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum View {
    Projects,
    Tasks,
    TaskHistory,
    TaskDashboard,
}

/// All of them.
pub const VIEWS: [View; 4] = [
    View::Projects,
    View::Tasks,
    View::TaskHistory,
    View::TaskDashboard,
];

impl View {
    /// As `views.active` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Projects => "project_view",
            Self::Tasks => "task_view",
            Self::TaskHistory => "task_history",
            Self::TaskDashboard => "task_dashboard",
        }
    }
}

/// How far one partition of a view is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Mark {
    /// Which incarnation of the log it was folded from; `None` before the first event.
    epoch: Option<Uuid>,
    position: Position,
}

/// How far every active view was folded at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Seen {
    views: BTreeMap<View, [Mark; PARTITIONS as usize]>,
    /// Which build of each view readers see: another one may hold other rows at the same positions.
    builds: BTreeMap<View, i32>,
    /// Of the tenants of which something is parked.
    parked: BTreeMap<String, BTreeMap<View, ParkedStreams>>,
    /// A projector found that the log does not hold what they were folded from.
    log_lost: bool,
}

/// The streams of a tenant that a view does not fold any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParkedStreams {
    pub count: i64,
    /// When one of them was last parked, or tried in vain.
    tried_at: DateTime<Utc>,
}

/// Up to where everything is folded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completed {
    /// `None` before anything was folded.
    pub epoch: Option<Uuid>,
    pub prefix: Position,
}

impl Seen {
    fn note(&mut self, view: View, partition: Partition, epoch: Uuid, position: Position) {
        let marks = self.views.entry(view).or_default();
        let mark = usize::try_from(partition)
            .ok()
            .and_then(|index| marks.get_mut(index));
        if let Some(mark) = mark {
            *mark = Mark {
                epoch: Some(epoch),
                position,
            };
        }
    }

    /// The marks that a reader of these views at this partition depends on; of every partition without one.
    fn marks(&self, views: &[View], partition: Option<Partition>) -> impl Iterator<Item = Mark> {
        views.iter().flat_map(move |view| {
            let marks = self.views.get(view).copied().unwrap_or_default();
            (0..PARTITIONS)
                .zip(marks)
                .filter(move |(index, _)| partition.is_none_or(|only| only == *index))
                .map(|(_, mark)| mark)
        })
    }

    /// The lowest position up to which every partition of these views has folded.
    pub fn completed(&self, views: &[View]) -> Completed {
        let lowest = self.marks(views, None).map(|mark| mark.position).min();
        Completed {
            epoch: self.marks(views, None).find_map(|mark| mark.epoch),
            prefix: lowest.unwrap_or(0),
        }
    }

    /// How far one partition of a view is folded.
    pub fn position(&self, view: View, partition: Partition) -> Position {
        let of_view = [view];
        let marks = self.marks(&of_view, Some(partition));
        marks.map(|mark| mark.position).min().unwrap_or(0)
    }

    /// What is parked of a tenant, by view.
    pub fn parked(&self, tenant: &Tenant) -> BTreeMap<View, ParkedStreams> {
        self.parked
            .get(tenant.as_str())
            .cloned()
            .unwrap_or_default()
    }

    /// Whether nothing of these views was folded since `before`. A parked stream that goes on moves no mark.
    pub fn stands_since(&self, before: &Self, views: &[View]) -> bool {
        self.parked == before.parked
            && self.builds == before.builds
            && self.marks(views, None).eq(before.marks(views, None))
    }

    /// Whether the log holds what the views were folded from, as far as is known.
    pub fn must_not_be_lost(&self) -> Result<(), Error> {
        match self.log_lost {
            true => Err(Error::LogLost),
            false => Ok(()),
        }
    }

    fn reached(&self, cursor: &Cursor, views: &[View]) -> Result<bool, Error> {
        self.must_not_be_lost()?;
        let mut reached = true;
        for mark in self.marks(views, cursor.partition) {
            match mark.epoch {
                Some(present) if present != cursor.epoch => {
                    return Err(Error::WrongEpoch { present });
                }
                Some(_) | None => reached &= mark.position >= cursor.position,
            }
        }
        Ok(reached)
    }
}

/// What the task sees, for everybody who waits. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Progress {
    seen: sync::watch::Receiver<Arc<Seen>>,
    /// When the checkpoints were last read, whether or not they had moved.
    looked_at: sync::watch::Receiver<Option<tokio::time::Instant>>,
}

impl Progress {
    pub fn seen(&self) -> Arc<Seen> {
        self.seen.borrow().clone()
    }

    /// Resolves whenever something moved. What moves while nobody looks is seen once.
    pub fn watch(&self) -> sync::watch::Receiver<Arc<Seen>> {
        self.seen.clone()
    }

    /// Whether the checkpoints were read lately: what readiness means here.
    pub fn is_known(&self) -> bool {
        let looked_at = *self.looked_at.borrow();
        looked_at.is_some_and(|at| at.elapsed() < Duration::from_millis(KNOWN_FOR_MS))
    }

    /// Waits until these views have folded up to the cursor, but not longer than `wait_ms_max`.
    pub async fn at_least(
        &self,
        cursor: &Cursor,
        views: &[View],
        wait_ms_max: u64,
    ) -> Result<(), Error> {
        let reached = |seen: &Seen| seen.reached(cursor, views);
        self.until(reached, wait_ms_max).await
    }

    /// Waits until every partition of these views has folded up to a position, of whichever log, but not longer than
    /// `wait_ms_max`.
    pub async fn completes(
        &self,
        position: Position,
        views: &[View],
        wait_ms_max: u64,
    ) -> Result<(), Error> {
        let completed = |seen: &Seen| {
            seen.must_not_be_lost()?;
            Ok(seen.completed(views).prefix >= position)
        };
        self.until(completed, wait_ms_max).await
    }

    async fn until(
        &self,
        is_it: impl Fn(&Seen) -> Result<bool, Error>,
        wait_ms_max: u64,
    ) -> Result<(), Error> {
        let started = tokio::time::Instant::now();
        let mut seen = self.seen.clone();
        let reached = async {
            loop {
                if is_it(&seen.borrow_and_update())? {
                    return Ok(());
                }
                if seen.changed().await.is_err() {
                    return Err(Error::Closing);
                }
            }
        };
        let outcome = tokio::time::timeout(Duration::from_millis(wait_ms_max), reached)
            .await
            .unwrap_or(Err(Error::AtLeastTimeout {
                waited_ms: wait_ms_max,
            }));
        metrics::histogram!("foldline_query_at_least_wait_seconds").record(started.elapsed());
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EPOCH: Uuid = Uuid::from_u128(1);

    fn at(position: Position, partition: Option<Partition>) -> Cursor {
        Cursor {
            epoch: EPOCH,
            position,
            partition,
        }
    }

    #[test]
    fn without_a_partition_every_partition_must_have_folded() {
        let mut seen = Seen::default();
        for partition in 0..PARTITIONS - 1 {
            seen.note(View::Tasks, partition, EPOCH, 10);
        }
        assert!(!seen.reached(&at(1, None), &[View::Tasks]).unwrap());
        assert!(seen.reached(&at(10, Some(3)), &[View::Tasks]).unwrap());
        assert!(!seen.reached(&at(11, Some(3)), &[View::Tasks]).unwrap());
        seen.note(View::Tasks, PARTITIONS - 1, EPOCH, 4);
        assert!(seen.reached(&at(4, None), &[View::Tasks]).unwrap());
        assert_eq!(seen.completed(&[View::Tasks]).prefix, 4);
    }

    #[test]
    fn every_view_concerned_must_have_folded() {
        let mut seen = Seen::default();
        seen.note(View::Tasks, 0, EPOCH, 10);
        assert!(
            !seen
                .reached(&at(10, Some(0)), &[View::Tasks, View::Projects])
                .unwrap()
        );
        assert!(seen.reached(&at(10, Some(0)), &[View::Tasks]).unwrap());
    }

    #[test]
    fn a_cursor_of_another_epoch_is_refused_at_once() {
        let mut seen = Seen::default();
        seen.note(View::Tasks, 0, Uuid::from_u128(2), 10);
        let refused = seen.reached(&at(1, None), &[View::Tasks]);
        assert!(matches!(refused, Err(Error::WrongEpoch { .. })));
    }
}
