//! The states of streams: folded from the log, kept in a bounded cache, topped up when something newer is needed.
//!
//! The cache may be behind the log and never ahead of it. That is enough: an append names the version it was decided
//! on, and a "no" is only said after topping up.

use std::sync::Arc;

use foldline_events::{Position, Recorded, Tenant, Version};
use foldline_log::{Error, Log};
use moka::future::Cache;

use crate::aggregate::Aggregate;

/// How many events are read from a stream at once.
const STREAM_PAGE_EVENTS: usize = 500;
/// What an entry costs beside its state: its key and the cache's own bookkeeping, roughly.
const ENTRY_BYTES: usize = 256;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    pub(crate) tenant: Tenant,
    pub(crate) stream: String,
}

/// A state and what it was folded from.
#[derive(Debug, Clone)]
pub(crate) struct Folded<A> {
    pub(crate) state: A,
    pub(crate) version: Version,
    /// Of the stream's last event folded.
    pub(crate) position: Position,
}

/// How new a state must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reading {
    /// As it lies in the cache, where it does.
    Cached,
    /// With everything that the log holds now.
    Fresh,
}

#[derive(Clone)]
pub(crate) struct Streams<A> {
    log: Log,
    cache: Cache<Key, Arc<Folded<A>>>,
}

impl<A: Aggregate> Streams<A> {
    pub(crate) fn new(log: Log, cache_bytes_max: u64) -> Self {
        let cache = Cache::builder()
            .weigher(|key: &Key, folded: &Arc<Folded<A>>| {
                let bytes = ENTRY_BYTES + key.stream.len() + folded.state.size_bytes();
                u32::try_from(bytes).unwrap_or(u32::MAX)
            })
            .max_capacity(cache_bytes_max)
            .build();
        Self { log, cache }
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
        }
    }

    /// Two requests may keep different versions in either order; an older one costs a conflict later, nothing else.
    pub(crate) async fn keep(&self, key: &Key, folded: Folded<A>) -> Arc<Folded<A>> {
        let folded = Arc::new(folded);
        self.cache.insert(key.clone(), Arc::clone(&folded)).await;
        folded
    }

    async fn top_up(
        &self,
        key: &Key,
        known: Option<Arc<Folded<A>>>,
    ) -> Result<Option<Arc<Folded<A>>>, Error> {
        let mut folded = known.as_deref().cloned();
        let before = folded.as_ref().map(|folded| folded.version);
        loop {
            let after = folded.as_ref().map_or(0, |folded| folded.version);
            let page = (self.log)
                .read_stream(&key.tenant, &key.stream, after, STREAM_PAGE_EVENTS)
                .await?;
            let last = page.len() < STREAM_PAGE_EVENTS;
            for recorded in &page {
                folded = fold(folded, recorded)?;
            }
            if last {
                break;
            }
        }
        match folded {
            Some(folded) if before != Some(folded.version) => {
                Ok(Some(self.keep(key, folded).await))
            }
            Some(_) | None => Ok(known),
        }
    }
}

fn fold<A: Aggregate>(
    folded: Option<Folded<A>>,
    recorded: &Recorded,
) -> Result<Option<Folded<A>>, Error> {
    let state = folded.map(|folded| folded.state);
    let state = match A::narrow(recorded.event()?) {
        Some(event) => A::evolve(state, &event),
        None => state, // Another aggregate's event in this stream: nothing of ours changed.
    };
    Ok(state.map(|state| Folded {
        state,
        version: recorded.version,
        position: recorded.position,
    }))
}
