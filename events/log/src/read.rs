//! Reading the log back: a stream, the log after a position, one partition's stretch, the head, a position in time.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, NaiveTime, SubsecRound, Utc};
use foldline_events::{Partition, Position, Recorded, Tenant, Version};
use sqlx::{Row, postgres::PgRow};
use uuid::Uuid;

use crate::{
    Error, Log, Mark,
    page::{Fetched, Room, fetch},
    row::{recorded, select_recorded},
    select::not_beyond,
};

/// How many positions are looked at at once for the events of one partition: some more than a delivery of them needs.
const PARTITION_WINDOW_POSITIONS: i64 = 100_000;

/// Nothing in the log has such a name: no append takes a NUL, and PostgreSQL does not even read it.
pub(crate) fn cannot_be(name: &str) -> bool {
    name.contains('\0')
}

impl Log {
    /// The events of a stream after a version, oldest first: at most `limit`, and no more after those that reach
    /// [`crate::READ_BYTES_MAX`]. So only an empty page is the end of the stream. An unknown one has none.
    ///
    /// # Errors
    /// [`Error::Read`] where the database cannot be asked (it may be tried again); [`Error::AnotherLog`] and
    /// [`Error::AnotherEpoch`] once the log turns out to be another; [`Error::NotMigrated`] when it lacks what this build calls.
    pub async fn read_stream(
        &self,
        tenant: &Tenant,
        stream: &str,
        after: Version,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        let after = Some(after.clamp(0, Version::MAX - 1));
        let page = self.stream(tenant, stream, (after, None), limit).await?;
        Ok(page.events)
    }

    /// The events of a stream before a version, newest first, as many as [`Self::read_stream`] gives. `Version::MAX` begins
    /// with the last one; the version of the last event given goes on before it.
    ///
    /// # Errors
    /// As [`Self::read_stream`].
    pub async fn read_stream_backward(
        &self,
        tenant: &Tenant,
        stream: &str,
        before: Version,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        let before = Some(before.max(1));
        let page = self.stream(tenant, stream, (None, before), limit).await?;
        Ok(page.events)
    }

    /// The streams of a tenant whose names come after one, in order of their names, at most `limit`; the first of them after the
    /// empty name. Only an empty page is the last.
    ///
    /// # Errors
    /// As [`Self::read_stream`].
    pub async fn streams_of(
        &self,
        tenant: &Tenant,
        after: &str,
        limit: usize,
    ) -> Result<Vec<String>, Error> {
        let query = sqlx::query("select stream from log.streams_of($1, $2, $3) as stream")
            .bind(tenant.as_str())
            .bind(after)
            .bind(limit_as_i64(limit));
        let rows = self
            .inner
            .read(async |on| query.fetch_all(on).await)
            .await?;
        Ok(rows.iter().map(|row| row.get("stream")).collect())
    }

    /// The events of a stream after a version, oldest first, or before one, newest first. See `sql/read_stream.sql`.
    pub(crate) async fn stream(
        &self,
        tenant: &Tenant,
        stream: &str,
        (after, before): (Option<Version>, Option<Version>),
        limit: usize,
    ) -> Result<Fetched<Recorded>, Error> {
        if cannot_be(stream) {
            return Ok(Fetched {
                events: vec![],
                may_go_on: false,
            });
        }
        let asked = self.inner.pace.ask(limit);
        let query = sqlx::query(select_recorded!(
            "from log.read_stream($1, $2, $3, $4, $5, $6)
             order by case when $3 is null then -version else version end"
        ))
        .bind(tenant.as_str())
        .bind(stream)
        .bind(after)
        .bind(before)
        .bind(limit_as_i64(asked))
        .bind(self.inner.segment_positions);
        fetch(&self.inner, query, asked, &mut Room::default(), recorded).await
    }

    /// The log after a position, in order and gapless: at most `limit` events, and no more after those that reach
    /// [`crate::READ_BYTES_MAX`]. So only an empty page is the end of the log.
    ///
    /// # Errors
    /// [`Error::BeyondHead`] when the log does not reach to `after`; [`Error::Gap`] when an event is missing.
    pub async fn read(&self, after: Position, limit: usize) -> Result<Vec<Recorded>, Error> {
        let (events, _head) = self.read_on(after, limit).await?;
        Ok(events)
    }

