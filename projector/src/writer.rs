//! Applies deliveries: the rows of every view and the checkpoints move together, in one transaction or, of different
//! partitions, in some at once.
//!
//! A [`Writer`] knows nothing of feeds or of time. It holds partitions that it took over, and for each how far every
//! view has folded it; applied again, a delivery changes nothing. An event that a view cannot fold parks its own stream in
//! that view: what came before it is written, and everything else goes on. Read `writer/lane.rs` for the transaction,
//! [`crate::checkpoint`] for the fences, [`crate::parking`] for what is left out, `writer/batch.rs` for how an event that
//! cannot be folded is found, `writer/retry.rs` for how a parked stream goes on,
//! `writer/rebuild.rs` for how rows are folded again in their place.

mod batch;
mod lane;
mod rebuild;
mod retry;

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use foldline_events::{Partition, Position};
use foldline_log::{Mark, Slice, Start};
use sqlx::PgPool;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::{
    Build, Builds, Error,
    checkpoint::{self, Checkpoints},
    parking::{self, Aside, Parked},
    rebuilds::{self, Wish},
};
use lane::Lane;
pub(crate) use rebuild::Rebuilt;
pub use retry::Retried;

/// How long one transaction may take before the connection is given up. A full delivery takes a fraction of a second.
const TRANSACTION_MS_MAX: u64 = 60_000;

/// A writer that was paused in the middle of a transaction holds locks on rows and checkpoints; the server ends its
/// session, and whoever takes over waits for a lock no longer than this. What a crash of the server takes back is folded
/// again, for it takes rows, checkpoints and fences back together: so no commit waits for the disk.
const BEGIN: &str = "begin;
    set local lock_timeout = '10s';
    set local idle_in_transaction_session_timeout = '10s';
    set local synchronous_commit = off";

/// Writes what is folded; holds partitions.
#[derive(Debug)]
pub struct Writer {
    pool: PgPool,
    epoch: Uuid,
    builds: Builds,
    held: BTreeMap<Partition, Held>,
}

/// A partition of ours.
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

impl Applied {
    fn extend(&mut self, lane: Self) {
        let Self {
            events,
            committed_at,
            parked,
            poisoned,
            lost,
        } = lane;
        self.events += events;
        self.committed_at = self.committed_at.max(committed_at);
        self.parked.extend(parked);
        self.poisoned.extend(poisoned);
        self.lost.extend(lost);
    }
}

impl Held {
    /// How far every view has folded the partition.
    fn folded_through(&self) -> Option<Position> {
        let positions = self.checkpoints.values().map(|it| it.mark.position);
        positions.min()
    }
}

impl Writer {
    /// A writer to these builds in `pool` (as the role `foldline_projector`) of the log with this epoch.
    pub fn new(pool: PgPool, epoch: Uuid, builds: Builds) -> Self {
        Self {
            pool,
            epoch,
            builds,
            held: BTreeMap::new(),
        }
    }

