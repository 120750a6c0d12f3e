//! Jobs as they lie in `work.jobs`.

use std::{num::TryFromIntError, time::Duration};

use chrono::{DateTime, Utc};
use foldline_domain::{
    Command,
    tasks::{NoteDueDayPassed, SuggestCompletion, TaskCommand},
};
use foldline_events::{Recorded, Tenant};
use sqlx::{PgConnection, PgPool, Row, postgres::PgRow};
use uuid::Uuid;

use super::{Counts, Error, over};
use crate::reactions::{Ordered, Reaction};

/// How long a job is left to who took it without hearing of them; others take it after that.
const TAKEN_SECONDS: f64 = 30.0;

/// What there is to do. Its name stands in `work.jobs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A command that a reaction orders.
    Reaction(Reaction),
    /// See `worker/housekeeping.rs`.
    Housekeeping,
}

/// How jobs of a kind are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Policy {
    /// How many of them one process runs at once, of all that it may.
    pub concurrent_max: usize,
    /// How long one may take before it counts as failed.
    pub time_max: Duration,
    /// How often it is tried again before it is parked.
    pub retries_max: i32,
    /// How long after the first failure it is tried again.
    pub backoff: Duration,
    /// How many times longer it takes after each further one.
    pub backoff_factor: u32,
}

impl Policy {
    pub const DEFAULT: Self = Self {
        concurrent_max: super::JOBS_CONCURRENT_MAX,
        time_max: Duration::from_secs(300),
        retries_max: 3,
        backoff: Duration::from_secs(10),
        backoff_factor: 4,
    };

    pub(super) fn tries(&self) -> i32 {
        self.retries_max + 1
    }

    /// How long a job waits that failed at this attempt, the first being 1; `None` when it was the last.
    pub(super) fn wait(&self, attempt: i32) -> Option<Duration> {
        let before = u32::try_from(attempt - 1).unwrap_or(0);
        (attempt <= self.retries_max)
            .then(|| self.backoff * self.backoff_factor.saturating_pow(before))
    }
}

impl Kind {
    /// In the order in which they are looked for.
    pub const ALL: [Self; 3] = [
        Self::Reaction(Reaction::NoteDueDayPassed),
        Self::Reaction(Reaction::SuggestCompletion),
        Self::Housekeeping,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Reaction(reaction) => reaction.name(),
            Self::Housekeeping => "housekeeping",
        }
    }

    fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// How it is tried unless said otherwise.
    pub fn policy(self) -> Policy {
        match self {
            // At midnight there may be many of them, behind which nothing else should have to wait.
            Self::Reaction(Reaction::NoteDueDayPassed) => Policy {
                concurrent_max: super::JOBS_CONCURRENT_MAX - 1,
                ..Policy::DEFAULT
            },
            Self::Reaction(Reaction::SuggestCompletion) => Policy::DEFAULT,
            Self::Housekeeping => Policy {
                concurrent_max: 1,
                ..Policy::DEFAULT
            },
        }
    }
}

/// A job to be ordered.
#[derive(Debug, Clone)]
pub(super) struct NewJob {
    pub(super) id: Uuid,
    pub(super) kind: Kind,
    /// Whose, of which aggregate, and because of which event.
    cause: Option<(Tenant, Uuid, Cause)>,
    input: String,
    not_before: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone)]
struct Cause {
    correlation_id: Uuid,
    event_id: Uuid,
    trace_context: Option<String>,
}

impl NewJob {
    pub(super) fn of_reaction(reaction: Reaction, event: &Recorded, ordered: &Ordered) -> Self {
        let cause = Cause {
            correlation_id: event.correlation_id,
            event_id: event.id,
            trace_context: event.trace_context.clone(),
        };
        Self {
            id: reaction.order_id(event.id),
            kind: Kind::Reaction(reaction),
            cause: Some((event.tenant.clone(), ordered.aggregate, cause)),
            input: ordered.command.canonical_data(),
            not_before: ordered.not_before,
        }
    }

    pub(super) fn of_schedule(id: Uuid, kind: Kind) -> Self {
        Self {
            id,
            kind,
            cause: None,
            input: "{}".to_owned(),
            not_before: None,
        }
    }
}