    /// The same, and a head of the log: after a page that ends before it there is more.
    pub(crate) async fn read_on(
        &self,
        after: Position,
        limit: usize,
    ) -> Result<(Vec<Recorded>, Position), Error> {
        let after = after.max(0);
        let asked = self.inner.pace.ask(limit);
        let (mut page, mut head) = self.page(after, asked).await?;
        if page.events.is_empty() && limit > 0 {
            head = self.head_position().await?;
            not_beyond(after, head)?;
            if head > after {
                // It came in between, or is missing. What is up to the head is seen by whoever looks after it.
                (page, _) = self.page(after, asked).await?;
            }
        }
        check_gapless(after, &page.events)?;
        let last = page.events.last().map_or(after, |event| event.position);
        if !page.may_go_on && last < head.min(after.saturating_add(limit_as_i64(asked))) {
            // A page is planned with the segments that there are, and then sees what is committed, so it lacks what came into a
            // segment that was made in between. That is there for whoever looks after it.
            let error = self.gap_after(last, head).await;
            if !matches!(error, Error::Gap { after, found } if found == after + 1) {
                return Err(error);
            }
        }
        Ok((page.events, head))
    }

    /// The events after a position, and the head as it is then; 0 when there are none.
    ///
    /// The upper bound is what keeps the segments after it closed: positions are gapless, so it is known how far a page
    /// reaches.
    async fn page(
        &self,
        after: Position,
        asked: usize,
    ) -> Result<(Fetched<Recorded>, Position), Error> {
        let query = sqlx::query(select_recorded!(
            ", (select b.last_position from log.batches b order by b.last_position desc limit 1) as head
             from log.events
             where position > $1
               and position <= $2
             order by position"
        ))
        .bind(after)
        .bind(after.saturating_add(limit_as_i64(asked)));
        let mut head: Option<Position> = None;
        let decode = |row: &PgRow| {
            if head.is_none() {
                head = row.get("head");
            }
            recorded(row)
        };
        let page = fetch(&self.inner, query, asked, &mut Room::default(), decode).await?;
        Ok((page, head.unwrap_or(0)))
    }

    /// What is to be said when the log does not go on after a position, although the head is further.
    pub(crate) async fn gap_after(&self, after: Position, head: Position) -> Error {
        let next = sqlx::query_scalar(
            "select position from log.events where position > $1 order by position limit 1",
        )
        .bind(after);
        match self
            .inner
            .read(async |on| next.fetch_optional(on).await)
            .await
        {
            Ok(next) => Error::Gap {
                after,
                found: next.unwrap_or(head + 1),
            },
            Err(error) => error,
        }
    }

    /// The events of one partition after a position and up to another, in order: at most `limit`, and no more after those
    /// that reach [`crate::READ_BYTES_MAX`].
    ///
    /// # Errors
    /// As [`Self::read_stream`].
    pub async fn read_partition(
        &self,
        partition: Partition,
        after: Position,
        through: Position,
        limit: usize,
    ) -> Result<Vec<Recorded>, Error> {
        let (mut after, mut through) = (after.max(0), through);
        if through.saturating_sub(after) > PARTITION_WINDOW_POSITIONS {
            through = through.min(self.head_position().await?);
        }
        let pace = &self.inner.pace;
        let mut room = Room::default();
        let mut events: Vec<Recorded> = Vec::new();
        while after < through && events.len() < limit && !room.is_full() {
            let asked = pace.ask(limit - events.len());
            let window = through.min(after.saturating_add(PARTITION_WINDOW_POSITIONS));
            let query = sqlx::query(select_recorded!(
                "from log.events
                 where position > $1
                   and position <= $2
                   and partition = $3
                 order by position
                 limit $4"
            ))
            .bind(after)
            .bind(window)
            .bind(partition)
            .bind(limit_as_i64(asked));
            let page = fetch(&self.inner, query, asked, &mut room, recorded).await?;
            let last = page.events.last().filter(|_| page.may_go_on);
            after = last.map_or(window, |last| last.position);
            events.extend(page.events);
        }
        Ok(events)
    }

