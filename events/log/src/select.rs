//! Reading part of the log: by tenant, stream, type, tag, time and id, in order, page by page; [`backward`] turns it round.
//!
//! No page costs more than its bounds, however little of the log is selected: a page that found nothing still says how
//! far it has looked, so that a reader goes on there and rereads nothing. Tags of a tenant are looked up in the index
//! that guards use; everything else is read in order of position, a window at a time. Times become positions first,
//! because along the log they never decrease.

mod backward;

use chrono::{DateTime, Duration, SubsecRound, Utc};
use foldline_events::{Cursor, Position, Recorded, Tenant};
use sqlx::Row;
use uuid::Uuid;

use crate::{
    Error, Log,
    page::{Room, fetch},
    read::{cannot_be, check_gapless},
    row::{recorded, select_recorded},
    store::Inner,
};

/// How many events a page of a selection holds at most.
pub const PAGE_EVENTS_MAX: usize = 1_000;
/// How many positions of the log one page looks at, where no tag leads to the events.
pub const WINDOW_POSITIONS_MAX: usize = 10_000;
/// How many events that carry a tag one page looks at.
pub const TAGGED_POSITIONS_MAX: usize = 1_000;
/// How many segments' indexes of tags one page looks into: each costs a little, whether the tag is in it or not.
pub const TAGGED_SEGMENTS_MAX: i64 = 4;
/// How many of a selection's tags are compared to find the rarest; the others are only looked for in its events.
pub const TAGS_COMPARED_MAX: usize = 16;

/// Which events of the log are wanted: those that fulfil every condition given. The default wants all of them.
///
/// Every combination is valid. The cheapest has a tenant and tags: it reads the events that carry the rarest of them, in at
/// most [`TAGGED_SEGMENTS_MAX`] segments of the log a page.
/// Tags without a tenant, a stream's prefix, types alone, ids and a tenant alone are looked for in order of position, at
/// most [`WINDOW_POSITIONS_MAX`] positions a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Of this tenant; of all when there is none.
    pub tenant: Option<Tenant>,
    /// In streams whose names begin with this, character by character: `task-` for all tasks.
    pub stream_prefix: Option<String>,
    /// Of any of these types, as `context.FactInPastTense`; of all types when there are none.
    pub types: Vec<String>,
    /// With all of these tags.
    pub tags: Vec<String>,
    /// The event with this id, and those that the command with this id recorded.
    pub named: Option<Uuid>,
    /// With this correlation id.
    pub correlation_id: Option<Uuid>,
    /// Recorded at this instant or later.
    pub recorded_from: Option<DateTime<Utc>>,
    /// Recorded before this instant.
    pub recorded_before: Option<DateTime<Utc>>,
}

impl Selection {
    /// Whether every event of a stretch of the log is wanted, so that none may be missing.
    fn selects_all(&self) -> bool {
        let of_time = Self {
            recorded_from: self.recorded_from,
            recorded_before: self.recorded_before,
            ..Self::default()
        };
        *self == of_time
    }

    /// Whether it asks for a name that nothing has.
    fn selects_nothing(&self) -> bool {
        let names = self.types.iter().chain(&self.tags);
        names.chain(&self.stream_prefix).any(|name| cannot_be(name))
    }

    /// Whether an event fulfils every condition.
    pub fn selects(&self, event: &Recorded) -> bool {
        let of_tenant = self.tenant.as_ref().is_none_or(|it| *it == event.tenant);
        let prefix = self.stream_prefix.as_deref().unwrap_or_default();
        let of_type = self.types.is_empty() || self.types.contains(&event.event_type);
        let is_in_time = self.recorded_from.is_none_or(|it| event.recorded_at >= it)
            && self.recorded_before.is_none_or(|it| event.recorded_at < it);
        of_tenant
            && event.stream.starts_with(prefix)
            && of_type
            && self.tags.iter().all(|tag| event.tags.contains(tag))
            && (self.named).is_none_or(|id| event.id == id || event.command_id == id)
            && (self.correlation_id).is_none_or(|id| event.correlation_id == id)
            && is_in_time
    }
}

