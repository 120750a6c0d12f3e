//! Where the events come from: one stream, or everything of a tenant; forward and back, page by page.
//!
//! A page goes on from a *mark*: the version of an event in its stream, or its position where a tenant's log is read. It must not
//! know what is made of events.

use chrono::{DateTime, TimeDelta, Utc};
use foldline_events::{Position, Recorded, Tenant, Version};
use foldline_log::{AnyLog, EVENTS_PER_APPEND_MAX, Error, PAGE_EVENTS_MAX, Selection};
use uuid::Uuid;

use super::Place;
use crate::changes::Moment;

/// How much earlier than its own id says an event is looked for first: clocks differ.
const ID_LEAD: TimeDelta = TimeDelta::seconds(5);
/// In how many pages it is looked for there, before all of the log is.
const ID_PAGES_MAX: usize = 8;

#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) log: AnyLog,
    pub(super) tenant: Tenant,
    /// Everything of the tenant where there is none.
    pub(super) stream: Option<String>,
    /// How many events are read at a time.
    pub(super) page_events: usize,
}

/// Events in the order of reading.
pub(super) struct Page {
    pub(super) events: Vec<Recorded>,
    /// The mark to go on from, if there may be more.
    pub(super) next: Option<i64>,
}

/// A stretch of positions, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stretch {
    pub(super) first: Position,
    pub(super) last: Position,
}

impl Source {
    /// As people call it.
    pub(super) fn name(&self) -> String {
        match &self.stream {
            Some(stream) => format!("stream {stream} of tenant {}", self.tenant),
            None => format!("tenant {}", self.tenant),
        }
    }

    pub(super) fn mark(&self, event: &Recorded) -> i64 {
        match &self.stream {
            Some(_) => event.version,
            None => event.position,
        }
    }

    /// Oldest first. A page may be empty and still not the last.
    pub(super) async fn later(&self, after: i64) -> Result<Page, Error> {
        let limit = self.page_events;
        match &self.stream {
            Some(stream) => {
                let read = self.log.read_stream(&self.tenant, stream, after, limit);
                Ok(self.of_stream(read.await?))
            }
            None => {
                let of_tenant = self.of_tenant();
                let page = self.log.read_selected(&of_tenant, after, limit).await?;
                Ok(Page {
                    events: page.events,
                    next: (page.through < page.head).then_some(page.through),
                })
            }
        }
    }

    /// Newest first. A page may be empty and still not the last.
    pub(super) async fn earlier(&self, before: i64) -> Result<Page, Error> {
        let limit = self.page_events;
        match &self.stream {
            Some(stream) => {
                let read = (self.log).read_stream_backward(&self.tenant, stream, before, limit);
                Ok(self.of_stream(read.await?))
            }
            None => {
                let of_tenant = self.of_tenant();
                let read = self.log.read_selected_backward(&of_tenant, before, limit);
                let page = read.await?;
                Ok(Page {
                    events: page.events,
                    next: (page.through > 0).then_some(page.through),
                })
            }
        }
    }

    /// The mark after which come the events from a position on, and no others.
    pub(super) async fn mark_before(&self, position: Position) -> Result<i64, Error> {
        match &self.stream {
            Some(stream) => self.version_before(stream, position).await,
            None => {
                let head = self.log.head().await?.position;
                Ok(position.saturating_sub(1).clamp(0, head))
            }
        }
    }

    /// The last version of the stream below a position, by halves: versions and positions grow together.
    async fn version_before(&self, stream: &str, position: Position) -> Result<Version, Error> {
        let newest = (self.log)
            .read_stream_backward(&self.tenant, stream, Version::MAX, 1)
            .await?;
        let Some(newest) = newest.first() else {
            return Ok(0);
        };
        let (mut below, mut reached) = (0, newest.version + 1);
        while below + 1 < reached {
            let middle = below + (reached - below) / 2;
            let one = self.log.read_stream(&self.tenant, stream, middle - 1, 1);
            match one.await?.first() {
                Some(event) if event.position < position => below = middle,
                Some(_) | None => reached = middle,
            }
        }
        Ok(below)
    }

