//! Applies deliveries: the rows of every view and the checkpoints, in one transaction.
//!
//! A [`Writer`] knows nothing of feeds or of time. It holds partitions that it took over, and for each how far every
//! view has folded it; a delivery is applied wholly or not at all, and applied again it changes nothing. An event that
//! can never be folded stops its own partition: what came before it is written, and the other partitions go on. Read
//! [`crate::checkpoint`] for the fences, `writer/batch.rs` for how an event that cannot be folded is found.

mod batch;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use chrono::{DateTime, Utc};
use foldline_events::{Partition, Position};
use foldline_log::{Mark, Slice, Start};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    Error, Folded, View,
    checkpoint::{self, Checkpoint, Checkpoints, Move},
};
use batch::{Batch, Part};

/// How long one transaction may take before the connection is given up. A full delivery takes a fraction of a second.
const TRANSACTION_MS_MAX: u64 = 60_000;

/// A writer that was paused in the middle of a transaction holds locks on rows and checkpoints; the server ends its
/// session, and whoever takes over waits for a lock no longer than this.
const BEGIN: &str =
    "begin; set local lock_timeout = '10s'; set local idle_in_transaction_session_timeout = '10s'";

/// Writes what is folded; holds partitions.
#[derive(Debug)]
pub struct Writer {
    pool: PgPool,
    epoch: Uuid,
    held: BTreeMap<Partition, Held>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    checkpoints: Checkpoints,
    /// Nothing more is written until the partition is taken again.
    stopped: bool,
}

/// What became of a delivery.
#[derive(Debug, Default)]
pub struct Applied {
    /// How many events were folded by at least one view.
    pub events: usize,
    /// The database's time of the last commit, where there was one.
    pub committed_at: Option<DateTime<Utc>>,
    /// Partitions that stopped at an event that can never be folded.
    pub poisoned: Vec<Poison>,
    /// Partitions that stopped because another writer took them over.
    pub lost: Vec<Partition>,
}

/// An event that can never be folded by this build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Poison {
    pub partition: Partition,
    pub position: Position,
    pub why: String,
}

impl Writer {
    /// A writer to the views in `pool` (as the role `foldline_projector`) of the log with this epoch.
    pub fn new(pool: PgPool, epoch: Uuid) -> Self {
        Self {
            pool,
            epoch,
            held: BTreeMap::new(),
        }
    }

    /// Takes partitions over, from others or again. Fails with [`Error::AnotherEpoch`] when they were folded from
    /// another log.
    pub async fn take(&mut self, partitions: &[Partition]) -> Result<(), Error> {
        let mut transaction = self.pool.begin_with(BEGIN).await.map_err(Error::Begin)?;
        let taken = checkpoint::raise_fences(&mut transaction, partitions, self.epoch).await?;
        transaction.commit().await.map_err(Error::Commit)?;
        let going_on = |checkpoints| Held {
            checkpoints,
            stopped: false,
        };
        self.held.extend(
            taken
                .into_iter()
                .map(|(partition, checkpoints)| (partition, going_on(checkpoints))),
        );
        Ok(())
    }