/// One that was ordered before is left as it is.
const ORDER: &str = "
    insert into work.jobs
        (job_id, kind, tenant, aggregate, input, correlation_id, causation_id, trace_context, run_at)
    select
        job_id, kind, tenant, aggregate, input::json, correlation_id, causation_id, trace_context,
        coalesce(not_before, clock_timestamp())
    from unnest(
        $1::uuid[], $2::text[], $3::text[], $4::uuid[], $5::text[], $6::uuid[], $7::uuid[], $8::text[], $9::timestamptz[]
    ) as ordered
        (job_id, kind, tenant, aggregate, input, correlation_id, causation_id, trace_context, not_before)
    on conflict on constraint jobs_pkey do nothing
";

pub(super) async fn order(connection: &mut PgConnection, jobs: &[NewJob]) -> Result<(), Error> {
    if jobs.is_empty() {
        return Ok(());
    }
    let cause = |job: &NewJob| job.cause.clone();
    let of_cause = |of: fn(Cause) -> Uuid| -> Vec<Option<Uuid>> {
        let of_job = |job: &NewJob| cause(job).map(|(.., cause)| of(cause));
        jobs.iter().map(of_job).collect()
    };
    let tenants = jobs.iter().map(|job| {
        let (tenant, ..) = job.cause.as_ref()?;
        Some(tenant.as_str().to_owned())
    });
    let aggregates = jobs
        .iter()
        .map(|job| Some(job.cause.as_ref()?.1))
        .collect::<Vec<_>>();
    let traces = jobs
        .iter()
        .map(|job| job.cause.as_ref()?.2.trace_context.clone());
    sqlx::query(ORDER)
        .bind(jobs.iter().map(|job| job.id).collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.kind.name()).collect::<Vec<_>>())
        .bind(tenants.collect::<Vec<_>>())
        .bind(aggregates)
        .bind(
            jobs.iter()
                .map(|job| job.input.as_str())
                .collect::<Vec<_>>(),
        )
        .bind(of_cause(|cause| cause.correlation_id))
        .bind(of_cause(|cause| cause.event_id))
        .bind(traces.collect::<Vec<_>>())
        .bind(jobs.iter().map(|job| job.not_before).collect::<Vec<_>>())
        .execute(connection)
        .await
        .map_err(Error::of_work)?;
    Ok(())
}

/// A job that this process runs.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) id: Uuid,
    pub(super) kind: Kind,
    pub(super) attempt: i32,
    pub(super) what: What,
}

#[derive(Debug, Clone)]
pub(super) enum What {
    Command(Box<Order>),
    Housekeeping,
    /// A row that somebody else wrote, or an earlier build.
    Unreadable(String),
}

/// A command as it was ordered.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) tenant: Tenant,
    pub(super) aggregate: Uuid,
    pub(super) command: Command,
    pub(super) correlation_id: Option<Uuid>,
    pub(super) causation_id: Option<Uuid>,
    pub(super) trace_context: Option<String>,
}

/// Those whose time has come, the longest waiting first, of each kind as many as there is room for. What others take just now
/// is left to them; what somebody took and never came back from is taken again.
const TAKE: &str = "
    -- Found once and for all: looked for again in the middle, the rows that were taken would be passed over for others.
    with due as materialized (
        select found.job_id
        from unnest($1::text[], $2::bigint[], $3::integer[]) as wanted (kind, room, tries)
        cross join lateral (
            select
                job_id,
                run_at
            from work.jobs
            where kind = wanted.kind
                and parked_at is null
                and run_at <= clock_timestamp()
                and (taken_until is null or taken_until < clock_timestamp())
                and attempts < wanted.tries
            order by run_at
            limit wanted.room
            for update skip locked
        ) as found
        order by found.run_at
        limit $4
    )
    update work.jobs
    set attempts = attempts + 1,
        taken_until = clock_timestamp() + make_interval(secs => $5)
    from due
    where jobs.job_id = due.job_id
    returning
        jobs.job_id, kind, tenant, aggregate, input::text, correlation_id, causation_id, trace_context, attempts
";

/// Takes jobs that are due: of each kind at most so many, and in all at most `room`.
pub(super) async fn take(
    pool: &PgPool,
    of_kinds: &[(Kind, usize, Policy)],
    room: usize,
) -> Result<Vec<Job>, Error> {
    let rooms: Result<Vec<i64>, TryFromIntError> = of_kinds
        .iter()
        .map(|(_, room, _)| i64::try_from(*room))
        .collect();
    let kinds: Vec<&str> = of_kinds.iter().map(|(kind, ..)| kind.name()).collect();
    let query = sqlx::query(TAKE)
        .bind(kinds)
        .bind(rooms.unwrap_or_default())
        .bind(
            of_kinds
                .iter()
                .map(|(.., policy)| policy.tries())
                .collect::<Vec<_>>(),
        )
        .bind(i64::try_from(room).unwrap_or(1))
        .bind(TAKEN_SECONDS);
    let rows = over(pool, async |on| query.fetch_all(on).await).await?;
    Ok(rows.iter().filter_map(read).collect())
}

