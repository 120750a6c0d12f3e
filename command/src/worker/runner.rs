//! Runs jobs whose time has come, a few at once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use foldline_gate::{Caller, Role};
use sqlx::PgPool;
use tokio::{
    sync::watch,
    task::{Id, JoinSet},
};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{
    Error, Means, Status, housekeeping,
    jobs::{self, Job, Kind, Order, Policy, What},
};
use crate::{Failure, Handler, Request, failure::chain};

/// How many jobs one process runs at once.
pub const JOBS_CONCURRENT_MAX: usize = 4;
/// How often it looks for jobs whose time has come. One that this process orders to be done at once is begun at once.
const POLL_MS: u64 = 1_000;
/// How long jobs that are under way may take to end when the process is to.
const END_SECONDS_MAX: u64 = 10;
/// How often it says of jobs that are under way that it is at them still.
const KEEP_INTERVAL_MS: u64 = 10_000;
/// How long a job waits whose command the log could not take.
const PUT_OFF_MS: u64 = 10_000;
/// How long to wait after the database did not answer.
const FAILURE_PAUSE_MS: u64 = 1_000;

/// Runs jobs until `shutdown`. `ordered` is marked when there are new ones.
pub(super) async fn run(
    means: &Means,
    (policy, status): (fn(Kind) -> Policy, &watch::Sender<Status>),
    mut ordered: watch::Receiver<()>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let mut running = Running::default();
    let mut ended = Ok(());
    let mut kept_at = Instant::now();
    while !shutdown.is_cancelled() {
        let mut pause_ms = POLL_MS;
        let turn = async {
            if kept_at.elapsed() >= Duration::from_millis(KEEP_INTERVAL_MS) {
                jobs::keep(&means.pool, &running.under_way()).await?;
                kept_at = Instant::now();
            }
            running.begin(means, policy).await
        };
        match turn.await {
            Ok(()) => cannot_take(status, None),
            Err(error) if error.is_final() => {
                ended = Err(error);
                break;
            }
            Err(error) => {
                cannot_take(status, Some(chain(&error)));
                pause_ms = FAILURE_PAUSE_MS;
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = running.one_ended() => {}
            // The leader's end ends the process too.
            _ = ordered.changed() => {}
            () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
        }
    }
    running.end(&means.pool).await;
    ended
}

/// An outage is said once, not every second.
fn cannot_take(status: &watch::Sender<Status>, why: Option<String>) {
    if let Some(why) = &why
        && status.borrow().jobs_failure.is_none()
    {
        tracing::warn!(error = why, "cannot take jobs");
    }
    status.send_if_modified(|status| {
        let is_new = status.jobs_failure != why;
        status.jobs_failure = why;
        is_new
    });
}

/// What this process has begun.
#[derive(Default)]
struct Running {
    tasks: JoinSet<()>,
    jobs: BTreeMap<Id, (Uuid, Kind, i32)>,
}

impl Running {
    /// Begins as many jobs as there is room for.
    async fn begin(&mut self, means: &Means, policy: fn(Kind) -> Policy) -> Result<(), Error> {
        let room = JOBS_CONCURRENT_MAX.saturating_sub(self.jobs.len());
        let of_kinds: Vec<(Kind, usize, Policy)> = (Kind::ALL.into_iter())
            .map(|kind| {
                let of_kind = self.jobs.values().filter(|(_, of, _)| *of == kind).count();
                let policy = policy(kind);
                let room = policy.concurrent_max.saturating_sub(of_kind).min(room);
                (kind, room, policy)
            })
            .collect();
        if room == 0 {
            return Ok(());
        }
        for job in jobs::take(&means.pool, &of_kinds, room).await? {
            let key = (job.id, job.kind, job.attempt);
            let work = run_one(means.clone(), job, policy(key.1));
            let task = self.tasks.spawn(work);
            self.jobs.insert(task.id(), key);
        }
        Ok(())
    }

    /// Resolves when one has ended; never, when none is under way. Cancel safe.
    async fn one_ended(&mut self) {
        match self.tasks.join_next_with_id().await {
            Some(Ok((id, ()))) => {
                self.jobs.remove(&id);
            }
            Some(Err(error)) => {
                // It is begun again when nothing was heard of it for a while.
                tracing::error!(%error, "a job did not come to its end");
                self.jobs.remove(&error.id());
            }
            None => std::future::pending().await,
        }
    }

    fn under_way(&self) -> Vec<(Uuid, i32)> {
        let jobs = self.jobs.values();
        jobs.map(|(id, _, attempt)| (*id, *attempt)).collect()
    }

    /// Lets what is under way end, and gives back what does not in time.
    async fn end(mut self, pool: &PgPool) {
        let patience = Duration::from_secs(END_SECONDS_MAX);
        let ending = async {
            while !self.jobs.is_empty() {
                self.one_ended().await;
            }
        };
        let is_late = tokio::time::timeout(patience, ending).await.is_err();
        if !is_late {
            return;
        }
        self.tasks.shutdown().await;
        if let Err(error) = jobs::give_back(pool, &self.under_way()).await {
            tracing::warn!(
                error = chain(&error),
                "jobs were not given back; others begin them a little later"
            );
        }
    }
}

/// Runs a job and writes down how it ended.
async fn run_one(means: Means, job: Job, policy: Policy) {
    let began = Instant::now();
    let pool = &means.pool;
    let ended = tokio::time::timeout(policy.time_max, work(&means, &job)).await;
    let ended = ended.unwrap_or_else(|_| {
        let seconds = policy.time_max.as_secs();
        Err(Trouble::OfJob(format!("it took more than {seconds} s")))
    });
    fail::fail_point!("worker_before_done", |_| std::process::abort());
    let kind = job.kind.name();
    metrics::histogram!("foldline_worker_job_seconds", "kind" => kind)
        .record(began.elapsed().as_secs_f64());
    let (outcome, written) = match ended {
        Ok(()) => ("done", jobs::done(pool, &job).await),
        Err(Trouble::OfLog(why)) => {
            tracing::warn!(job = %job.id, kind, why, "a job is put off");
            let wait = Duration::from_millis(PUT_OFF_MS);
            ("put off", jobs::put_off(pool, &job, &why, wait).await)
        }
        Err(Trouble::OfJob(why)) => {
            let wait = policy.wait(job.attempt);
            let outcome = if wait.is_some() { "failed" } else { "parked" };
            tracing::warn!(job = %job.id, kind, attempt = job.attempt, why, outcome, "a job failed");
            (outcome, jobs::failed(pool, &job, &why, wait).await)
        }
    };
    metrics::counter!("foldline_worker_jobs_total", "kind" => kind, "outcome" => outcome)
        .increment(1);
    if let Err(error) = written {
        tracing::warn!(job = %job.id, kind, error = chain(&error), "how a job ended was not written down; it is begun again");
    }
}

/// Why a job was not done.
enum Trouble {
    /// It may be the job's own fault, so it is not tried for ever.
    OfJob(String),
    /// The log takes no commands of anybody just now.
    OfLog(String),
}

async fn work(means: &Means, job: &Job) -> Result<(), Trouble> {
    match &job.what {
        What::Command(order) => command(&means.handler, job, order).await,
        What::Housekeeping => {
            let Means { pool, log, .. } = means;
            let kept = housekeeping::keep_house(pool, log, means.command_id_days).await;
            kept.map_err(|error| Trouble::OfJob(chain(&error)))
        }
        What::Unreadable(why) => Err(Trouble::OfJob(format!(
            "what it asks for cannot be read: {why}"
        ))),
    }
}

/// Gives the command, under the job's own id. It stores the reaction as its actor.
async fn command(handler: &Handler, job: &Job, order: &Order) -> Result<(), Trouble> {
    let caller = Caller {
        tenant: order.tenant.clone(),
        actor: format!("reaction:{}", job.kind.name()),
        role: Role::Member,
        // It is not a token's; nothing lives long on it.
        expires_at: DateTime::<Utc>::MAX_UTC,
    };
    let request = Request {
        id: job.id,
        command: order.command.clone(),
        aggregate: order.aggregate,
        at: None,
        expected_version: None,
        trace_context: order.trace_context.clone(),
        correlation_id: order.correlation_id,
        causation_id: order.causation_id,
    };
    match handler.handle(&caller, request).await {
        Ok(_) => Ok(()),
        Err(failure) if is_of_log(&failure) => Err(Trouble::OfLog(chain(&failure))),
        Err(failure) => Err(Trouble::OfJob(chain(&failure))),
    }
}

/// Whether the log would have taken no other command either.
fn is_of_log(failure: &Failure) -> bool {
    use foldline_log::Error as Log;
    let Failure::Log(error) = failure else {
        return false;
    };
    matches!(
        error,
        Log::Unavailable { .. }
            | Log::Overloaded { .. }
            | Log::Unanswered
            | Log::Closed
            | Log::Read(_)
            | Log::AnotherLog { .. }
            | Log::AnotherEpoch { .. }
    )
}
