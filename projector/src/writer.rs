//! Applies deliveries: the rows of every view and the checkpoints, in one transaction.
//!
//! A [`Writer`] knows nothing of feeds or of time. It holds partitions that it took over, and for each how far every
//! view has folded it; a delivery is applied wholly or not at all, and applied again it changes nothing. An event that
//! a view cannot fold parks its own stream in that view: what came before it is written, and everything else goes on. Read
//! [`crate::checkpoint`] for the fences, [`crate::parking`] for what is left out, `writer/batch.rs` for how an event that
//! cannot be folded is found, `writer/retry.rs` for how a parked stream goes on.

mod batch;
mod retry;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use chrono::{DateTime, Utc};
use foldline_events::{Partition, Position, Recorded, Version};
use foldline_log::{Mark, Slice, Start};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{
    Error, Folded, View,
    checkpoint::{self, Checkpoint, Checkpoints, Move},
    parking::{self, Aside, PARKED_MAX, Parked},
    view::VIEWS,
};
use batch::{Batch, Decoded, Part};
pub use retry::Retried;

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

#[derive(Debug)]
struct Held {
    checkpoints: Checkpoints,
    aside: Aside,
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
    /// Streams that wait, each from an event on that a view cannot fold.
    pub parked: Vec<Parked>,
    /// Partitions that stopped, because too many of their streams are parked.
    pub poisoned: Vec<Poison>,
    /// Partitions that stopped because another writer took them over.
    pub lost: Vec<Partition>,
}

/// An event at which a partition stopped.
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
        // Whoever had them commits nothing any more, so this is all that is parked.
        let mut aside = parking::load(&mut transaction, partitions).await?;
        transaction.commit().await.map_err(Error::Commit)?;
        for (partition, checkpoints) in taken {
            let held = Held {
                checkpoints,
                aside: aside.remove(&partition).unwrap_or_default(),
                stopped: false,
            };
            self.held.insert(partition, held);
        }
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

    /// How far every view has folded each partition that is held, in the order of [`View::ALL`].
    pub fn reached(&self) -> BTreeMap<Partition, [Position; VIEWS]> {
        let of_views = |held: &Held| held.checkpoints.map(|checkpoint| checkpoint.mark.position);
        self.held
            .iter()
            .map(|(partition, held)| (*partition, of_views(held)))
            .collect()
    }

    /// How many streams are parked in the partitions that are held, each counted in each view.
    pub fn parked(&self) -> usize {
        self.held.values().map(|held| held.aside.parked()).sum()
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
        // Usually one batch; an event that cannot be folded splits it, or is found at once.
        let folded_through = |partition| {
            let through = self.folded_through(partition);
            through.filter(|_| self.folds(partition))
        };
        let mut waiting = VecDeque::from([Batch::decode(slices, folded_through)]);
        while let Some(mut batch) = waiting.pop_front() {
            batch.parts.retain(|part| self.folds(part.partition));
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

    /// The parked streams of some partitions that somebody wants tried again, the first of them.
    pub(crate) async fn to_retry(&self, partitions: &[Partition]) -> Result<Vec<Parked>, Error> {
        bounded(parking::to_retry(&self.pool, partitions)).await
    }

    pub(crate) fn stop(&mut self, partition: Partition) {
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
        let parked: Vec<&Parked> = batch.parked().collect();
        let mut events = 0;
        for view in View::ALL {
            let due = self.due(view, &in_order);
            if !due.is_empty() {
                view.fold(&mut transaction, &due).await?;
            }
            events = events.max(due.len());
        }
        parking::park(&mut transaction, &parked).await?;
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

    /// The events that a view has not folded yet, and does not leave out.
    fn due<'b>(&self, view: View, in_order: &[(&'b Part, &'b Decoded)]) -> Vec<Folded<'b>> {
        let due = |&(part, (recorded, event)): &(&'b Part, &'b Decoded)| {
            let follows = self.follows(view, part, recorded)?;
            let event = event.as_ref().ok()?;
            Some(Folded {
                view,
                recorded,
                event,
                follows,
            })
        };
        in_order.iter().filter_map(due).collect()
    }

    /// The version of its stream that a view holds before an event that it is to fold now; `None` for all other events.
    fn follows(&self, view: View, part: &Part, recorded: &Recorded) -> Option<Version> {
        let held = self.held.get(&recorded.partition)?;
        let is_due = view.folds(&recorded.stream)
            && recorded.position > held.checkpoints[index(view)].mark.position
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
                let concerned = |view: &View| self.follows(*view, part, recorded).is_some();
                let concerned = View::ALL.into_iter().filter(concerned);
                unreadable.extend(concerned.map(|view| (view, recorded.position, why.clone())));
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

/// Gives a transaction up that takes too long, and its connection with it.
async fn bounded<T>(transaction: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let bound = Duration::from_millis(TRANSACTION_MS_MAX);
    let ended = tokio::time::timeout(bound, transaction).await;
    ended.unwrap_or(Err(Error::Stuck {
        waited_ms: TRANSACTION_MS_MAX,
    }))
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
