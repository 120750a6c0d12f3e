//! The states of streams: folded from the log, kept in a bounded cache, topped up when something newer is needed.
//!
//! The cache may be behind the log and never ahead of it. That is enough: an append names the version it was decided
//! on, and a "no" is only said after topping up. A long stream that is not in it is begun with its snapshot
//! ([`crate::snapshots`]), where there is a right one.

use std::sync::Arc;

use foldline_events::{Position, Tenant, Version};
use foldline_log::{Error, Log, StreamEvent};
use moka::future::Cache;
use uuid::Uuid;

use crate::{aggregate::Aggregate, snapshots::Snapshots};

/// How many events are read from a stream at once.
pub(crate) const STREAM_PAGE_EVENTS: usize = 500;
/// What an entry costs beside its state: its key, the cache's own bookkeeping, and what the allocator rounds up, as measured
/// with `make bench-command`.
const ENTRY_BYTES: usize = 800;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) tenant: Tenant,
    pub(crate) stream: String,
}

/// A state and what it was folded from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Folded<A> {
    pub(crate) state: A,
    pub(crate) version: Version,
    /// Of the stream's last event folded; or that of the append which recorded it, when that went on in other streams.
    pub(crate) position: Position,
    /// Up to here, everything that the stream has is folded; its position at least.
    pub(crate) complete: Position,
    /// Of the stream's last event folded.
    pub(crate) event_id: Uuid,
    /// The version of the last snapshot that this process knows of, 0 when it knows of none.
    pub(crate) kept: Version,
}

/// How new a state must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As it lies in the cache, where it does.
    Cached,
    /// With everything that the log holds now.
    Fresh,
    /// As it was when the log ended there. Nothing that is read so is kept.
    AsOf(Position),
}

impl Reading {
    /// The last position that counts.
    pub(crate) fn through(self) -> Position {
        match self {
            Self::Cached | Self::Fresh => Position::MAX,
            Self::AsOf(position) => position,
        }
    }
}

#[derive(Clone)]
pub(crate) struct Streams<A> {
    log: Log,
    snapshots: Snapshots,
    cache: Cache<Key, Arc<Folded<A>>>,
}

impl<A: Aggregate> Streams<A> {
    pub(crate) fn new(log: &Log, cache_bytes_max: u64) -> Self {
        let cache = Cache::builder()
            .weigher(|key: &Key, folded: &Arc<Folded<A>>| {
                let bytes = ENTRY_BYTES + key.stream.len() + folded.state.size_bytes();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .max_capacity(cache_bytes_max)
            .build();
        Self {
            log: log.clone(),
            snapshots: Snapshots::of::<A>(log.clone()),
            cache,
        }
    }

    pub(crate) async fn cached(&self, key: &Key) -> Option<Arc<Folded<A>>> {
        self.cache.get(key).await
    }

    /// `None` when the stream has no events; that is never kept, because it may come to be at any moment.
    pub(crate) async fn load(
        &self,
        key: &Key,
        reading: Reading,
    ) -> Result<Option<Arc<Folded<A>>>, Error> {
        let cached = self.cached(key).await;
        match (reading, cached) {
            (Reading::Cached, Some(folded)) => Ok(Some(folded)),
            (Reading::Cached, None) => self.top_up(key, None).await,
            (Reading::Fresh, cached) => self.top_up(key, cached).await,
            (Reading::AsOf(position), cached) => {
                let known = cached.filter(|folded| folded.position <= position);
                let folded = self.go_on(key, known.as_deref().cloned(), position).await?;
                Ok(folded.map(Arc::new))
            }
        }
    }

    /// The same for facts that an append is guarded by: a guard after a position of long ago is costly, so then it is looked
    /// whether anything came since.
    pub(crate) async fn load_for_guard(
        &self,
        key: &Key,
        reading: Reading,
    ) -> Result<Option<Arc<Folded<A>>>, Error> {
        match self.load(key, reading).await? {
            // As of a position there is nothing to guard.
            folded if matches!(reading, Reading::AsOf(_)) => Ok(folded),
            Some(folded) if self.log.is_long_ago(folded.complete) => {
                self.load(key, Reading::Fresh).await
            }
            folded => Ok(folded),
        }
    }

    /// Two requests may keep different versions in either order; an older one costs a conflict later, nothing else.
    /// A snapshot that is due is written by a task of its own.
    pub(crate) async fn keep(&self, key: &Key, mut folded: Folded<A>) -> Arc<Folded<A>> {
        let place = self.snapshots.place(&folded);
        if place.is_some() {
            folded.kept = folded.version;
        }
        let folded = Arc::new(folded);
        if let Some(place) = place {
            let snapshots = self.snapshots.clone();
            tokio::spawn(snapshots.keep(place, key.clone(), Arc::clone(&folded)));
        }
        self.cache.insert(key.clone(), Arc::clone(&folded)).await;
        folded
    }

    async fn top_up(
        &self,
        key: &Key,
        known: Option<Arc<Folded<A>>>,
    ) -> Result<Option<Arc<Folded<A>>>, Error> {
        let seen = self.log.newest_seen();
        let before = known.as_ref().map(|folded| folded.version);
        let folded = (self.go_on(key, known.as_deref().cloned(), Position::MAX)).await?;
        match folded {
            // Nothing came since; that this is so up to now is noted only where it saves guards a look into many segments.
            Some(folded)
                if before == Some(folded.version) && !self.log.is_long_ago(folded.complete) =>
            {
                Ok(known)
            }
            Some(mut folded) => {
                folded.complete = seen.max(folded.position);
                Ok(Some(self.keep(key, folded).await))
            }
            None => Ok(known),
        }
    }

    /// Folds what the stream has after a state, up to a position. A long stream is begun with its snapshot, where that is no
    /// younger.
    async fn go_on(
        &self,
        key: &Key,
        mut folded: Option<Folded<A>>,
        through: Position,
    ) -> Result<Option<Folded<A>>, Error> {
        let mut after = folded.as_ref().map_or(0, |folded| folded.version);
        let mut is_first = true;
        loop {
            let page = (self.log)
                .read_to_fold(&key.tenant, &key.stream, after, STREAM_PAGE_EVENTS)
                .await?;
            let Some(last) = page.events.last() else {
                break;
            };
            // A stream that ends in its first page costs one query, as if there were no snapshots.
            if page.may_go_on && is_first && last.position <= through {
                is_first = false;
                let snapshot = self.snapshots.newest(key).await?;
                let fits = |it: &Folded<A>| it.version >= last.version && it.position <= through;
                if let Some(snapshot) = snapshot.filter(fits) {
                    after = snapshot.version;
                    folded = Some(snapshot);
                    continue;
                }
            }
            after = last.version;
            for event in page.events.iter().filter(|it| it.position <= through) {
                folded = fold(folded, event)?;
            }
            if !page.may_go_on || last.position > through {
                break;
            }
        }
        Ok(folded)
    }
}

fn fold<A: Aggregate>(
    folded: Option<Folded<A>>,
    stored: &StreamEvent,
) -> Result<Option<Folded<A>>, Error> {
    let kept = folded.as_ref().map_or(0, |folded| folded.kept);
    let state = folded.map(|folded| folded.state);
    let state = match A::narrow(stored.event()?) {
        Some(event) => A::evolve(state, &event),
        None => state, // Another aggregate's event in this stream: nothing of ours changed.
    };
    Ok(state.map(|state| Folded {
        state,
        version: stored.version,
        position: stored.position,
        complete: stored.position,
        event_id: stored.id,
        kept,
    }))
}

#[cfg(test)]
mod tests;