    /// Takes partitions over, from others or again. Fails with [`Error::AnotherEpoch`] when they were folded from
    /// another log.
    pub async fn take(&mut self, partitions: &[Partition]) -> Result<(), Error> {
        let (pool, epoch, builds) = (&self.pool, self.epoch, &self.builds);
        let taking = async {
            let mut transaction = pool.begin_with(BEGIN).await.map_err(Error::Begin)?;
            let taken =
                checkpoint::raise_fences(&mut transaction, builds, partitions, epoch).await?;
            // Whoever had them commits nothing any more, so this is all that is parked.
            let aside = parking::load(&mut transaction, builds, partitions).await?;
            transaction.commit().await.map_err(Error::Commit)?;
            Ok((taken, aside))
        };
        let (taken, mut aside) = bounded(taking).await?;
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

    /// What it writes to.
    pub fn builds(&self) -> &Builds {
        &self.builds
    }

    /// Forgets partitions that belong to somebody else now.
    pub fn release(&mut self, partitions: &[Partition]) {
        for partition in partitions {
            self.held.remove(partition);
        }
    }

    /// Whether slices of the partition are written.
    pub fn folds(&self, partition: Partition) -> bool {
        folds(&self.held, partition)
    }

    /// Whether the partition is ours, be it stopped.
    pub(crate) fn holds(&self, partition: Partition) -> bool {
        self.held.contains_key(&partition)
    }

    /// How far every view has folded a partition that is held.
    pub fn folded_through(&self, partition: Partition) -> Option<Position> {
        self.held.get(&partition)?.folded_through()
    }

    /// How far each partition that is held is folded, by build.
    pub fn reached(&self) -> BTreeMap<Build, BTreeMap<Partition, Position>> {
        let of_build = |build: Build| {
            let position = |held: &Held| held.checkpoints[&build].mark.position;
            let positions = self
                .held
                .iter()
                .map(|(partition, held)| (*partition, position(held)));
            (build, positions.collect())
        };
        self.builds.iter().map(of_build).collect()
    }

    /// The builds of which nothing of some partitions is folded.
    pub fn untouched(&self, partitions: &[Partition]) -> impl Iterator<Item = Build> {
        let is_untouched = |build: &Build| {
            let position = |partition| {
                let held = self.held.get(partition)?;
                Some(held.checkpoints[build].mark.position)
            };
            partitions
                .iter()
                .filter_map(position)
                .all(|position| position == 0)
        };
        self.builds.iter().filter(is_untouched)
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
                .values()
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
        held.flat_map(|held| held.checkpoints.values().map(|checkpoint| checkpoint.mark))
            .collect()
    }

    /// Writes a delivery, each lane of it in a transaction of its own, side by side. Slices of partitions that are not
    /// held, or stopped, are dropped.
    ///
    /// # Errors
    /// When nothing can be said about what was written: then partitions must be taken again before going on.
    pub async fn apply(&mut self, slices: Vec<Slice>) -> Result<Applied, Error> {
        let mut lanes = Vec::new();
        for slices in lane::share_out(slices, |slice| slice.events.len()) {
            let ours = slices.iter().map(|slice| slice.partition);
            let held = ours.filter_map(|partition| self.held.remove_entry(&partition));
            let (pool, builds) = (self.pool.clone(), self.builds.clone());
            let lane = Lane::new(pool, self.epoch, builds, held.collect());
            lanes.push(AbortOnDropHandle::new(tokio::spawn(lane.apply(slices))));
        }
        let mut applied = Applied::default();
        let mut ended = Ok(());
        for lane in lanes {
            let (held, outcome) = lane.await.expect("folding does not panic");
            self.held.extend(held);
            match outcome {
                Ok(of_lane) => applied.extend(of_lane),
                Err(error) => ended = ended.and(Err(error)),
            }
        }
        applied.lost.sort_unstable();
        ended.map(|()| applied)
    }

    /// The parked streams of some partitions that somebody wants tried again, the first of them.
    pub(crate) async fn to_retry(&self, partitions: &[Partition]) -> Result<Vec<Parked>, Error> {
        bounded(parking::to_retry(&self.pool, &self.builds, partitions)).await
    }

    /// The first rows of some partitions that somebody wants folded again.
    pub(crate) async fn to_rebuild(&self, partitions: &[Partition]) -> Result<Option<Wish>, Error> {
        bounded(rebuilds::to_do(&self.pool, &self.builds, partitions)).await
    }

    /// Whether the database still holds what was committed.
    ///
    /// # Errors
    /// [`Error::SetBack`] where it does not.
    pub(crate) async fn compare(&self) -> Result<(), Error> {
        let mut held = Vec::new();
        for (partition, of_partition) in &self.held {
            let checkpoints = of_partition.checkpoints.iter();
            held.extend(checkpoints.map(|(build, at)| (*build, *partition, *at)));
        }
        bounded(checkpoint::compare(&self.pool, &held)).await
    }

    pub(crate) fn stop(&mut self, partition: Partition) {
        stop(&mut self.held, partition);
    }
}

fn folds(held: &BTreeMap<Partition, Held>, partition: Partition) -> bool {
    held.get(&partition).is_some_and(|held| !held.stopped)
}

fn stop(held: &mut BTreeMap<Partition, Held>, partition: Partition) {
    if let Some(held) = held.get_mut(&partition) {
        held.stopped = true;
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
