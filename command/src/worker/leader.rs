//! The leader: the one process that orders jobs, because of events and because of the time.
//!
//! It holds a lock in a session of its own, and writes everything over that very session: a leader whose session has ended,
//! because it stood still or its network did, can write nothing any more, whatever it still believes. So two never order at
//! once, and nothing need be compared.
//!
//! What an event orders and that it was answered are written in one transaction. That nothing followed from some events is
//! noted down now and then; whoever leads next looks at them again, and finds nothing again.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use foldline_events::{Position, Recorded};
use foldline_log::{Log, PAGE_EVENTS_MAX, Selection};
use sqlx::{Connection, PgConnection};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::{
    Counts, Error, Status, WorkerOptions, in_time,
    jobs::{self, NewJob},
    pause,
    schedules::{self, Schedule},
};
use crate::{failure::chain, reactions::Reaction};

/// "work" in ASCII.
const LEADER_LOCK: i64 = 0x776f_726b;
/// How long a process that does not lead waits before it tries again, and one whose lead was lost.
const FOLLOWER_PAUSE_MS: u64 = 1_000;
const FAILURE_PAUSE_MS: u64 = 3_000;
/// How often the leader looks at the clock, and how often it counts the jobs and notes down where it is.
const TICK_MS: u64 = 1_000;
const COUNT_INTERVAL_MS: u64 = 15_000;

/// The server ends the session of a leader that says nothing for so long, or whose machine is gone, and with it its lead.
const SESSION: [(&str, &str); 6] = [
    ("idle_session_timeout", "20s"),
    ("idle_in_transaction_session_timeout", "20s"),
    ("statement_timeout", "20s"),
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "2"),
];

/// Leads, or waits for the lead, until `shutdown`.
pub(super) async fn run(
    log: &Log,
    options: &WorkerOptions,
    status: &watch::Sender<Status>,
    ordered: &watch::Sender<()>,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    loop {
        let ended = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            ended = lead(log, options, status, ordered) => ended,
        };
        let pause_ms = match ended {
            Ok(()) => FOLLOWER_PAUSE_MS,
            Err(error) if error.is_final() => return Err(error),
            Err(error) => {
                let failure = chain(&error);
                tracing::warn!(error = %failure, "the worker's lead was lost");
                metrics::counter!("foldline_worker_leads_lost_total").increment(1);
                follows(status, Some(failure));
                FAILURE_PAUSE_MS
            }
        };
        if !pause(pause_ms, &shutdown).await {
            return Ok(());
        }
    }
}

/// Ends with `Ok` when another process leads.
async fn lead(
    log: &Log,
    options: &WorkerOptions,
    status: &watch::Sender<Status>,
    ordered: &watch::Sender<()>,
) -> Result<(), Error> {
    let connecting = options.direct.clone().options(SESSION);
    let connecting = async { PgConnection::connect_with(&connecting).await };
    let mut session = in_time(async { connecting.await.map_err(Error::Connect) }).await?;
    let asking = sqlx::query_scalar("select pg_try_advisory_lock($1)")
        .bind(LEADER_LOCK)
        .fetch_one(&mut session);
    let leads: bool = in_time(async { asking.await.map_err(Error::of_work) }).await?;
    if !leads {
        follows(status, None);
        return Ok(());
    }
    let beginning = async {
        let head = log.head().await?.position;
        let places = begin(&mut session, head, options.new_from).await?;
        Ok((places, schedules::begin(&mut session).await?))
    };
    let (places, schedules) = in_time(beginning).await?;
    tracing::info!("leads the workers");
    metrics::gauge!("foldline_worker_leader").set(1);
    let mut leader = Leader {
        log,
        options,
        status,
        ordered,
        session,
        noted: places.clone(),
        places,
        schedules,
        counted_at: None,
    };
    leader.go_on().await
}

/// What only the leader knows this process does not say any more.
fn follows(status: &watch::Sender<Status>, failure: Option<String>) {
    let another_leads = failure.is_none();
    status.send_modify(|status| {
        status.leader = false;
        status.failure = failure;
        status.jobs = None;
        status.reactions.clear();
    });
    metrics::gauge!("foldline_worker_leader").set(0);
    // Until another leads, which then says it, nobody is less far behind for it.
    if another_leads {
        for reaction in Reaction::ALL {
            tell_lag(reaction, 0);
        }
        tell_counts(Counts::default());
    }
}

