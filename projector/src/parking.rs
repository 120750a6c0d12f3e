//! Streams that a view does not fold any more, because it cannot fold one of their events, and the events that somebody
//! decided to leave out.
//!
//! A parked stream waits from its first unfoldable event on, in one view; other streams and views go on. What is parked is
//! written with the rows and checkpoints of the delivery in which it is met, and read by whoever takes the partition over.

pub mod desk;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, Utc};
use foldline_events::{DecodeError, Partition, Position, Recorded, Tenant, Version};
use sqlx::{PgConnection, PgPool, Row as _, postgres::PgRow};
use uuid::Uuid;

use crate::{Build, Builds, Error, View, error};

/// How many streams may be parked in a partition, of all views together. Beyond it the partition stalls: something is wrong
/// with more than some events.
pub const PARKED_MAX: usize = 10_000;
/// How many of those that are to be tried again are read at a time.
pub(crate) const RETRIES_PER_READ: i64 = 100;

/// A stream's name, with its tenant.
pub(crate) type StreamKey = (Tenant, String);

/// A stream that waits in a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parked {
    pub view: View,
    pub tenant: Tenant,
    pub stream: String,
    pub partition: Partition,
    /// The first event that is not folded: its place, and what it is.
    pub position: Position,
    pub version: Version,
    pub event_id: Uuid,
    pub event_type: String,
    pub schema_version: i16,
    pub why: Why,
    /// The wish for which it is tried again.
    pub asked_at: Option<DateTime<Utc>>,
}

/// Why an event cannot be folded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Why {
    /// This build does not know its type or its schema version.
    pub needs_newer_build: bool,
    pub text: String,
}

impl Parked {
    pub(crate) fn at(view: View, recorded: &Recorded, why: Why) -> Self {
        Self {
            view,
            tenant: recorded.tenant.clone(),
            stream: recorded.stream.clone(),
            partition: recorded.partition,
            position: recorded.position,
            version: recorded.version,
            event_id: recorded.id,
            event_type: recorded.event_type.clone(),
            schema_version: recorded.schema_version,
            why,
            asked_at: None,
        }
    }

    /// The same stream, tried for the same wish, further on.
    pub(crate) fn now_at(&self, recorded: &Recorded, why: Why) -> Self {
        Self {
            asked_at: self.asked_at,
            ..Self::at(self.view, recorded, why)
        }
    }

    pub(crate) fn key(&self) -> StreamKey {
        (self.tenant.clone(), self.stream.clone())
    }
}

impl Why {
    pub(crate) fn of(error: &DecodeError) -> Self {
        Self {
            needs_newer_build: matches!(error, DecodeError::Unknown { .. }),
            text: error::in_full(error),
        }
    }

    pub(crate) fn unfoldable(text: String) -> Self {
        Self {
            needs_newer_build: false,
            text,
        }
    }
}

/// What the views leave out of one partition.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// How many streams wait, each counted in each view: asked for with every delivery.
    count: usize,
    parked: HashMap<StreamKey, BTreeSet<View>>,
    skipped: HashMap<StreamKey, BTreeMap<Version, BTreeSet<View>>>,
}

impl Aside {
    pub(crate) fn parked(&self) -> usize {
        self.count
    }

    pub(crate) fn park(&mut self, view: View, stream: StreamKey) {
        if self.parked.entry(stream).or_default().insert(view) {
            self.count += 1;
        }
    }

    pub(crate) fn release(&mut self, view: View, stream: &StreamKey) {
        if let Some(views) = self.parked.get_mut(stream) {
            if views.remove(&view) {
                self.count -= 1;
            }
            if views.is_empty() {
                self.parked.remove(stream);
            }
        }
    }

    pub(crate) fn skip(&mut self, view: View, stream: StreamKey, versions: Vec<Version>) {
        if versions.is_empty() {
            return;
        }
        let skipped = self.skipped.entry(stream).or_default();
        for version in versions {
            skipped.entry(version).or_default().insert(view);
        }
    }

    /// What stands before an event in a view: the version it follows; `None` when the view leaves the event out.
    pub(crate) fn follows(&self, view: View, recorded: &Recorded) -> Option<Version> {
        // Most partitions leave nothing out, and then no name is copied.
        if self.parked.is_empty() && self.skipped.is_empty() {
            return Some(recorded.version - 1);
        }
        let stream = (recorded.tenant.clone(), recorded.stream.clone());
        let waits = self.parked.get(&stream);
        if waits.is_some_and(|views| views.contains(&view)) {
            return None;
        }
        self.unless_skipped(view, &stream, recorded.version)
    }