    /// Forgets partitions that belong to somebody else now.
    pub fn release(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.held.remove(partition);
        }
    }

    /// Whether slices of the partition are written.
    pub fn folds(&self, partition: Partition) -> bool {
        self.held.get(&partition).is_some_and(|held| !held.stopped)
    }

    /// How far every view has folded a partition that is held.
    pub fn folded_through(&self, partition: Partition) -> Option<Position> {
        let held = self.held.get(&partition)?;
        held.checkpoints
            .iter()
            .map(|checkpoint| checkpoint.mark.position)
            .min()
    }

    /// How far a view has folded all partitions that are held: the lowest of their positions.
    pub fn lowest(&self, view: View) -> Option<Position> {
        let index = index(view);
        self.held
            .values()
            .map(|held| held.checkpoints[index].mark.position)
            .min()
    }

    /// Where the feed is to go on: each partition where the view that is least far wants it.
    pub fn starts(&self, partitions: &[Partition]) -> Vec<Start> {
        let start = |&partition: &Partition| {
            let held = self.held.get(&partition)?;
            let lowest = held
                .checkpoints
                .iter()
                .min_by_key(|checkpoint| checkpoint.mark.position)?;
            Some(Start {
                partition,
                after: lowest.mark,
                // Of that view too: the offset of one that is further would skip what this one has not seen.
                offset: lowest.offset,
            })
        };
        partitions.iter().filter_map(start).collect()
    }

    /// Every place that a view has reached, to be compared with the log: one that was restored may still hold the
    /// lowest of them and no longer the others.
    pub fn marks(&self, partitions: &[Partition]) -> Vec<Mark> {
        let held = partitions
            .iter()
            .filter_map(|partition| self.held.get(partition));
        held.flat_map(|held| held.checkpoints.map(|checkpoint| checkpoint.mark))
            .collect()
    }

    /// Writes a delivery. Slices of partitions that are not held, or stopped, are dropped.
    ///
    /// # Errors
    /// When nothing can be said about what was written: then partitions must be taken again before going on.
    pub async fn apply(&mut self, slices: Vec<Slice>) -> Result<Applied, Error> {
        let mut applied = Applied::default();
        // Usually one batch; an event that cannot be folded splits it, at most once per event.
        let folded_through = |partition| {
            let through = self.folded_through(partition);
            through.filter(|_| self.folds(partition))
        };
        let mut waiting = VecDeque::from([Batch::decode(slices, folded_through)]);
        while let Some(mut batch) = waiting.pop_front() {
            batch.parts.retain(|part| self.folds(part.partition));
            let written = tokio::time::timeout(
                Duration::from_millis(TRANSACTION_MS_MAX),
                self.write(&batch),
            )
            .await
            .unwrap_or(Err(Error::Stuck {
                waited_ms: TRANSACTION_MS_MAX,
            }));
            match written {
                Ok(written) => {
                    applied.events += written.events;
                    applied.committed_at = written.committed_at.or(applied.committed_at);
                    for poison in batch.into_poisons() {
                        self.stop(poison.partition);
                        applied.poisoned.push(poison);
                    }
                }
                Err(Error::Lost { partitions }) => {
                    for partition in partitions {
                        self.stop(partition);
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

    fn stop(&mut self, partition: Partition) {
        if let Some(held) = self.held.get_mut(&partition) {
            held.stopped = true;
        }
    }

    async fn write(&mut self, batch: &Batch) -> Result<Written, Error> {
        let moves = self.moves(batch);
        if moves.is_empty() {
            return Ok(Written::default());
        }
        let mut transaction = self.pool.begin_with(BEGIN).await.map_err(Error::Begin)?;
        fail::fail_point!("projector_before_rows", |_| std::process::abort());
        let in_order = batch.in_order();
        let mut events = 0;
        for view in View::ALL {
            let due = self.due(view, &in_order);
            if !due.is_empty() {
                view.fold(&mut transaction, &due).await?;
            }
            events = events.max(due.len());
        }
        fail::fail_point!("projector_after_rows", |_| std::process::abort());
        let committed_at = checkpoint::advance(&mut transaction, &moves).await?;
        fail::fail_point!("projector_before_commit", |_| std::process::abort());
        transaction.commit().await.map_err(Error::Commit)?;
        fail::fail_point!("projector_after_commit", |_| std::process::abort());

        for step in moves {
            if let Some(held) = self.held.get_mut(&step.partition) {
                let checkpoint = &mut held.checkpoints[index(step.view)];
                checkpoint.mark = step.to;
                checkpoint.offset = step.offset.or(checkpoint.offset);
            }
        }
        Ok(Written {
            events,
            committed_at,
        })
    }

    /// The events that a view has not folded yet.
    fn due<'a>(&self, view: View, in_order: &[Folded<'a>]) -> Vec<Folded<'a>> {
        let index = index(view);
        let is_due = |folded: &&Folded<'_>| {
            let held = self.held.get(&folded.recorded.partition);
            held.is_some_and(|held| {
                folded.recorded.position > held.checkpoints[index].mark.position
            })
        };
        in_order.iter().filter(is_due).copied().collect()
    }

    fn moves(&self, batch: &Batch) -> Vec<Move> {
        let of_part = |part: &Part| {
            let (held, to) = (self.held.get(&part.partition)?, part.through?);
            let (partition, offset) = (part.partition, part.offset);
            let step = move |(view, from): (View, Checkpoint)| Move {
                view,
                partition,
                from,
                to,
                offset,
            };
            let views = View::ALL.into_iter().zip(held.checkpoints);
            Some(
                views
                    .filter(move |(_, from)| from.mark.position < to.position)
                    .map(step),
            )
        };
        batch.parts.iter().filter_map(of_part).flatten().collect()
    }
}

#[derive(Debug, Default)]
struct Written {
    events: usize,
    committed_at: Option<DateTime<Utc>>,
}

/// A view's place in [`Checkpoints`].
fn index(view: View) -> usize {
    match view {
        View::ProjectView => 0,
        View::TaskView => 1,
        View::TaskHistory => 2,
        View::TaskDashboard => 3,
    }
}
