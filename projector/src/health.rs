//! What a projector says about itself: for `/health/ready`, metrics and people.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use foldline_events::{Partition, Position};
use foldline_log::Lags;
use serde::{Serialize, Serializer};

use crate::{Build, Proof};

/// How far each build is folded, in each partition that this process folds.
type Reached = BTreeMap<Build, BTreeMap<Partition, Position>>;

/// A handle on the present [`Status`]; clones show the same.
#[derive(Debug, Clone)]
pub struct Health {
    status: Arc<Mutex<Status>>,
    failing: Arc<Mutex<Option<Failing>>>,
    reached: Arc<Mutex<Reached>>,
}

/// How a projector is doing.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// Where events come from: `postgres` or `kafka`.
    pub feed: &'static str,
    pub phase: Phase,
    /// The partitions that this process folds, stalled ones included.
    pub owned: Vec<Partition>,
    /// How far each view has folded all of them.
    pub views: Vec<ViewStatus>,
    /// The log's last position when it was last looked at, written as a string.
    #[serde(serialize_with = "as_optional_text")]
    pub head: Option<Position>,
    /// What was behind it then.
    pub behind: Vec<Behind>,
    /// The database's time.
    pub committed_at: Option<DateTime<Utc>>,
    pub stalled: Vec<Stall>,
    /// How many streams are parked in the owned partitions, each counted in each view.
    pub parked: usize,
    /// How far the rows were proven to be what the log's events leave.
    pub proof: Proof,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is", content = "why")]
pub enum Phase {
    /// Nothing was assigned yet.
    Starting,
    /// Other processes fold every partition; this one takes over when one of them ends.
    Standby,
    Folding,
    /// Readers see builds of an older projection; newer ones are folded beside them, and shown when they are whole.
    Rebuilding(String),
    /// What readers see is of a projection that is not folded here, and somebody is to say what they shall see.
    Waiting(String),
    /// Something that should pass by itself stands in the way.
    Retrying(String),
    /// It ended, by itself or because it was told to.
    Stopped(String),
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ViewStatus {
    pub view: &'static str,
    pub version: i32,
    /// The lowest position of the owned partitions, written as a string.
    #[serde(serialize_with = "as_text")]
    pub position: Position,
}

/// A partition of a view with events that are not folded.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Behind {
    pub view: &'static str,
    pub partition: Partition,
    /// How many, written as a string: exact for those that are less than 10,000 positions behind.
    #[serde(serialize_with = "as_text")]
    pub events: i64,
    /// How long the first of them has been in the log, by its recorded time.
    pub seconds: f64,
}

/// What keeps every partition from going on: one session after another fails.
#[derive(Debug, Clone)]
pub(crate) struct Failing {
    pub(crate) why: String,
    pub(crate) since: Instant,
}

/// A partition that does not go on, while others do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stall {
    pub partition: Partition,
    /// The event it stopped at; `None` when another writer took the partition over.
    #[serde(serialize_with = "as_optional_text")]
    pub position: Option<Position>,
    pub why: String,
    #[serde(rename = "seconds", serialize_with = "as_seconds")]
    pub since: Instant,
}

impl Status {
    /// Whether it does its work, or stands ready to. Stalled partitions do not count: the others go on.
    pub fn is_ready(&self) -> bool {
        match self.phase {
            Phase::Standby | Phase::Folding => true,
            Phase::Starting
            | Phase::Rebuilding(_)
            | Phase::Waiting(_)
            | Phase::Retrying(_)
            | Phase::Stopped(_) => false,
        }
    }
}

impl Health {
    pub(crate) fn new(feed: &'static str) -> Self {
        Self {
            status: Arc::new(Mutex::new(Status {
                feed,
                phase: Phase::Starting,
                owned: Vec::new(),
                views: Vec::new(),
                head: None,
                behind: Vec::new(),
                committed_at: None,
                stalled: Vec::new(),
                parked: 0,
                proof: Proof::default(),
            })),
            failing: Arc::default(),
            reached: Arc::default(),
        }
    }

    pub fn status(&self) -> Status {
        self.lock().clone()
    }