    /// The same, whether or not the stream is parked.
    pub(crate) fn unless_skipped(
        &self,
        view: View,
        stream: &StreamKey,
        version: Version,
    ) -> Option<Version> {
        let Some(skipped) = self.skipped.get(stream) else {
            return Some(version - 1);
        };
        let is_skipped = |version: &Version| {
            let views = skipped.get(version);
            views.is_some_and(|views| views.contains(&view))
        };
        if is_skipped(&version) {
            return None;
        }
        (0..version).rev().find(|earlier| !is_skipped(earlier))
    }
}

const LOAD: &str = "
    select
        view,
        partition,
        tenant,
        stream,
        null::bigint as skipped
    from views.parked
    where partition = any($1)
        and (view, view_version) in (select * from unnest($2::text[], $3::integer[]))
    union all
    select
        view,
        partition,
        tenant,
        stream,
        version
    from views.skipped
    where partition = any($1)
";

/// What is left out of some partitions. Streams that need a newer build are to be tried again: this may be one.
pub(crate) async fn load(
    connection: &mut PgConnection,
    builds: &Builds,
    partitions: &[Partition],
) -> Result<BTreeMap<Partition, Aside>, Error> {
    sqlx::query(
        "update views.parked
         set retry_asked_at = now()
         where partition = any($1)
             and needs_newer_build
             and retry_asked_at is null
             and (view, view_version) in (select * from unnest($2::text[], $3::integer[]))",
    )
    .bind(partitions)
    .bind(builds.names())
    .bind(builds.versions())
    .execute(&mut *connection)
    .await
    .map_err(error::unless_unprepared(Error::Parked))?;
    let rows = sqlx::query(LOAD)
        .bind(partitions)
        .bind(builds.names())
        .bind(builds.versions())
        .fetch_all(connection)
        .await
        .map_err(error::unless_unprepared(Error::Parked))?;
    let mut of: BTreeMap<Partition, Aside> = BTreeMap::new();
    for row in rows {
        let name: &str = row.get("view");
        let Some(view) = View::named(name) else {
            continue;
        };
        let stream = (tenant_of(&row)?, row.get("stream"));
        let aside = of.entry(row.get("partition")).or_default();
        match row.get("skipped") {
            None => aside.park(view, stream),
            Some(version) => aside.skip(view, stream, vec![version]),
        }
    }
    Ok(of)
}

/// The versions of a stream that somebody decided to leave out of a view.
pub(crate) async fn skipped(
    pool: &PgPool,
    view: View,
    (tenant, stream): &StreamKey,
) -> Result<Vec<Version>, Error> {
    sqlx::query_scalar(
        "select version
         from views.skipped
         where tenant = $1
             and view = $2
             and stream = $3",
    )
    .bind(tenant.as_str())
    .bind(view.name())
    .bind(stream)
    .fetch_all(pool)
    .await
    .map_err(Error::Parked)
}

const PARK: &str = "
    insert into views.parked as p (
        view, view_version, tenant, stream, partition, position, version, event_id, event_type, schema_version,
        needs_newer_build, why
    )
    select *
    from unnest(
        $1::text[], $2::integer[], $3::text[], $4::text[], $5::smallint[], $6::bigint[], $7::bigint[], $8::uuid[],
        $9::text[], $10::smallint[], $11::boolean[], $12::text[]
    )
    on conflict on constraint parked_pkey do update
    set position = excluded.position,
        version = excluded.version,
        event_id = excluded.event_id,
        event_type = excluded.event_type,
        schema_version = excluded.schema_version,
        needs_newer_build = excluded.needs_newer_build,
        why = excluded.why,
        tried_at = now(),
        attempts = p.attempts + 1,
        retry_asked_at = null
";

/// Writes down that streams wait: from a delivery, or because trying them again came no further than to an event.
pub(crate) async fn park(
    connection: &mut PgConnection,
    builds: &Builds,
    parked: &[&Parked],
) -> Result<(), Error> {
    if parked.is_empty() {
        return Ok(());
    }
    fn column<'p, T>(parked: &[&'p Parked], of: impl Fn(&'p Parked) -> T) -> Vec<T> {
        parked.iter().map(|parked| of(parked)).collect()
    }
    sqlx::query(PARK)
        .bind(column(parked, |parked| parked.view.name()))
        .bind(column(parked, |parked| version_of(builds, parked)))
        .bind(column(parked, |parked| parked.tenant.as_str()))
        .bind(column(parked, |parked| parked.stream.as_str()))
        .bind(column(parked, |parked| parked.partition))
        .bind(column(parked, |parked| parked.position))
        .bind(column(parked, |parked| parked.version))
        .bind(column(parked, |parked| parked.event_id))
        .bind(column(parked, |parked| parked.event_type.as_str()))
        .bind(column(parked, |parked| parked.schema_version))
        .bind(column(parked, |parked| parked.why.needs_newer_build))
        // The database takes no NUL, and an error may quote one.
        .bind(column(parked, |parked| {
            parked.why.text.replace('\0', "\u{fffd}")
        }))
        .execute(connection)
        .await
        .map_err(Error::Parked)?;
    Ok(())
}