/// What a selection holds after a position, as far as was looked.
#[derive(Debug, Clone, PartialEq)]
pub struct Page {
    /// In order of position.
    pub events: Vec<Recorded>,
    /// Nothing else is selected up to here: the next page goes on after it.
    pub through: Position,
    /// The last position of the log when the page was read. The page is the last for now if `through` is the same.
    pub head: Position,
}

impl Log {
    /// The next page of a selection after a position: at most `limit` events, from 1 to [`PAGE_EVENTS_MAX`], and no more
    /// after those that reach [`crate::READ_BYTES_MAX`].
    ///
    /// # Errors
    /// [`Error::BeyondHead`] when the log does not reach to `after`; [`Error::Gap`] when events are missing from it, which
    /// only a selection of all of them can notice.
    pub async fn read_selected(
        &self,
        selection: &Selection,
        after: Position,
        limit: usize,
    ) -> Result<Page, Error> {
        let (after, limit) = (after.max(0), limit.clamp(1, PAGE_EVENTS_MAX));
        let head = self.head_position().await?;
        not_beyond(after, head)?;
        if selection.selects_nothing() {
            return Ok(Page {
                events: vec![],
                through: head,
                head,
            });
        }
        let window = self.window(selection, after, head).await?;
        let (events, looked_to) = if window.is_empty() {
            (vec![], window.through)
        } else {
            match &selection.tenant {
                Some(tenant) if !selection.tags.is_empty() => {
                    let window = window.in_segments(self.inner.segment_positions);
                    tagged(&self.inner, selection, tenant, window, limit).await?
                }
                Some(_) | None => self.in_order(selection, window, limit).await?,
            }
        };
        // What lies after the window is too late, and whatever is yet to come will be later still.
        let through = if looked_to >= window.through {
            head
        } else {
            looked_to
        };
        Ok(Page {
            events,
            through,
            head,
        })
    }

    /// The position to read on from after a cursor, which a command or another reader gave. The partition that a
    /// cursor may name does not matter here: the log has one order.
    ///
    /// # Errors
    /// [`Error::AnotherEpoch`] for a cursor of another log or of another incarnation of this one,
    /// [`Error::BeyondHead`] for one that this log does not reach to.
    pub async fn position_of(&self, cursor: &Cursor) -> Result<Position, Error> {
        of_epoch(cursor, self.epoch())?;
        not_beyond(cursor.position, self.head_position().await?)?;
        Ok(cursor.position)
    }

    /// The stretch of the log in which something can be selected.
    async fn window(
        &self,
        selection: &Selection,
        after: Position,
        head: Position,
    ) -> Result<Window, Error> {
        let after = match selection.recorded_from {
            Some(from) => after.max(self.position_at(just_before(from)).await?),
            None => after,
        };
        let through = match selection.recorded_before {
            Some(before) => head.min(self.position_at(just_before(before)).await?),
            None => head,
        };
        Ok(Window { after, through })
    }

    /// Reads the window from its start, looking at every event, and says how far it came.
    async fn in_order(
        &self,
        selection: &Selection,
        window: Window,
        limit: usize,
    ) -> Result<(Vec<Recorded>, Position), Error> {
        let looked_to = window
            .through
            .min(window.after.saturating_add(as_i64(WINDOW_POSITIONS_MAX)));
        let asked = self.inner.pace.ask(limit);
        // The limit inside keeps the planner at the order of position: no other index has a bound here.
        let query = sqlx::query(select_recorded!(
            "from (
                 select *
                 from log.events
                 where position > $1
                   and position <= $2
                 order by position
                 limit $3
             ) as looked_at
             where ($4::text is null or tenant = $4)
               and ($5::text is null or starts_with(stream, $5))
               and (cardinality($6::text[]) = 0 or type = any ($6))
               and tags @> $7::text[]
               and ($9::uuid is null or id = $9 or command_id = $9)
               and ($10::uuid is null or correlation_id = $10)
             order by position
             limit $8"
        ))
        .bind(window.after)
        .bind(looked_to)
        .bind(as_i64(WINDOW_POSITIONS_MAX))
        .bind(selection.tenant.as_ref().map(Tenant::as_str))
        .bind(selection.stream_prefix.as_deref())
        .bind(&selection.types)
        .bind(&selection.tags)
        .bind(as_i64(asked))
        .bind(selection.named)
        .bind(selection.correlation_id);
        let page = fetch(&self.inner, query, asked, &mut Room::default(), recorded).await?;
        let last = page.events.last().map(|event| event.position);
        if selection.selects_all() {
            check_gapless(window.after, &page.events)?;
            let last = last.unwrap_or(window.after);
            if !page.may_go_on && last < looked_to {
                return Err(self.gap_after(last, looked_to).await);
            }
        }
        let looked_to = last.filter(|_| page.may_go_on).unwrap_or(looked_to);
        Ok((page.events, looked_to))
    }
}