    pub(crate) fn enter(&self, phase: Phase) {
        if let Phase::Retrying(why) = &phase {
            let mut failing = self.lock_failing();
            let since = failing.as_ref().map_or_else(Instant::now, |it| it.since);
            let why = why.clone();
            *failing = Some(Failing { why, since });
        }
        let waits = matches!(phase, Phase::Waiting(_));
        metrics::gauge!("foldline_projector_waiting").set(f64::from(u8::from(waits)));
        self.lock().phase = phase;
    }

    /// What readers see is not for this program to fold, and not for it to decide.
    pub(crate) fn wait_for_somebody(&self, why: String) {
        let waiting = Phase::Waiting(why.clone());
        if self.lock().phase != waiting {
            tracing::error!(
                why,
                "folding nothing until somebody says what readers are to see"
            );
        }
        // What failed before is over.
        *self.lock_failing() = None;
        self.enter(waiting);
    }

    pub(crate) fn committed(&self, at: DateTime<Utc>) {
        *self.lock_failing() = None;
        self.lock().committed_at = Some(at);
    }

    /// Why sessions fail, until one of them gets anywhere, or there is nothing to get to.
    pub(crate) fn failing(&self) -> Option<Failing> {
        self.lock_failing().clone()
    }

    pub(crate) fn stalled(&self, stalled: Vec<Stall>) {
        metrics::gauge!("foldline_projector_stalled_partitions").set(small(stalled.len()));
        self.lock().stalled = stalled;
    }

    pub(crate) fn parked(&self, parked: usize) {
        metrics::gauge!("foldline_projector_parked_streams").set(small(parked));
        self.lock().parked = parked;
    }

    /// How far every build is folded, in each partition that this process folds.
    pub(crate) fn folded(&self, reached: Reached) {
        let owned: Vec<Partition> = reached
            .values()
            .next()
            .map(|positions| positions.keys().copied().collect())
            .unwrap_or_default();
        metrics::gauge!("foldline_projector_owned_partitions").set(small(owned.len()));
        let views = reached.iter().filter_map(|(build, positions)| {
            let position = positions.values().copied().min()?;
            let view = build.view.name();
            #[expect(
                clippy::cast_precision_loss,
                reason = "a gauge is a float; it errs by a few events beyond 2^53"
            )]
            metrics::gauge!("foldline_projector_position", "view" => view).set(position as f64);
            Some(ViewStatus {
                view,
                version: build.version,
                position,
            })
        });
        let views = views.collect();
        let mut status = self.lock();
        status.owned = owned;
        status.views = views;
        drop(status);
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = reached;
    }

    /// What was last said by [`Health::folded`].
    pub(crate) fn reached(&self) -> Reached {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        reached.clone()
    }

    pub(crate) fn behind(&self, lags: &[(Build, Lags)]) {
        let behind = lags.iter().flat_map(|(build, lags)| {
            let of_view = lags.of.iter().filter(|(_, lag)| lag.events > 0);
            of_view.map(|(partition, lag)| Behind {
                view: build.view.name(),
                partition: *partition,
                events: lag.events,
                seconds: lag.seconds,
            })
        });
        let behind: Vec<Behind> = behind.collect();
        let mut status = self.lock();
        let stalls = |one: &Behind| {
            status
                .stalled
                .iter()
                .any(|stall| stall.partition == one.partition)
        };
        // A process that has taken nothing over knows of nothing to get to.
        if !lags.is_empty() && behind.iter().all(stalls) {
            *self.lock_failing() = None;
        }
        status.head = lags.iter().map(|(_, lags)| lags.head).max();
        status.behind = behind;
    }

    pub(crate) fn proven(&self, proof: Proof) {
        self.lock().proof = proof;
    }

    fn lock_failing(&self) -> std::sync::MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Status> {
        // Every change is one assignment, so a panic in between leaves nothing half done.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A number of partitions, as metrics want it.
fn small(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

fn as_text<S: Serializer>(position: &Position, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(position)
}

pub(crate) fn as_optional_text<S: Serializer>(
    position: &Option<Position>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match position {
        Some(position) => serializer.collect_str(position),
        None => serializer.serialize_none(),
    }
}

fn as_seconds<S: Serializer>(since: &Instant, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(Duration::as_secs(&since.elapsed()))
}