fn read(row: &PgRow) -> Option<Job> {
    let kind = Kind::named(row.get("kind"))?;
    let what = match kind {
        Kind::Housekeeping => What::Housekeeping,
        Kind::Reaction(reaction) => match ordered(reaction, row) {
            Ok(order) => What::Command(Box::new(order)),
            Err(why) => What::Unreadable(why),
        },
    };
    Some(Job {
        id: row.get("job_id"),
        kind,
        attempt: row.get("attempts"),
        what,
    })
}

fn ordered(reaction: Reaction, row: &PgRow) -> Result<Order, String> {
    let tenant: Option<String> = row.get("tenant");
    let tenant = tenant.ok_or("it names no tenant")?;
    let input: String = row.get("input");
    let command = match reaction {
        Reaction::NoteDueDayPassed => {
            let input: NoteDueDayPassed =
                serde_json::from_str(&input).map_err(|error| error.to_string())?;
            TaskCommand::NoteDueDayPassed(input)
        }
        Reaction::SuggestCompletion => {
            let input: SuggestCompletion =
                serde_json::from_str(&input).map_err(|error| error.to_string())?;
            TaskCommand::SuggestCompletion(input)
        }
    };
    let aggregate: Option<Uuid> = row.get("aggregate");
    Ok(Order {
        tenant: Tenant::parse(&tenant).map_err(|error| error.to_string())?,
        aggregate: aggregate.ok_or("it names no aggregate")?,
        command: Command::Task(command),
        correlation_id: row.get("correlation_id"),
        causation_id: row.get("causation_id"),
        trace_context: row.get("trace_context"),
    })
}

/// Says of jobs that are under way that somebody is at them still.
pub(super) async fn keep(pool: &PgPool, jobs: &[(Uuid, i32)]) -> Result<(), Error> {
    let (ids, attempts): (Vec<Uuid>, Vec<i32>) = jobs.iter().copied().unzip();
    let query = sqlx::query(
        "update work.jobs
         set taken_until = clock_timestamp() + make_interval(secs => $3)
         from unnest($1::uuid[], $2::integer[]) as kept (job_id, attempts)
         where jobs.job_id = kept.job_id
           and jobs.attempts = kept.attempts
           and taken_until is not null",
    )
    .bind(ids)
    .bind(attempts)
    .bind(TAKEN_SECONDS);
    over(pool, async |on| query.execute(on).await).await?;
    Ok(())
}

/// How a job ended. Nothing, when somebody else has begun it meanwhile: nothing was heard of us for too long.
pub(super) async fn done(pool: &PgPool, job: &Job) -> Result<(), Error> {
    let query = sqlx::query("delete from work.jobs where job_id = $1 and attempts = $2")
        .bind(job.id)
        .bind(job.attempt);
    over(pool, async |on| query.execute(on).await).await?;
    Ok(())
}

/// It is tried again after `wait`, and this was no attempt: nothing was wrong with the job.
pub(super) async fn put_off(
    pool: &PgPool,
    job: &Job,
    why: &str,
    wait: Duration,
) -> Result<(), Error> {
    let query = sqlx::query(
        "update work.jobs
         set failure = $3,
             taken_until = null,
             attempts = attempts - 1,
             run_at = clock_timestamp() + make_interval(secs => $4)
         where job_id = $1
           and attempts = $2",
    )
    .bind(job.id)
    .bind(job.attempt)
    .bind(why)
    .bind(wait.as_secs_f64());
    over(pool, async |on| query.execute(on).await).await?;
    Ok(())
}

/// It is tried again after `wait`, or parked.
pub(super) async fn failed(
    pool: &PgPool,
    job: &Job,
    why: &str,
    wait: Option<Duration>,
) -> Result<(), Error> {
    let query = sqlx::query(
        "update work.jobs
         set failure = $3,
             taken_until = null,
             run_at = clock_timestamp() + make_interval(secs => coalesce($4, 0)),
             parked_at = case when $4 is null then clock_timestamp() end
         where job_id = $1
           and attempts = $2",
    )
    .bind(job.id)
    .bind(job.attempt)
    .bind(why)
    .bind(wait.map(|wait| wait.as_secs_f64()));
    over(pool, async |on| query.execute(on).await).await?;
    Ok(())
}