#[derive(Debug, Clone, Copy)]
struct Window {
    after: Position,
    through: Position,
}

impl Window {
    fn is_empty(self) -> bool {
        self.after >= self.through
    }

    /// What of it is in the first [`TAGGED_SEGMENTS_MAX`] segments that it reaches into.
    fn in_segments(self, segment_positions: i64) -> Self {
        let next = (self.after + 1) / segment_positions + TAGGED_SEGMENTS_MAX;
        let last = next.saturating_mul(segment_positions) - 1;
        Self {
            through: self.through.min(last),
            ..self
        }
    }
}

pub(crate) fn of_epoch(cursor: &Cursor, present: Uuid) -> Result<(), Error> {
    if cursor.epoch == present {
        Ok(())
    } else {
        Err(Error::AnotherEpoch {
            present,
            expected: cursor.epoch,
        })
    }
}

pub(crate) fn not_beyond(position: Position, head: Position) -> Result<(), Error> {
    if position <= head {
        Ok(())
    } else {
        Err(Error::BeyondHead { position, head })
    }
}

/// The last instant before another that the log can tell from it: it keeps microseconds.
fn just_before(instant: DateTime<Utc>) -> DateTime<Utc> {
    let whole = instant.trunc_subsecs(6);
    if whole < instant {
        whole
    } else {
        let before = whole.checked_sub_signed(Duration::microseconds(1));
        before.unwrap_or(whole)
    }
}

/// Reads the events that carry the rarest of the tags, and says how far it came.
async fn tagged(
    inner: &Inner,
    selection: &Selection,
    tenant: &Tenant,
    window: Window,
    limit: usize,
) -> Result<(Vec<Recorded>, Position), Error> {
    let compared = &selection.tags[..selection.tags.len().min(TAGS_COMPARED_MAX)];
    let query = sqlx::query("select positions from log.tagged($1, $2, $3, $4, $5, $6)")
        .bind(tenant.as_str())
        .bind(compared)
        .bind(&selection.types)
        .bind(window.after)
        .bind(window.through)
        .bind(i32::try_from(TAGGED_POSITIONS_MAX).expect("the bound is far below 2^31"));
    let candidates = inner.read(async |on| query.fetch_all(on).await).await?;
    // The rarest is the one whose entries reach farthest.
    let (positions, looked_to) = candidates
        .iter()
        .map(|row| {
            let positions: Vec<Position> = row.get("positions");
            let last = positions.get(TAGGED_POSITIONS_MAX - 1).copied();
            (positions, last.unwrap_or(window.through))
        })
        .max_by_key(|(positions, reached)| (*reached, std::cmp::Reverse(positions.len())))
        .expect("the function answers for each tag, and there is one");
    let asked = inner.pace.ask(limit);
    let query = sqlx::query(select_recorded!(
        "from log.events
         where position = any ($1)
           and position > $5
           and position <= $6
           and tags @> $2::text[]
           and ($3::text is null or starts_with(stream, $3))
           and ($7::uuid is null or id = $7 or command_id = $7)
           and ($8::uuid is null or correlation_id = $8)
         order by position
         limit $4"
    ))
    .bind(positions)
    .bind(&selection.tags)
    .bind(selection.stream_prefix.as_deref())
    .bind(as_i64(asked))
    .bind(window.after)
    .bind(window.through)
    .bind(selection.named)
    .bind(selection.correlation_id);
    let page = fetch(inner, query, asked, &mut Room::default(), recorded).await?;
    let last = page.events.last().filter(|_| page.may_go_on);
    let looked_to = last.map_or(looked_to, |last| last.position);
    Ok((page.events, looked_to))
}

fn as_i64(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