fn tell_lag(reaction: Reaction, events: i64) {
    let name = "foldline_worker_reaction_lag_events";
    gauge(name, "reaction", reaction.name(), events);
}

fn tell_counts(counts: Counts) {
    for (state, count) in [
        ("waiting", counts.waiting),
        ("due", counts.due),
        ("parked", counts.parked),
    ] {
        gauge("foldline_worker_jobs", "state", state, count);
    }
}

struct Leader<'a> {
    log: &'a Log,
    options: &'a WorkerOptions,
    status: &'a watch::Sender<Status>,
    ordered: &'a watch::Sender<()>,
    session: PgConnection,
    /// Up to where each reaction has answered the log, and as far as it was noted down.
    places: BTreeMap<Reaction, Position>,
    noted: BTreeMap<Reaction, Position>,
    schedules: Vec<(Schedule, DateTime<Utc>)>,
    counted_at: Option<Instant>,
}

impl Leader<'_> {
    async fn go_on(&mut self) -> Result<(), Error> {
        let mut wake = self.log.wake();
        let mut ticked_at: Option<Instant> = None;
        loop {
            // What cannot be read stops reactions, and not the clock.
            let is_last = match in_time(self.page()).await {
                Err(error @ Error::Unreadable { .. }) => Err(error),
                paged => Ok(paged?),
            };
            let is_due = |at: Instant| at.elapsed() >= Duration::from_millis(TICK_MS);
            if ticked_at.is_none_or(is_due) {
                in_time(self.tick()).await?;
                ticked_at = Some(Instant::now());
            }
            if is_last? {
                wake.wait().await;
            }
        }
    }

    /// Answers the next events; says whether there are no more for now.
    async fn page(&mut self) -> Result<bool, Error> {
        let Some(&after) = self.places.values().min() else {
            return Ok(true);
        };
        let types = Reaction::ALL.iter().flat_map(|reaction| reaction.types());
        let wanted = Selection {
            types: types.map(|name| (*name).to_owned()).collect(),
            ..Selection::default()
        };
        let page = (self.log)
            .read_selected(&wanted, after, PAGE_EVENTS_MAX)
            .await?;
        let mut jobs = Vec::new();
        // What comes before an event that cannot be read is answered first.
        let mut through = page.through;
        let mut unreadable = None;
        for event in &page.events {
            match self.answer(event, &mut jobs) {
                Ok(()) => {}
                Err(error) => {
                    through = event.position - 1;
                    unreadable = Some(error);
                    break;
                }
            }
        }
        let mut places = self.places.clone();
        for place in places.values_mut() {
            *place = through.max(*place);
        }
        if !jobs.is_empty() {
            fail::fail_point!("worker_before_orders", |_| std::process::abort());
            let mut together = self.session.begin().await.map_err(Error::of_work)?;
            jobs::order(&mut together, &jobs).await?;
            note(&mut together, &places).await?;
            together.commit().await.map_err(Error::of_work)?;
            fail::fail_point!("worker_after_orders", |_| std::process::abort());
            self.noted.clone_from(&places);
            metrics::counter!("foldline_worker_jobs_ordered_total")
                .increment(u64::try_from(jobs.len()).unwrap_or(0));
            self.ordered.send_replace(());
        }
        self.places = places;
        self.tell(page.head);
        unreadable.map_or(Ok(through >= page.head), Err)
    }

    fn answer(&self, event: &Recorded, jobs: &mut Vec<NewJob>) -> Result<(), Error> {
        for (reaction, place) in &self.places {
            if event.position <= *place {
                continue;
            }
            let answer = reaction.answer(event).map_err(|source| Error::Unreadable {
                reaction: reaction.name(),
                position: event.position,
                source,
            })?;
            if let Some(ordered) = answer {
                jobs.push(NewJob::of_reaction(*reaction, event, &ordered));
            }
        }
        Ok(())
    }

    /// Looks at the clock; counts now and then.
    async fn tick(&mut self) -> Result<(), Error> {
        let now: DateTime<Utc> = sqlx::query_scalar("select clock_timestamp()")
            .fetch_one(&mut self.session)
            .await
            .map_err(Error::of_work)?;
        for (schedule, last) in &mut self.schedules {
            let Some(instant) = schedule.latest(*last, now) else {
                continue;
            };
            let mut together = self.session.begin().await.map_err(Error::of_work)?;
            jobs::order(&mut together, &[schedule.job(instant)]).await?;
            schedules::note(&mut together, schedule, instant).await?;
            together.commit().await.map_err(Error::of_work)?;
            *last = instant;
            self.ordered.send_replace(());
        }
        let again = Duration::from_millis(COUNT_INTERVAL_MS);
        if self.counted_at.is_none_or(|at| at.elapsed() >= again) {
            if self.noted != self.places {
                note(&mut self.session, &self.places).await?;
                self.noted.clone_from(&self.places);
            }
            jobs::park_deadly(&mut self.session, self.options.policy).await?;
            let counts = jobs::count(&mut self.session).await?;
            tell_counts(counts);
            self.status.send_modify(|status| status.jobs = Some(counts));
            self.counted_at = Some(Instant::now());
        }
        Ok(())
    }

    fn tell(&self, head: Position) {
        for (reaction, place) in &self.places {
            let behind = head.saturating_sub(*place).max(0);
            tell_lag(*reaction, behind);
        }
        self.status.send_if_modified(|status| {
            let is_new =
                !status.leader || status.failure.is_some() || status.reactions != self.places;
            status.leader = true;
            status.failure = None;
            status.reactions.clone_from(&self.places);
            is_new
        });
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; it errs by a few beyond 2^53"
)]
fn gauge(name: &'static str, label: &'static str, of: &'static str, value: i64) {
    metrics::gauge!(name, label => of).set(value as f64);
}

