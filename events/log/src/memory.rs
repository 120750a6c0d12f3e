//! The log in memory: the same operations with the same rules and answers, for tests and models that need no
//! database. The suite holds both to one contract.
//!
//! It keeps everything until it is dropped, and its appends are decided one after another. It does not know the
//! limits that are the database's own, such as how long a key of an index may be.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use chrono::{DateTime, SubsecRound, Utc};
use foldline_events::{Cursor, Partition, Position, Recorded, Tenant, Version, partition_of};
use uuid::Uuid;

use crate::{
    Append, Error, Expected, GUARD_SEEKS_MAX, Guard, Mark, PAGE_EVENTS_MAX, Page, Receipt,
    Selection, Verdict, Write, batcher,
    page::{Fetched, until_full},
    select::{not_beyond, of_epoch},
};

/// A log in memory. Cheap to clone; all clones are one log.
#[derive(Debug, Clone)]
pub struct MemoryLog {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    epoch: Uuid,
    clock: fn() -> DateTime<Utc>,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    /// The event at position P has index P - 1.
    events: Vec<Recorded>,
    versions: HashMap<(Tenant, String), Version>,
    commands: HashMap<(Tenant, Uuid), (Vec<u8>, Receipt)>,
}

impl MemoryLog {
    /// An empty log. `epoch` names it in its cursors; `clock` says when events are recorded.
    pub fn new(epoch: Uuid, clock: fn() -> DateTime<Utc>) -> Self {
        let inner = Inner {
            epoch,
            clock,
            kept: Mutex::default(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// See [`crate::Log::epoch`].
    pub fn epoch(&self) -> Uuid {
        self.inner.epoch
    }

    /// See [`crate::Log::append`].
    ///
    /// # Errors
    /// [`Error::Malformed`] for an append that can never go through, [`Error::BeyondHead`] for a guard on a position that the log
    /// does not reach to.
    pub fn append(&self, append: &Append) -> Result<Verdict, Error> {
        self.kept(|kept| {
            let verdict = kept.decide(self.inner.epoch, append)?;
            if let Verdict::Appended(receipt) = &verdict {
                kept.store(append, receipt, (self.inner.clock)().trunc_subsecs(6));
            }
            Ok(verdict)
        })
    }

    /// What [`MemoryLog::append`] would answer now. Nothing is stored.
    ///
    /// # Errors
    /// The same.
    pub fn decide(&self, append: &Append) -> Result<Verdict, Error> {
        self.kept(|kept| kept.decide(self.inner.epoch, append))
    }

    /// See [`crate::Log::known`].
    pub fn known(&self, tenant: &Tenant, command_id: Uuid, input_hmac: &[u8]) -> Option<Verdict> {
        self.kept(|kept| kept.known(tenant, command_id, input_hmac))
    }

    /// See [`crate::Log::read`].
    ///
    /// # Errors
    /// [`Error::BeyondHead`] when the log does not reach to `after`.
    pub fn read(&self, after: Position, limit: usize) -> Result<Vec<Recorded>, Error> {
        self.kept(|kept| {
            not_beyond(after, kept.head().position)?;
            Ok(until_full(kept.after(after).iter(), limit).events)
        })
    }

    /// See [`crate::Log::read_stream`].
    pub fn read_stream(
        &self,
        tenant: &Tenant,
        stream: &str,
        after: Version,
        limit: usize,
    ) -> Vec<Recorded> {
        self.stream_after(tenant, stream, after, limit).events
    }

    pub(crate) fn stream_after(
        &self,
        tenant: &Tenant,
        stream: &str,
        after: Version,
        limit: usize,
    ) -> Fetched<Recorded> {
        self.kept(|kept| {
            let events = kept.stream(tenant, stream);
            until_full(events.filter(|event| event.version > after), limit)
        })
    }

    /// See [`crate::Log::read_stream_backward`].
    pub fn read_stream_backward(
        &self,
        tenant: &Tenant,
        stream: &str,
        before: Version,
        limit: usize,
    ) -> Vec<Recorded> {
        self.stream_before(tenant, stream, before, limit).events
    }

    pub(crate) fn stream_before(
        &self,
        tenant: &Tenant,
        stream: &str,
        before: Version,
        limit: usize,
    ) -> Fetched<Recorded> {
        self.kept(|kept| {
            let events = kept.stream(tenant, stream).rev();
            until_full(events.filter(|event| event.version < before), limit)
        })
    }

    /// See [`crate::Log::streams_of`].
    pub fn streams_of(&self, tenant: &Tenant, after: &str, limit: usize) -> Vec<String> {
        self.kept(|kept| {
            let of_tenant = kept.versions.keys().filter(|(of, _)| of == tenant);
            let streams = of_tenant.map(|(_, stream)| stream);
            let mut streams: Vec<String> =
                streams.filter(|it| it.as_str() > after).cloned().collect();
            streams.sort();
            streams.truncate(limit);
            streams
        })
    }

    /// See [`crate::Log::read_selected`].
    ///
    /// # Errors
    /// [`Error::BeyondHead`] when the log does not reach to `after`.
    pub fn read_selected(
        &self,
        selection: &Selection,
        after: Position,
        limit: usize,
    ) -> Result<Page, Error> {
        let limit = limit.clamp(1, PAGE_EVENTS_MAX);
        self.kept(|kept| {
            let head = kept.head().position;
            not_beyond(after, head)?;
            let selected = kept.after(after).iter();
            let selected = selected.filter(|event| selection.selects(event));
            let page = until_full(selected, limit);
            let last = page.events.last().filter(|_| page.may_go_on);
            let through = last.map_or(head, |event| event.position);
            Ok(Page {
                events: page.events,
                through,
                head,
            })
        })
    }

    /// See [`crate::Log::read_selected_backward`].
    pub fn read_selected_backward(
        &self,
        selection: &Selection,
        before: Position,
        limit: usize,
    ) -> Page {
        let limit = limit.clamp(1, PAGE_EVENTS_MAX);
        self.kept(|kept| {
            let selected = kept.events.iter().rev();
            let selected =
                selected.filter(|event| event.position < before && selection.selects(event));
            let page = until_full(selected, limit);
            let first = page.events.last().filter(|_| page.may_go_on);
            Page {
                through: first.map_or(0, |event| event.position),
                events: page.events,
                head: kept.head().position,
            }
        })
    }

    /// See [`crate::Log::position_of`].
    ///
    /// # Errors
    /// [`Error::AnotherEpoch`] for a cursor of another log, [`Error::BeyondHead`] for one beyond the head.
    pub fn position_of(&self, cursor: &Cursor) -> Result<Position, Error> {
        of_epoch(cursor, self.inner.epoch)?;
        not_beyond(cursor.position, self.head().position)?;
        Ok(cursor.position)
    }

    /// See [`crate::Log::head`].
    pub fn head(&self) -> Mark {
        self.kept(|kept| kept.head())
    }

    /// See [`crate::Log::position_at`].
    pub fn position_at(&self, instant: DateTime<Utc>) -> Position {
        self.kept(|kept| {
            let until = kept
                .events
                .partition_point(|event| event.recorded_at <= instant);
            position(until)
        })
    }

    /// An append is stored by one push after another that cannot panic, so a lock poisoned elsewhere is still good.
    fn kept<T>(&self, with: impl FnOnce(&mut Kept) -> T) -> T {
        let mut kept = self
            .inner
            .kept
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        with(&mut kept)
    }
}

impl Kept {
    /// The first of all answers that is true, in the order in which `sql/append.sql` looks for them.
    fn decide(&self, epoch: Uuid, append: &Append) -> Result<Verdict, Error> {
        let append = &mut append.clone();
        batcher::admit(append)?;
        let known = self.known(&append.tenant, append.command_id, &append.input_hmac);
        if let Some(answer) = known.or_else(|| self.conflict(append)) {
            return Ok(answer);
        }
        let guarded_to = append.guards.iter().map(|guard| guard.after).max();
        not_beyond(guarded_to.unwrap_or(0), self.head().position)?;
        let answer = self.guarded(append);
        Ok(answer.unwrap_or_else(|| Verdict::Appended(self.receipt(epoch, append))))
    }

    fn known(&self, tenant: &Tenant, command_id: Uuid, input_hmac: &[u8]) -> Option<Verdict> {
        let (first_hmac, receipt) = self.commands.get(&(tenant.clone(), command_id))?;
        Some(if first_hmac == input_hmac {
            Verdict::Known(receipt.clone())
        } else {
            Verdict::InputDiffers
        })
    }

    fn conflict(&self, append: &Append) -> Option<Verdict> {
        append.writes.iter().find_map(|write| {
            let version = self.version(&append.tenant, &write.stream);
            let is_expected = match write.expected {
                Expected::Any => true,
                Expected::NoStream => version == 0,
                Expected::Exists => version > 0,
                Expected::Exactly(expected) => version == expected,
            };
            (!is_expected).then(|| Verdict::Conflict {
                stream: write.stream.clone(),
                version,
            })
        })
    }

    fn guarded(&self, append: &Append) -> Option<Verdict> {
        let by = append.guards.iter().flat_map(|guard| {
            let types = guard.event_types.iter();
            types.filter_map(|event_type| self.newest_tagged(&append.tenant, guard, event_type))
        });
        Some(Verdict::Guarded { by: by.max()? })
    }

    /// As `sql/newest_tagged.sql` says it, up to giving up where that gives up.
    fn newest_tagged(&self, tenant: &Tenant, guard: &Guard, event_type: &str) -> Option<Position> {
        let later = self.after(guard.after).iter();
        let mut of_type = later
            .filter(|event| event.tenant == *tenant && event.event_type == event_type)
            .rev()
            .peekable();
        let (mut last, mut agreeing) = (Position::MAX, 0);
        for tag in guard.tags.iter().cycle().take(GUARD_SEEKS_MAX) {
            while of_type.next_if(|event| !event.tags.contains(tag)).is_some() {}
            let named = of_type.peek()?.position;
            agreeing = if named == last { agreeing + 1 } else { 1 };
            last = named;
            if agreeing == guard.tags.len() {
                break;
            }
        }
        Some(last)
    }

    fn receipt(&self, epoch: Uuid, append: &Append) -> Receipt {
        let mut written = append
            .writes
            .iter()
            .filter(|write| !write.events.is_empty());
        let first = written.next().expect("an append has an event");
        let partition = |write: &Write| partition_of(&append.tenant, &write.stream);
        let shared: Partition = partition(first);
        let is_shared = written.all(|write| partition(write) == shared);
        let events: usize = append.writes.iter().map(|write| write.events.len()).sum();
        Receipt {
            stream: first.stream.clone(),
            version: self.version(&append.tenant, &first.stream) + position(first.events.len()),
            cursor: Cursor {
                epoch,
                position: position(self.events.len() + events),
                partition: is_shared.then_some(shared),
            },
        }
    }

    fn store(&mut self, append: &Append, receipt: &Receipt, now: DateTime<Utc>) {
        let recorded_at = self
            .events
            .last()
            .map_or(now, |last| last.recorded_at.max(now));
        for write in append.writes.iter().filter(|it| !it.events.is_empty()) {
            let key = (append.tenant.clone(), write.stream.clone());
            let version = self.versions.entry(key).or_default();
            for event in &write.events {
                *version += 1;
                let recorded = Recorded {
                    position: position(self.events.len() + 1),
                    partition: partition_of(&append.tenant, &write.stream),
                    id: event.id,
                    tenant: append.tenant.clone(),
                    stream: write.stream.clone(),
                    version: *version,
                    event_type: event.encoded.event_type.to_owned(),
                    schema_version: event.encoded.schema_version,
                    payload: event.encoded.payload.clone(),
                    tags: event.encoded.tags.clone(),
                    actor: append.actor.clone(),
                    command_id: append.command_id,
                    correlation_id: append.correlation_id,
                    causation_id: append.causation_id,
                    trace_context: append.trace_context.clone(),
                    occurred_at: event.occurred_at_kept(),
                    recorded_at,
                };
                self.events.push(recorded);
            }
        }
        let command = (append.tenant.clone(), append.command_id);
        let answer = (append.input_hmac.clone(), receipt.clone());
        self.commands.insert(command, answer);
    }

    fn version(&self, tenant: &Tenant, stream: &str) -> Version {
        let key = (tenant.clone(), stream.to_owned());
        self.versions.get(&key).copied().unwrap_or(0)
    }

    fn stream<'a>(
        &'a self,
        tenant: &'a Tenant,
        stream: &'a str,
    ) -> impl DoubleEndedIterator<Item = &'a Recorded> {
        let events = self.events.iter();
        events.filter(move |event| event.tenant == *tenant && event.stream == stream)
    }

    /// The events after a position; a negative one is before everything, like 0.
    fn after(&self, after: Position) -> &[Recorded] {
        let index = usize::try_from(after.max(0)).unwrap_or(usize::MAX);
        self.events.get(index..).unwrap_or_default()
    }

    fn head(&self) -> Mark {
        self.events.last().map_or(Mark::START, Mark::from)
    }
}

fn position(count: usize) -> Position {
    Position::try_from(count).expect("no memory holds 2^63 events")
}
