//! Walking through a stream, the log or part of it as a `Stream` of events: page by page, each read only when the one
//! before it is used up. Whoever takes events slowly holds one page, and whoever stops reads no further. A page is bounded
//! in events here, and in bytes as every read.

use foldline_events::{Position, Recorded, Tenant, Version};
use futures_util::{
    StreamExt, TryStreamExt, future,
    stream::{self, BoxStream},
};

use crate::{Error, Log, MemoryLog, Page, Selection, page::Fetched};

/// How many events a walk holds at most.
pub const WALK_PAGE_EVENTS: usize = 250;

/// Events one after another. It ends after an error.
pub type Walk = BoxStream<'static, Result<Recorded, Error>>;

impl Log {
    /// The events of a stream after a version, oldest first, to its end as it is when the walk gets there.
    pub fn walk_stream(&self, tenant: &Tenant, stream: &str, after: Version) -> Walk {
        let (log, tenant, stream) = (self.clone(), tenant.clone(), stream.to_owned());
        pages(after, move |after| {
            let (log, tenant, stream) = (log.clone(), tenant.clone(), stream.clone());
            async move {
                log.page_of(&tenant, &stream, (Some(after.max(0)), None))
                    .await
            }
        })
    }

    /// The events of a stream before a version, newest first. `Version::MAX` begins with the last one.
    pub fn walk_stream_backward(&self, tenant: &Tenant, stream: &str, before: Version) -> Walk {
        let (log, tenant, stream) = (self.clone(), tenant.clone(), stream.to_owned());
        pages(before, move |before| {
            let (log, tenant, stream) = (log.clone(), tenant.clone(), stream.clone());
            async move {
                log.page_of(&tenant, &stream, (None, Some(before.max(1))))
                    .await
            }
        })
    }

    /// The selected events after a position, in order, to the head of the log as it is when the walk gets there. To
    /// go on with what comes later, wait for [`Log::wake`] and walk on from the last position seen.
    pub fn walk(&self, selection: &Selection, after: Position) -> Walk {
        let (log, selection) = (self.clone(), selection.clone());
        pages(after, move |after| {
            let (log, selection) = (log.clone(), selection.clone());
            async move {
                let page = log
                    .read_selected(&selection, after, WALK_PAGE_EVENTS)
                    .await?;
                Ok(next_by_position(page))
            }
        })
    }

    /// The next events of a stream in the walk's direction, and where to go on if there may be more.
    async fn page_of(
        &self,
        tenant: &Tenant,
        stream: &str,
        (after, before): (Option<Version>, Option<Version>),
    ) -> Result<(Vec<Recorded>, Option<Version>), Error> {
        let page = self
            .stream(tenant, stream, (after, before), WALK_PAGE_EVENTS)
            .await?;
        Ok(next_by_version(page))
    }
}

impl MemoryLog {
    /// See [`Log::walk_stream`].
    pub fn walk_stream(&self, tenant: &Tenant, stream: &str, after: Version) -> Walk {
        let (log, tenant, stream) = (self.clone(), tenant.clone(), stream.to_owned());
        pages(after, move |after| {
            let page = log.stream_after(&tenant, &stream, after, WALK_PAGE_EVENTS);
            future::ready(Ok(next_by_version(page)))
        })
    }

    /// See [`Log::walk_stream_backward`].
    pub fn walk_stream_backward(&self, tenant: &Tenant, stream: &str, before: Version) -> Walk {
        let (log, tenant, stream) = (self.clone(), tenant.clone(), stream.to_owned());
        pages(before, move |before| {
            let page = log.stream_before(&tenant, &stream, before, WALK_PAGE_EVENTS);
            future::ready(Ok(next_by_version(page)))
        })
    }

    /// See [`Log::walk`].
    pub fn walk(&self, selection: &Selection, after: Position) -> Walk {
        let (log, selection) = (self.clone(), selection.clone());
        pages(after, move |after| {
            let page = log.read_selected(&selection, after, WALK_PAGE_EVENTS);
            future::ready(page.map(next_by_position))
        })
    }
}

/// A page of a selection, and where the next one begins if there may be one.
fn next_by_position(page: Page) -> (Vec<Recorded>, Option<Position>) {
    let next = (page.through < page.head).then_some(page.through);
    (page.events, next)
}

/// A page of a stream, and where the next one begins if there may be one.
fn next_by_version(page: Fetched<Recorded>) -> (Vec<Recorded>, Option<Version>) {
    let last = page.events.last().filter(|_| page.may_go_on);
    let next = last.map(|last| last.version);
    (page.events, next)
}

/// Reads page after page, each from where the one before it ended.
fn pages<R, P>(start: i64, read: R) -> Walk
where
    R: Fn(i64) -> P + Send + 'static,
    P: Future<Output = Result<(Vec<Recorded>, Option<i64>), Error>> + Send + 'static,
{
    stream::try_unfold(Some(start), move |at| {
        let page = at.map(&read);
        async move {
            let Some(page) = page else {
                return Ok::<_, Error>(None);
            };
            let (events, next) = page.await?;
            Ok(Some((stream::iter(events.into_iter().map(Ok)), next)))
        }
    })
    .try_flatten()
    .boxed()
}
