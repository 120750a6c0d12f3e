//! What a person does about parked streams: looks at them, asks for another try, leaves an event out.
//!
//! Nothing is folded here. A wish is written down, and the projector that holds the partition carries it out, so that one
//! writer alone ever writes a partition's rows.

use chrono::{DateTime, Utc};
use foldline_events::{Partition, Position, Tenant, Version};
use sqlx::{PgConnection, Row as _, postgres::PgRow};
use uuid::Uuid;

use crate::{Error, View, error};

/// How many parked streams are read, or asked for, at a time.
pub const PAGE: i64 = 500;

/// Which parked streams are meant: all that fit.
#[derive(Debug, Clone, Default)]
pub struct Which {
    pub tenant: Option<Tenant>,
    pub stream: Option<String>,
    pub view: Option<View>,
}

/// A parked stream, as a person sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// What it is in.
    pub place: Place,
    pub partition: Partition,
    /// The first event that is not folded.
    pub position: Position,
    pub version: Version,
    pub event_id: Uuid,
    pub event_type: String,
    pub schema_version: i16,
    pub needs_newer_build: bool,
    pub why: String,
    pub parked_at: DateTime<Utc>,
    pub tried_at: DateTime<Utc>,
    pub attempts: i32,
    pub retry_asked: bool,
}

/// A stream in a version of a view: what entries are sorted by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    pub tenant: String,
    pub view: String,
    pub view_version: i32,
    pub stream: String,
}

/// An event that a view leaves out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    pub view: String,
    pub tenant: String,
    pub stream: String,
    pub version: Version,
    pub position: Position,
    pub event_type: String,
    pub why: String,
    pub reason: String,
    pub skipped_by: String,
    pub skipped_at: DateTime<Utc>,
}

/// What became of those that were asked for at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Outcome {
    /// Nobody has tried these yet.
    pub asked: i64,
    /// These were tried, and wait again.
    pub waiting: i64,
}

const LIST: &str = "
    select parked.*
    from views.parked
    join views.active
        on active.view = parked.view
        and active.version = parked.view_version
    where ($1::text is null or tenant = $1)
        and ($2::text is null or stream = $2)
        and ($3::text is null or parked.view = $3)
        and ($4::text is null or (tenant, parked.view, view_version, stream) > ($4, $5, $6, $7))
    order by
        tenant,
        parked.view,
        view_version,
        stream
    limit $8
";

/// The parked streams after one of them, [`PAGE`] at most, sorted by tenant, view and stream.
pub async fn list(
    connection: &mut PgConnection,
    which: &Which,
    after: Option<&Place>,
) -> Result<Vec<Entry>, Error> {
    let rows = sqlx::query(LIST)
        .bind(which.tenant.as_ref().map(Tenant::as_str))
        .bind(which.stream.as_deref())
        .bind(which.view.map(View::name))
        .bind(after.map(|place| place.tenant.as_str()))
        .bind(after.map(|place| place.view.as_str()))
        .bind(after.map(|place| place.view_version))
        .bind(after.map(|place| place.stream.as_str()))
        .bind(PAGE)
        .fetch_all(connection)
        .await
        .map_err(error::unless_unprepared(Error::Parked))?;
    Ok(rows.iter().map(entry).collect())
}

fn entry(row: &PgRow) -> Entry {
    let asked_at: Option<DateTime<Utc>> = row.get("retry_asked_at");
    Entry {
        place: Place {
            tenant: row.get("tenant"),
            view: row.get("view"),
            view_version: row.get("view_version"),
            stream: row.get("stream"),
        },
        partition: row.get("partition"),
        position: row.get("position"),
        version: row.get("version"),
        event_id: row.get("event_id"),
        event_type: row.get("event_type"),
        schema_version: row.get("schema_version"),
        needs_newer_build: row.get("needs_newer_build"),
        why: row.get("why"),
        parked_at: row.get("parked_at"),
        tried_at: row.get("tried_at"),
        attempts: row.get("attempts"),
        retry_asked: asked_at.is_some(),
    }
}

/// The events of a stream that views leave out.
pub async fn skipped(
    connection: &mut PgConnection,
    tenant: &Tenant,
    stream: &str,
) -> Result<Vec<Skipped>, Error> {
    let rows = sqlx::query(
        "select *
         from views.skipped
         where tenant = $1
             and stream = $2
         order by
             position,
             view",
    )
    .bind(tenant.as_str())
    .bind(stream)
    .fetch_all(connection)
    .await
    .map_err(error::unless_unprepared(Error::Parked))?;
    let skipped = |row: &PgRow| Skipped {
        view: row.get("view"),
        tenant: row.get("tenant"),
        stream: row.get("stream"),
        version: row.get("version"),
        position: row.get("position"),
        event_type: row.get("event_type"),
        why: row.get("why"),
        reason: row.get("reason"),
        skipped_by: row.get("skipped_by"),
        skipped_at: row.get("skipped_at"),
    };
    Ok(rows.iter().map(skipped).collect())
}

/// The database's time.
pub async fn now(connection: &mut PgConnection) -> Result<DateTime<Utc>, Error> {
    let now = sqlx::query_scalar("select clock_timestamp()");
    now.fetch_one(connection).await.map_err(Error::Parked)
}

/// Asks for another try of parked streams that were not tried since an instant, [`PAGE`] at most; says of how many.
pub async fn ask(
    connection: &mut PgConnection,
    which: &Which,
    at: DateTime<Utc>,
) -> Result<i64, Error> {
    sqlx::query_scalar("select views.ask_parked_of($1, $2, $3, $4, $5)")
        .bind(which.tenant.as_ref().map(Tenant::as_str))
        .bind(which.view.map(View::name))
        .bind(which.stream.as_deref())
        .bind(at)
        .bind(PAGE)
        .fetch_one(connection)
        .await
        .map_err(error::unless_unprepared(Error::Parked))
}

/// What has become, since an instant, of what was asked for then.
pub async fn outcome(
    connection: &mut PgConnection,
    which: &Which,
    at: DateTime<Utc>,
) -> Result<Outcome, Error> {
    let (asked, waiting) = sqlx::query_as(
        "select
             count(*) filter (where retry_asked_at is not null),
             count(*) filter (where retry_asked_at is null and tried_at >= $4)
         from views.parked
         join views.active
             on active.view = parked.view
             and active.version = parked.view_version
         where ($1::text is null or tenant = $1)
             and ($2::text is null or stream = $2)
             and ($3::text is null or parked.view = $3)",
    )
    .bind(which.tenant.as_ref().map(Tenant::as_str))
    .bind(which.stream.as_deref())
    .bind(which.view.map(View::name))
    .bind(at)
    .fetch_one(connection)
    .await
    .map_err(error::unless_unprepared(Error::Parked))?;
    Ok(Outcome { asked, waiting })
}

/// Leaves the event out at which a stream waits in a view, and asks for the stream to go on after it. Says whether it waits
/// there.
pub async fn skip(
    connection: &mut PgConnection,
    (tenant, stream): (&Tenant, &str),
    view: View,
    version: Version,
    (reason, by): (&str, &str),
) -> Result<bool, Error> {
    sqlx::query_scalar("select views.skip_parked_of($1, $2, $3, $4, $5, $6)")
        .bind(tenant.as_str())
        .bind(view.name())
        .bind(stream)
        .bind(version)
        .bind(reason)
        .bind(by)
        .fetch_one(connection)
        .await
        .map_err(error::unless_unprepared(Error::Parked))
}