/// Where the reactions are; one that was never run on this log begins now.
async fn begin(
    session: &mut PgConnection,
    head: Position,
    new_from: Option<Position>,
) -> Result<BTreeMap<Reaction, Position>, Error> {
    let names = Reaction::ALL.map(Reaction::name);
    let begun: i64 =
        sqlx::query_scalar("select count(*) from work.reactions where name = any($1::text[])")
            .bind(&names[..])
            .fetch_one(&mut *session)
            .await
            .map_err(Error::of_work)?;
    let is_any_new = usize::try_from(begun).unwrap_or_default() < names.len();
    if let Some(from) = new_from.filter(|from| is_any_new && *from > head) {
        return Err(Error::BeyondHead { head, from });
    }
    sqlx::query(
        "insert into work.reactions (name, position)
         select name, $2
         from unnest($1::text[]) as reaction (name)
         on conflict on constraint reactions_pkey do nothing",
    )
    .bind(&names[..])
    .bind(new_from.unwrap_or(head))
    .execute(&mut *session)
    .await
    .map_err(Error::of_work)?;
    let rows: Vec<(String, Position)> =
        sqlx::query_as("select name, position from work.reactions where name = any($1::text[])")
            .bind(&names[..])
            .fetch_all(session)
            .await
            .map_err(Error::of_work)?;
    let place = |reaction: Reaction| {
        let row = rows.iter().find(|(name, _)| name == reaction.name())?;
        Some((reaction, row.1))
    };
    Ok(Reaction::ALL.into_iter().filter_map(place).collect())
}

async fn note(
    connection: &mut PgConnection,
    places: &BTreeMap<Reaction, Position>,
) -> Result<(), Error> {
    let (names, positions): (Vec<&str>, Vec<Position>) = places
        .iter()
        .map(|(reaction, position)| (reaction.name(), *position))
        .unzip();
    sqlx::query(
        "update work.reactions
         set position = noted.position,
             moved_at = clock_timestamp()
         from unnest($1::text[], $2::bigint[]) as noted (name, position)
         where reactions.name = noted.name
           and reactions.position < noted.position",
    )
    .bind(names)
    .bind(positions)
    .execute(connection)
    .await
    .map_err(Error::of_work)?;
    Ok(())
}