    /// The first position at or after a place; `None` where it is an id that nothing has.
    pub(super) async fn first_from(&self, place: Place) -> Result<Option<Position>, Error> {
        match place {
            Place::Moment(Moment::Position(position)) => Ok(Some(position)),
            Place::Moment(Moment::RecordedAt(at)) => {
                let before = at.checked_sub_signed(TimeDelta::nanoseconds(1));
                let before = self.log.position_at(before.unwrap_or(at)).await?;
                Ok(Some(before.saturating_add(1)))
            }
            Place::Id(id) => Ok(self.find(id).await?.map(|found| found.first)),
        }
    }

    /// The last position at or before a place; `None` where it is an id that nothing has.
    pub(super) async fn last_to(&self, place: Place) -> Result<Option<Position>, Error> {
        match place {
            Place::Moment(Moment::Position(position)) => Ok(Some(position)),
            Place::Moment(Moment::RecordedAt(at)) => Ok(Some(self.log.position_at(at).await?)),
            Place::Id(id) => Ok(self.find(id).await?.map(|found| found.last)),
        }
    }

    /// The event with an id, or those of the command with it: in the stream first, then anywhere of the tenant.
    pub(super) async fn find(&self, id: Uuid) -> Result<Option<Stretch>, Error> {
        if let Some(stream) = &self.stream
            && let Some(found) = self.find_in_stream(stream, id).await?
        {
            return Ok(Some(found));
        }
        let named = Selection {
            named: Some(id),
            ..self.of_tenant()
        };
        if let Some(made_at) = made_at(id) {
            let near = Selection {
                recorded_from: made_at.checked_sub_signed(ID_LEAD),
                ..named.clone()
            };
            let found = self.find_selected(&near, ID_PAGES_MAX).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        self.find_selected(&named, usize::MAX).await
    }

    async fn find_in_stream(&self, stream: &str, id: Uuid) -> Result<Option<Stretch>, Error> {
        let mut found: Option<Stretch> = None;
        let mut after = 0;
        loop {
            let page = self
                .log
                .read_stream(&self.tenant, stream, after, PAGE_EVENTS_MAX);
            let page = page.await?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            for event in &page {
                let is_named = event.id == id || event.command_id == id;
                match (&mut found, is_named) {
                    (Some(found), true) => found.last = event.position,
                    // A command's events lie together.
                    (Some(found), false) => return Ok(Some(*found)),
                    (None, true) => {
                        found = Some(Stretch {
                            first: event.position,
                            last: event.position,
                        });
                    }
                    (None, false) => {}
                }
            }
            after = last.version;
        }
    }

    async fn find_selected(
        &self,
        named: &Selection,
        pages_max: usize,
    ) -> Result<Option<Stretch>, Error> {
        let mut after = 0;
        for _ in 0..pages_max {
            let page = self.log.read_selected(named, after, 1).await?;
            if let Some(event) = page.events.first() {
                let first = event.position;
                let last = self.last_of_append(named, first).await?;
                return Ok(Some(Stretch { first, last }));
            }
            if page.through >= page.head {
                return Ok(None);
            }
            after = page.through;
        }
        Ok(None)
    }

    /// The last of what is selected in the append that begins at a position.
    async fn last_of_append(&self, named: &Selection, first: Position) -> Result<Position, Error> {
        let append_max = i64::try_from(EVENTS_PER_APPEND_MAX).unwrap_or(i64::MAX);
        let end = first.saturating_add(append_max);
        let (mut last, mut after) = (first, first);
        while after < end {
            let page = self
                .log
                .read_selected(named, after, PAGE_EVENTS_MAX)
                .await?;
            let found = page.events.last().map(|event| event.position);
            last = found.filter(|found| *found < end).unwrap_or(last);
            if page.through >= page.head {
                break;
            }
            after = page.through;
        }
        Ok(last)
    }

    pub(super) fn of_tenant(&self) -> Selection {
        Selection {
            tenant: Some(self.tenant.clone()),
            ..Selection::default()
        }
    }

    /// Only an empty page is the end of a stream.
    fn of_stream(&self, events: Vec<Recorded>) -> Page {
        Page {
            next: events.last().map(|event| event.version),
            events,
        }
    }
}

/// When an id was made, if it says so.
fn made_at(id: Uuid) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}
