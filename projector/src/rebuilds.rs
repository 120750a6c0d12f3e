//! Rows that are to be folded again in their place: what is wished, and what became of it.
//!
//! A wish is written down here, by whoever may write the tables; the projector that holds the partition carries it out, see
//! `writer/rebuild.rs`. It is kept for a while after, with who wished it.

use chrono::{DateTime, Utc};
use foldline_events::{PARTITIONS, Partition, Tenant, partition_of};
use sqlx::{PgConnection, PgPool, Row as _, postgres::PgRow};

use crate::{Build, Builds, Error, View, error::unless_unprepared};

/// For how many days it is remembered what became of one.
const REMEMBERED_DAYS: i32 = 30;

/// Which rows of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Which {
    pub view: View,
    pub tenant: Tenant,
    /// Those of all its streams, where there is none.
    pub stream: Option<String>,
}

impl Which {
    /// Whether the view folds such streams at all.
    pub fn is_folded(&self) -> bool {
        let stream = self.stream.as_deref();
        stream.is_none_or(|stream| self.view.folds(stream))
    }

    /// The partitions that its rows lie in.
    fn partitions(&self) -> Vec<Partition> {
        match &self.stream {
            Some(stream) => vec![partition_of(&self.tenant, stream)],
            None => (0..PARTITIONS).collect(),
        }
    }

    /// As the table has it.
    fn stream_or_all(&self) -> &str {
        self.stream.as_deref().unwrap_or_default()
    }
}

/// What a projector is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) which: Which,
    pub(crate) partition: Partition,
    pub(crate) asked_at: DateTime<Utc>,
}

/// What has become of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// In how many partitions nobody has come to it yet.
    pub to_do: usize,
    /// In how many the rows were replaced.
    pub done: usize,
    /// From how many events they were folded.
    pub events: i64,
    /// In which they are as they were, and why.
    pub refused: Vec<(Partition, String)>,
}

const ASK: &str = "
    with forgotten as (
        delete from views.rebuilds
        where asked_at < now() - make_interval(days => $6)
    )
    insert into views.rebuilds as r (view, view_version, tenant, stream, partition, asked_by, asked_at)
    select
        $1,
        a.version,
        $2,
        $3,
        p.partition,
        $5,
        statement_timestamp()
    from unnest($4::smallint[]) as p (partition)
    join views.active a
        on a.view = $1
    on conflict on constraint rebuilds_pkey do update
    set asked_by = excluded.asked_by,
        asked_at = excluded.asked_at,
        ended_at = null,
        events = null,
        why_not = null
    returning asked_at
";

/// Asks for rows to be folded again; says when it was asked, by the database's time.
pub async fn ask(
    connection: &mut PgConnection,
    which: &Which,
    by: &str,
) -> Result<DateTime<Utc>, Error> {
    let asked: Vec<DateTime<Utc>> = sqlx::query_scalar(ASK)
        .bind(which.view.name())
        .bind(which.tenant.as_str())
        .bind(which.stream_or_all())
        .bind(which.partitions())
        .bind(by)
        .bind(REMEMBERED_DAYS)
        .fetch_all(connection)
        .await
        .map_err(unless_unprepared(Error::Rebuilds))?;
    Ok(*asked
        .first()
        .expect("rows lie in a partition at least, and each is returned"))
}

/// What has become of what was asked for at an instant, or since by somebody else.
pub async fn outcome(
    connection: &mut PgConnection,
    which: &Which,
    asked_at: DateTime<Utc>,
) -> Result<Outcome, Error> {
    let rows = sqlx::query(
        "select
             partition,
             ended_at is not null as ended,
             coalesce(events, 0) as events,
             why_not
         from views.rebuilds
         where tenant = $1
             and view = $2
             and stream = $3
             and asked_at >= $4
         order by partition",
    )
    .bind(which.tenant.as_str())
    .bind(which.view.name())
    .bind(which.stream_or_all())
    .bind(asked_at)
    .fetch_all(connection)
    .await
    .map_err(unless_unprepared(Error::Rebuilds))?;
    let mut outcome = Outcome::default();
    for row in rows {
        let why_not: Option<String> = row.get("why_not");
        match (row.get("ended"), why_not) {
            (false, _) => outcome.to_do += 1,
            (true, Some(why)) => outcome.refused.push((row.get("partition"), why)),
            (true, None) => {
                outcome.done += 1;
                outcome.events += row.get::<i64, _>("events");
            }
        }
    }
    Ok(outcome)
}

/// The first wish that concerns some partitions, of a view that has its indexes.
pub(crate) async fn to_do(
    pool: &PgPool,
    builds: &Builds,
    partitions: &[Partition],
) -> Result<Option<Wish>, Error> {
    let row = sqlx::query(
        "select
             view,
             tenant,
             stream,
             partition,
             asked_at
         from views.rebuilds r
         where partition = any($1)
             and ended_at is null
             and (view, view_version) in (select * from unnest($2::text[], $3::integer[]))
             and not exists (
                 select
                 from views.late_indexes l
                 where l.view = r.view
                     and l.version = r.view_version
             )
         order by
             asked_at,
             partition
         limit 1",
    )
    .bind(partitions)
    .bind(builds.names())
    .bind(builds.versions())
    .fetch_optional(pool)
    .await
    .map_err(unless_unprepared(Error::Rebuilds))?;
    row.as_ref().map(wish).transpose()
}

fn wish(row: &PgRow) -> Result<Wish, Error> {
    let (name, tenant): (&str, &str) = (row.get("view"), row.get("tenant"));
    let view = View::named(name).expect("the statement returns views that it was given");
    let tenant = Tenant::parse(tenant)
        .map_err(|error| Error::Rebuilds(sqlx::Error::Decode(error.into())))?;
    let stream: String = row.get("stream");
    Ok(Wish {
        which: Which {
            view,
            tenant,
            stream: (!stream.is_empty()).then_some(stream),
        },
        partition: row.get("partition"),
        asked_at: row.get("asked_at"),
    })
}

/// Writes down what became of a wish, unless it was wished anew meanwhile.
pub(crate) async fn end(
    connection: &mut PgConnection,
    build: Build,
    wish: &Wish,
    outcome: Result<usize, String>,
) -> Result<(), Error> {
    let (events, why_not) = match outcome {
        Ok(events) => (i64::try_from(events).ok(), None),
        // The database takes no NUL, and an error may quote one.
        Err(why) => (None, Some(why.replace('\0', "\u{fffd}"))),
    };
    sqlx::query(
        "update views.rebuilds
         set ended_at = now(),
             events = $7,
             why_not = $8
         where tenant = $1
             and view = $2
             and view_version = $3
             and stream = $4
             and partition = $5
             and asked_at = $6
             and ended_at is null",
    )
    .bind(wish.which.tenant.as_str())
    .bind(build.view.name())
    .bind(build.version)
    .bind(wish.which.stream_or_all())
    .bind(wish.partition)
    .bind(wish.asked_at)
    .bind(events)
    .bind(why_not)
    .execute(connection)
    .await
    .map_err(Error::Rebuilds)?;
    Ok(())
}
