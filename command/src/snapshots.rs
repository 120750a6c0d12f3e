//! Snapshots of long streams: states that this build folded, kept in the log's database for processes that have not.
//!
//! A cache, like the one in [`crate::streams`], and never trusted beyond what can be checked: the log drops those that
//! are damaged or of another history, and those of other code are not found, because their key holds a hash of the code
//! (`fold.rs`). Whatever fails here costs a replay and never an answer.

use std::sync::Arc;

use foldline_events::Version;
use foldline_log::{Error, Folding, Log};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::warn;

use crate::{
    aggregate::Aggregate,
    streams::{Folded, Key, STREAM_PAGE_EVENTS},
};

/// A state is kept once so many events lie between it and what was kept before. No less than the page in which a stream
/// is read first: a stream that fits into that page is loaded without looking for a snapshot.
pub(crate) const SNAPSHOT_EVERY_EVENTS: Version = 500;
const _: () = assert!(SNAPSHOT_EVERY_EVENTS as usize >= STREAM_PAGE_EVENTS);
/// How many snapshots of a kind of aggregate are written at once. Further ones are not waited for: their streams are due
/// still when they grow next.
const SNAPSHOTS_AT_ONCE_MAX: usize = 1;
/// What this build folds by, made by build.rs.
pub(crate) const FOLD_HASH: &str = env!("FOLD_HASH");

/// The snapshots of one kind of aggregate. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Snapshots {
    log: Log,
    fold: Arc<str>,
    places: Arc<Semaphore>,
}

/// A place among those that are written at once.
pub(crate) struct Place(OwnedSemaphorePermit);

impl Snapshots {
    pub(crate) fn of<A>(log: Log) -> Self {
        Self {
            log,
            fold: format!("{}/{FOLD_HASH}", std::any::type_name::<A>()).into(),
            places: Arc::new(Semaphore::new(SNAPSHOTS_AT_ONCE_MAX)),
        }
    }

    /// What was folded last of the stream by the code of this build.
    ///
    /// # Errors
    /// [`Error::Overloaded`] alone: replaying the stream would make it worse.
    pub(crate) async fn newest<A: Aggregate>(&self, key: &Key) -> Result<Option<Folded<A>>, Error> {
        let snapshot = match self.log.snapshot(self.folding(key)).await {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => return Ok(None),
            Err(error @ Error::Overloaded { .. }) => return Err(error),
            Err(error) => {
                let stream = &key.stream;
                warn!(%error, stream, "replaying a stream: its snapshot cannot be had");
                return Ok(None);
            }
        };
        match serde_json::from_slice(&snapshot.state) {
            Ok(state) => Ok(Some(Folded {
                state,
                version: snapshot.version,
                position: snapshot.position,
                complete: snapshot.position,
                event_id: snapshot.event_id,
                kept: snapshot.version,
            })),
            Err(error) => {
                // Not the error's own text, which may show a piece of the state.
                let why = format!("its state cannot be read at byte {}", error.column());
                if let Err(error) = self.log.drop_snapshot(self.folding(key), &why).await {
                    warn!(%error, stream = key.stream, "a wrong snapshot stays");
                }
                Ok(None)
            }
        }
    }

    /// A place for writing it down, when that is due and there is one. Nobody waits for it.
    pub(crate) fn place<A>(&self, folded: &Folded<A>) -> Option<Place> {
        let is_due = folded.version - folded.kept >= SNAPSHOT_EVERY_EVENTS;
        let free = || Arc::clone(&self.places).try_acquire_owned().ok();
        is_due.then(free).flatten().map(Place)
    }

    pub(crate) async fn keep<A: Aggregate>(self, place: Place, key: Key, folded: Arc<Folded<A>>) {
        let state = match serde_json::to_vec(&folded.state) {
            Ok(state) => state,
            Err(error) => {
                warn!(%error, stream = key.stream, "a state cannot be written down");
                return;
            }
        };
        let of = self.folding(&key);
        let kept =
            self.log
                .keep_snapshot(of, folded.version, folded.event_id, folded.position, &state);
        if let Err(error) = kept.await {
            warn!(%error, stream = key.stream, "a snapshot was not kept");
        }
        drop(place.0);
    }

    pub(crate) fn folding<'a>(&'a self, key: &'a Key) -> Folding<'a> {
        Folding {
            tenant: &key.tenant,
            stream: &key.stream,
            fold: &self.fold,
        }
    }
}