    /// The last event's place, [`Mark::START`] for an empty log.
    ///
    /// # Errors
    /// [`Error::Gap`] when that event is missing.
    pub async fn head(&self) -> Result<Mark, Error> {
        let position = self.head_position().await?;
        if position == 0 {
            return Ok(Mark::START);
        }
        let query = sqlx::query_scalar("select id from log.events where position = $1");
        let query = query.bind(position);
        let event_id = self.inner.read(async |on| query.fetch_optional(on).await);
        match event_id.await? {
            Some(event_id) => {
                let head = Mark { position, event_id };
                self.inner.seen.note(head);
                Ok(head)
            }
            None => Err(self.gap_after(position - 1, position).await),
        }
    }

    /// Where the log ends, 0 when it is empty.
    pub(crate) async fn head_position(&self) -> Result<Position, Error> {
        let query = sqlx::query_scalar(
            "select last_position from log.batches order by last_position desc limit 1",
        );
        let head: Option<Position> = self
            .inner
            .read(async |on| query.fetch_optional(on).await)
            .await?;
        Ok(head.unwrap_or(0))
    }

    /// The last position recorded at or before an instant, 0 when there is none. Every instant is valid.
    ///
    /// # Errors
    /// As [`Self::read_stream`].
    pub async fn position_at(&self, instant: DateTime<Utc>) -> Result<Position, Error> {
        let query = sqlx::query_scalar("select log.position_at($1)").bind(as_kept(instant));
        self.inner.read(async |on| query.fetch_one(on).await).await
    }

    /// Whether each mark is still an event of this log. A mark that is not was made by another incarnation of it.
    ///
    /// # Errors
    /// [`Error::AnotherLog`] for the first mark that is not.
    pub async fn verify(&self, marks: &[Mark]) -> Result<(), Error> {
        let marks = marks.iter().copied();
        let mut marks: Vec<Mark> = marks.filter(|mark| *mark != Mark::START).collect();
        marks.sort_by_key(|mark| mark.position);
        let here = self.ids_at(marks.iter().map(|mark| mark.position)).await?;
        let is_here = |mark: &&Mark| here.get(&mark.position) == Some(&mark.event_id);
        match marks.iter().find(|mark| !is_here(mark)) {
            None => Ok(()),
            Some(stranger) => Err(Error::AnotherLog {
                position: stranger.position,
                expected: stranger.event_id,
            }),
        }
    }

    /// The ids of the events at some positions, as far as there are any.
    pub(crate) async fn ids_at(
        &self,
        positions: impl Iterator<Item = Position>,
    ) -> Result<BTreeMap<Position, Uuid>, Error> {
        let positions: Vec<Position> = positions.collect();
        // Written out, they tell the planner which segments they are in.
        let query = sqlx::query_as("select position, id from log.events where position = any ($1)");
        let query = query.bind(positions);
        let found = self
            .inner
            .read(async |on| query.fetch_all(on).await)
            .await?;
        Ok(found.into_iter().collect())
    }
}

/// An instant as the log keeps it, in whole microseconds; one that the database does not know becomes the nearest year
/// that it does.
fn as_kept(instant: DateTime<Utc>) -> DateTime<Utc> {
    let year = |year| {
        let day = NaiveDate::from_ymd_opt(year, 1, 1).expect("every year has a first day");
        day.and_time(NaiveTime::MIN).and_utc()
    };
    instant.trunc_subsecs(6).clamp(year(1), year(9999))
}

pub(crate) fn limit_as_i64(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

/// The lock promises that no position is ever missing. A reader that trusts the promise checks it, too: going on
/// past a gap would lose an event in silence.
pub(crate) fn check_gapless(after: Position, events: &[Recorded]) -> Result<(), Error> {
    let mut last = after;
    for event in events {
        if event.position != last + 1 {
            return Err(Error::Gap {
                after: last,
                found: event.position,
            });
        }
        last = event.position;
    }
    Ok(())
}