/// Gives jobs back that were not begun after all, or whose end is not waited for.
pub(super) async fn give_back(pool: &PgPool, jobs: &[(Uuid, i32)]) -> Result<(), Error> {
    let (ids, attempts): (Vec<Uuid>, Vec<i32>) = jobs.iter().copied().unzip();
    let query = sqlx::query(
        "update work.jobs
         set taken_until = null,
             attempts = jobs.attempts - 1
         from unnest($1::uuid[], $2::integer[]) as given (job_id, attempts)
         where jobs.job_id = given.job_id
           and jobs.attempts = given.attempts",
    )
    .bind(ids)
    .bind(attempts);
    over(pool, async |on| query.execute(on).await).await?;
    Ok(())
}

/// Parks jobs that nobody came back from, as often as they may be tried: whoever runs them dies of it.
pub(super) async fn park_deadly(
    connection: &mut PgConnection,
    policy: fn(Kind) -> Policy,
) -> Result<(), Error> {
    let kinds: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
    let tries: Vec<i32> = (Kind::ALL.iter())
        .map(|kind| policy(*kind).tries())
        .collect();
    sqlx::query(
        "update work.jobs
         set parked_at = clock_timestamp(),
             taken_until = null,
             failure = 'whoever ran it did not come back to say how it ended, as often as it was tried'
         from unnest($1::text[], $2::integer[]) as bound (kind, tries)
         where jobs.kind = bound.kind
           and jobs.attempts >= bound.tries
           and jobs.parked_at is null
           and jobs.run_at <= clock_timestamp()
           and (jobs.taken_until is null or jobs.taken_until < clock_timestamp())",
    )
    .bind(kinds)
    .bind(tries)
    .execute(connection)
    .await
    .map_err(Error::of_work)?;
    Ok(())
}

/// How many jobs of a kind and state are counted: what a person must know is how many parked ones there are, and of others
/// whether they are many.
const COUNTED_MAX: i64 = 100_000;

pub(super) async fn count(connection: &mut PgConnection) -> Result<Counts, Error> {
    let row = sqlx::query(
        "with kinds as (
             select kind
             from unnest($1::text[]) as known (kind)
         )
         select
             (
                 select count(*)
                 from kinds
                 cross join lateral (
                     select 1
                     from work.jobs
                     where jobs.kind = kinds.kind
                         and parked_at is null
                         and run_at > clock_timestamp()
                     limit $2
                 ) as found
             ) as waiting,
             (
                 select count(*)
                 from kinds
                 cross join lateral (
                     select 1
                     from work.jobs
                     where jobs.kind = kinds.kind
                         and parked_at is null
                         and run_at <= clock_timestamp()
                     limit $2
                 ) as found
             ) as due,
             (
                 select count(*)
                 from (
                     select 1
                     from work.jobs
                     where parked_at is not null
                     limit $2
                 ) as found
             ) as parked",
    )
    .bind(Kind::ALL.map(Kind::name))
    .bind(COUNTED_MAX)
    .fetch_one(connection)
    .await
    .map_err(Error::of_work)?;
    Ok(Counts {
        waiting: row.get("waiting"),
        due: row.get("due"),
        parked: row.get("parked"),
    })
}

/// How long the job that nobody runs has waited whose time came first; 0 when there is none.
pub(super) async fn unbegun_seconds(connection: &mut PgConnection) -> Result<f64, Error> {
    sqlx::query_scalar(
        "select greatest(0, extract(epoch from clock_timestamp() - min(found.run_at)))::float8
         from unnest($1::text[]) as known (kind)
         cross join lateral (
             select run_at
             from work.jobs
             where jobs.kind = known.kind
                 and parked_at is null
                 and (taken_until is null or taken_until < clock_timestamp())
             order by run_at
             limit 1
         ) as found",
    )
    .bind(Kind::ALL.map(Kind::name))
    .fetch_one(connection)
    .await
    .map_err(Error::of_work)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_is_tried_three_times_more_each_time_later_and_then_parked() {
        let waits: Vec<Option<u64>> = (1..=5)
            .map(|attempt| Some(Policy::DEFAULT.wait(attempt)?.as_secs()))
            .collect();
        assert_eq!(waits, [Some(10), Some(40), Some(160), None, None]);
    }

    #[test]
    fn no_two_kinds_of_jobs_have_one_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::named(kind.name()), Some(kind));
        }
    }
}
