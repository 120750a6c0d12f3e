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
/// In how many pages it is looked for from there on, and in how many before that, until all of the stream or the log is.
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

/// Where an id is looked for, and how far that has come.
struct Search {
    id: Uuid,
    /// Everything of the tenant where there is none.
    stream: Option<String>,
    /// The mark to go on from, until there is nothing more.
    later: Option<i64>,
    earlier: Option<i64>,
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

    /// Whether the tenant has any.
    pub(super) async fn has_events(&self) -> Result<bool, Error> {
        let streams = self.log.streams_of(&self.tenant, "", 1).await?;
        Ok(!streams.is_empty())
    }

    /// Oldest first. A page may be empty and still not the last.
    pub(super) async fn later(&self, after: i64) -> Result<Page, Error> {
        let limit = self.page_events;
        match &self.stream {
            Some(stream) => {
                let read = self.log.read_stream(&self.tenant, stream, after, limit);
                Ok(of_stream(read.await?))
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
                Ok(of_stream(read.await?))
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
        self.mark_in(self.stream.as_deref(), position).await
    }

    async fn mark_in(&self, stream: Option<&str>, position: Position) -> Result<i64, Error> {
        match stream {
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

    /// The event with an id, or those of the command with it: in the stream, or else anywhere of the tenant. First it is looked for
    /// near its own time, then everywhere.
    pub(super) async fn find(&self, id: Uuid) -> Result<Option<Stretch>, Error> {
        let mut searches = Vec::new();
        if let Some(stream) = &self.stream {
            searches.push(self.search(id, Some(stream)).await?);
        }
        searches.push(self.search(id, None).await?);
        for pages_max in [ID_PAGES_MAX, usize::MAX] {
            for search in &mut searches {
                if let Some(position) = self.look(search, pages_max).await? {
                    return self.stretch_around(id, position).await.map(Some);
                }
            }
        }
        Ok(None)
    }

    /// Begins where the id says that it was made; without such a time, at the beginning.
    async fn search(&self, id: Uuid, stream: Option<&str>) -> Result<Search, Error> {
        let near = made_at(id).and_then(|it| it.checked_sub_signed(ID_LEAD));
        let mark = match near {
            Some(near) => {
                let before = self.log.position_at(near).await?;
                self.mark_in(stream, before.saturating_add(1)).await?
            }
            None => 0,
        };
        Ok(Search {
            id,
            stream: stream.map(str::to_owned),
            later: Some(mark),
            earlier: (mark > 0).then_some(mark.saturating_add(1)),
        })
    }

    /// Goes on with so many pages after where it began, and then before that. Gives the position of an event that was found.
    async fn look(&self, search: &mut Search, pages_max: usize) -> Result<Option<Position>, Error> {
        for _ in 0..pages_max {
            let Some(mark) = search.later else { break };
            let page = self.named_later(search, mark).await?;
            if let Some(event) = page.events.first() {
                return Ok(Some(event.position));
            }
            search.later = page.next;
        }
        for _ in 0..pages_max {
            let Some(mark) = search.earlier else { break };
            let page = self.named_earlier(search, mark).await?;
            if let Some(event) = page.events.first() {
                return Ok(Some(event.position));
            }
            search.earlier = page.next;
        }
        Ok(None)
    }

    async fn named_later(&self, search: &Search, after: i64) -> Result<Page, Error> {
        match &search.stream {
            Some(stream) => {
                let read = (self.log).read_stream(&self.tenant, stream, after, PAGE_EVENTS_MAX);
                Ok(of_id(search.id, of_stream(read.await?)))
            }
            None => {
                let named = self.named(search.id);
                let page = self.log.read_selected(&named, after, 1).await?;
                Ok(Page {
                    events: page.events,
                    next: (page.through < page.head).then_some(page.through),
                })
            }
        }
    }

    async fn named_earlier(&self, search: &Search, before: i64) -> Result<Page, Error> {
        match &search.stream {
            Some(stream) => {
                let read =
                    (self.log).read_stream_backward(&self.tenant, stream, before, PAGE_EVENTS_MAX);
                Ok(of_id(search.id, of_stream(read.await?)))
            }
            None => {
                let named = self.named(search.id);
                let page = self.log.read_selected_backward(&named, before, 1).await?;
                Ok(Page {
                    events: page.events,
                    next: (page.through > 0).then_some(page.through),
                })
            }
        }
    }

    /// What has an id in the append that has a position: in the stream, if that has any of it.
    async fn stretch_around(&self, id: Uuid, position: Position) -> Result<Stretch, Error> {
        let append_max = i64::try_from(EVENTS_PER_APPEND_MAX).unwrap_or(i64::MAX);
        let end = position.saturating_add(append_max);
        let mut after = position.saturating_sub(append_max).max(0);
        let (mut in_stream, mut anywhere) = (None, None);
        while after < end {
            let named = self.named(id);
            let page = self
                .log
                .read_selected(&named, after, PAGE_EVENTS_MAX)
                .await?;
            for event in page.events.iter().take_while(|it| it.position < end) {
                Stretch::reach(&mut anywhere, event.position);
                if self.stream.as_ref() == Some(&event.stream) {
                    Stretch::reach(&mut in_stream, event.position);
                }
            }
            if page.through >= page.head {
                break;
            }
            after = page.through;
        }
        let itself = Stretch {
            first: position,
            last: position,
        };
        Ok(in_stream.or(anywhere).unwrap_or(itself))
    }

    fn named(&self, id: Uuid) -> Selection {
        Selection {
            named: Some(id),
            ..self.of_tenant()
        }
    }

    pub(super) fn of_tenant(&self) -> Selection {
        Selection {
            tenant: Some(self.tenant.clone()),
            ..Selection::default()
        }
    }
}

impl Stretch {
    /// Positions come in order.
    fn reach(stretch: &mut Option<Self>, position: Position) {
        let first = stretch.map_or(position, |it| it.first);
        let last = position;
        *stretch = Some(Self { first, last });
    }
}

/// Only an empty page is the end of a stream.
fn of_stream(events: Vec<Recorded>) -> Page {
    Page {
        next: events.last().map(|event| event.version),
        events,
    }
}

/// What an event or a command with an id has in a page.
fn of_id(id: Uuid, mut page: Page) -> Page {
    (page.events).retain(|event| event.id == id || event.command_id == id);
    page
}

/// When an id was made, if it says so.
fn made_at(id: Uuid) -> Option<DateTime<Utc>> {
    let (seconds, nanoseconds) = id.get_timestamp()?.to_unix();
    DateTime::from_timestamp(i64::try_from(seconds).ok()?, nanoseconds)
}
