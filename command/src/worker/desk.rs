//! What people ask of jobs, and want done with them: `foldline jobs`; and how the worker stands: `foldline status`.

use chrono::{DateTime, Utc};
use foldline_events::Position;
use sqlx::{FromRow, PgConnection};
use uuid::Uuid;

use super::{Counts, Error, jobs};

/// A job as it stands.
#[derive(Debug, Clone, PartialEq, FromRow)]
pub struct Entry {
    pub job_id: Uuid,
    pub kind: String,
    pub tenant: Option<String>,
    pub aggregate: Option<Uuid>,
    /// `waiting` for its time, `due` or under way, or `parked`.
    pub state: String,
    pub ordered_at: DateTime<Utc>,
    pub run_at: DateTime<Utc>,
    pub attempts: i32,
    /// Why the last attempt failed.
    pub failure: Option<String>,
    pub parked_at: Option<DateTime<Utc>>,
}

/// Which jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Waiting,
    Due,
    Parked,
}

impl State {
    fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Due => "due",
            Self::Parked => "parked",
        }
    }
}

/// The jobs of a state, or of any, whose time comes first: at most so many.
pub async fn list(
    connection: &mut PgConnection,
    state: Option<State>,
    limit: u32,
) -> Result<Vec<Entry>, Error> {
    sqlx::query_as(
        "select *
         from (
             select
                 job_id, kind, tenant, aggregate,
                 case
                     when parked_at is not null then 'parked'
                     when run_at > clock_timestamp() then 'waiting'
                     else 'due'
                 end as state,
                 ordered_at, run_at, attempts, failure, parked_at
             from work.jobs
         ) as job
         where $1::text is null
            or state = $1
         order by
             run_at,
             job_id
         limit $2",
    )
    .bind(state.map(State::name))
    .bind(i64::from(limit))
    .fetch_all(connection)
    .await
    .map_err(Error::of_work)
}

/// Has one parked job tried again from the beginning, or all of them; says how many there were.
pub async fn retry(connection: &mut PgConnection, job: Option<Uuid>) -> Result<u64, Error> {
    let done = sqlx::query(
        "update work.jobs
         set parked_at = null,
             attempts = 0,
             run_at = clock_timestamp()
         where parked_at is not null
           and ($1::uuid is null or job_id = $1)",
    )
    .bind(job)
    .execute(connection)
    .await
    .map_err(Error::of_work)?;
    Ok(done.rows_affected())
}

/// Gives a parked job up for good; says whether there was one.
pub async fn discard(connection: &mut PgConnection, job: Uuid) -> Result<bool, Error> {
    let done = sqlx::query("delete from work.jobs where job_id = $1 and parked_at is not null")
        .bind(job)
        .execute(connection)
        .await
        .map_err(Error::of_work)?;
    Ok(done.rows_affected() > 0)
}

/// How the worker stands, whether or not one runs.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// Up to where each reaction that was ever run has answered the log, as it was noted last: every 15 s where it moves.
    pub reactions: Vec<(String, Position)>,
    pub jobs: Counts,
    /// How long a job has waited, since its time came, that nobody runs: the longest.
    pub unbegun_seconds: f64,
}

pub async fn standing(connection: &mut PgConnection) -> Result<Standing, Error> {
    let reactions = sqlx::query_as("select name, position from work.reactions order by name")
        .fetch_all(&mut *connection)
        .await
        .map_err(Error::of_work)?;
    Ok(Standing {
        reactions,
        jobs: jobs::count(connection).await?,
        unbegun_seconds: jobs::unbegun_seconds(connection).await?,
    })
}