/// The build that a stream waits in: of the views that are folded together, it is one.
fn version_of(builds: &Builds, parked: &Parked) -> Option<i32> {
    builds.of(parked.view).map(|build| build.version)
}

/// A stream that is being tried again has come to this event.
pub(crate) async fn advance(
    connection: &mut PgConnection,
    build: Build,
    parked: &Parked,
) -> Result<(), Error> {
    sqlx::query(
        "update views.parked
         set position = $5,
             version = $6,
             event_id = $7,
             event_type = $8,
             schema_version = $9,
             tried_at = now()
         where tenant = $1
             and view = $2
             and view_version = $3
             and stream = $4",
    )
    .bind(parked.tenant.as_str())
    .bind(build.view.name())
    .bind(build.version)
    .bind(&parked.stream)
    .bind(parked.position)
    .bind(parked.version)
    .bind(parked.event_id)
    .bind(&parked.event_type)
    .bind(parked.schema_version)
    .execute(connection)
    .await
    .map_err(Error::Parked)?;
    Ok(())
}

/// Whether what is wished of a stream is still that for which it is tried. Nobody wishes anything else before this transaction
/// ends.
pub(crate) async fn hold(
    connection: &mut PgConnection,
    build: Build,
    parked: &Parked,
) -> Result<bool, Error> {
    let is_the_same: Option<bool> = sqlx::query_scalar(
        "select retry_asked_at is not distinct from $5
         from views.parked
         where tenant = $1
             and view = $2
             and view_version = $3
             and stream = $4
         for update",
    )
    .bind(parked.tenant.as_str())
    .bind(build.view.name())
    .bind(build.version)
    .bind(&parked.stream)
    .bind(parked.asked_at)
    .fetch_optional(connection)
    .await
    .map_err(Error::Parked)?;
    Ok(is_the_same.unwrap_or(false))
}

/// The stream goes on.
pub(crate) async fn release(
    connection: &mut PgConnection,
    build: Build,
    parked: &Parked,
) -> Result<(), Error> {
    sqlx::query(
        "delete from views.parked
         where tenant = $1
             and view = $2
             and view_version = $3
             and stream = $4",
    )
    .bind(parked.tenant.as_str())
    .bind(build.view.name())
    .bind(build.version)
    .bind(&parked.stream)
    .execute(connection)
    .await
    .map_err(Error::Parked)?;
    Ok(())
}

const TO_RETRY: &str = "
    select
        view,
        tenant,
        stream,
        partition,
        position,
        version,
        event_id,
        event_type,
        schema_version,
        needs_newer_build,
        why,
        retry_asked_at
    from views.parked
    where partition = any($1)
        and retry_asked_at is not null
        and (view, view_version) in (select * from unnest($2::text[], $3::integer[]))
    order by position
    limit $4
";

/// Those of some partitions that somebody wants tried again, the first of them.
pub(crate) async fn to_retry(
    pool: &PgPool,
    builds: &Builds,
    partitions: &[Partition],
) -> Result<Vec<Parked>, Error> {
    let rows = sqlx::query(TO_RETRY)
        .bind(partitions)
        .bind(builds.names())
        .bind(builds.versions())
        .bind(RETRIES_PER_READ)
        .fetch_all(pool)
        .await
        .map_err(error::unless_unprepared(Error::Parked))?;
    rows.iter().map(parked_of).collect()
}

fn parked_of(row: &PgRow) -> Result<Parked, Error> {
    let name: &str = row.get("view");
    let view = View::named(name).expect("the statement returns views that it was given");
    Ok(Parked {
        view,
        tenant: tenant_of(row)?,
        stream: row.get("stream"),
        partition: row.get("partition"),
        position: row.get("position"),
        version: row.get("version"),
        event_id: row.get("event_id"),
        event_type: row.get("event_type"),
        schema_version: row.get("schema_version"),
        why: Why {
            needs_newer_build: row.get("needs_newer_build"),
            text: row.get("why"),
        },
        asked_at: row.get("retry_asked_at"),
    })
}

fn tenant_of(row: &PgRow) -> Result<Tenant, Error> {
    let tenant: &str = row.get("tenant");
    Tenant::parse(tenant).map_err(|error| Error::Parked(sqlx::Error::Decode(error.into())))
}
