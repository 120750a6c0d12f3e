//! Carries deliveries from the feed to the writer, for as long as the process lives.
//!
//! A session begins by taking over what is assigned: fences are raised, the feed is started from the stored checkpoints.
//! What is assigned is said by Kafka's consumer group, or by the leases of the Postgres feed. Whatever goes wrong in between, be it a cut connection or a commit without an
//! answer, ends the session, and the next begins in the same way: nothing in memory is trusted, so nothing is skipped
//! or doubled. A partition that cannot go on stalls by itself, see `runtime/stalls.rs`; while readers see what this program does not
//! fold, it takes no part, see `runtime/shown.rs`.

mod shown;
mod stalls;
mod turned;

use std::{
    collections::BTreeSet,
    future,
    time::{Duration, Instant},
};

use backon::{BackoffBuilder, ExponentialBuilder};
use foldline_events::{PARTITIONS, Partition, Position};
use foldline_log::{Delivery, Feed, Log, Slice};
use sqlx::{PgPool, postgres::PgConnectOptions};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use uuid::Uuid;

use crate::{
    Applied, Builds, Error, Health, Parked, Retention, Writer, announce,
    error::{Remedy, in_full},
    health::Phase,
    lag, late,
    leases::Leases,
    proof, retention,
    writer::{Rebuilt, Retried},
};
use stalls::Stalls;
use turned::Turned;

/// The pauses between sessions that failed.
const RETRY_MS_MIN: u64 = 50;
const RETRY_MS_MAX: u64 = 5_000;

/// How often it is looked whether somebody wants a parked stream tried again, or rows folded again; and sooner, where there may
/// be more.
const WISHES_POLL_MS: u64 = 1_000;
const WISHES_MORE_MS: u64 = 20;

/// How often it is looked whether the database still holds what was committed.
const COMPARE_INTERVAL_MS: u64 = 5_000;

/// How a projector runs.
#[derive(Debug, Clone)]
pub struct ProjectorOptions {
    /// The view database without a pooler in between, as the role `foldline_projector`, for leases and notifications.
    pub direct: PgConnectOptions,
    /// Counted up after every commit, for readers in the same process.
    pub moved: watch::Sender<u64>,
    /// How long a stalled partition waits before it is tried again; twice as long each time that does not help.
    pub stall_retry: Duration,
    /// From how many events on a log is long: a view folded from its beginning gets its indexes when it has caught up.
    pub long_log_events: Position,
    /// How long rows of the past are kept.
    pub retention: Retention,
    /// How often what need not be kept is cleared away.
    pub retention_interval: Duration,
    /// The pause between two streams that are folded again and compared; `None` for no such proof.
    pub proof_pause: Option<Duration>,
}

impl ProjectorOptions {
    /// How long a stalled partition waits, unless said otherwise: a person or a newer build has to come first.
    pub const STALL_RETRY: Duration = Duration::from_secs(30);
    /// What is a long log, unless said otherwise: a shorter one is folded in seconds, with its indexes.
    pub const LONG_LOG_EVENTS: Position = 100_000;
    /// How often rows of the past are cleared away, unless said otherwise.
    pub const RETENTION_INTERVAL: Duration = Duration::from_secs(600);
}

/// Folds a feed into the views.
pub struct Projector {
    views: PgPool,
    log: Log,
    feed: Feed,
    writer: Writer,
    options: ProjectorOptions,
    health: Health,
    /// What it folds, if not what readers see.
    only: Option<Builds>,
    /// Names this process among those that share the Postgres feed.
    id: Uuid,
    /// What the feed or the leases gave us, whether or not it is taken over at the moment.
    assigned: BTreeSet<Partition>,
    stalls: Stalls,
    /// Whether the present session got anywhere.
    has_committed: bool,
}

impl Projector {
    /// `views` are connections as the role `foldline_projector`; `log` is the one that the feed reads.
    #[expect(clippy::disallowed_methods, reason = "a process names itself here")]
    pub fn new(views: PgPool, feed: Feed, log: Log, options: ProjectorOptions) -> Self {
        Self {
            health: Health::new(feed.name()),
            writer: Writer::new(views.clone(), log.epoch(), Builds::default()),
            stalls: Stalls::new(options.stall_retry),
            views,
            log,
            feed,
            options,
            only: None,
            id: Uuid::now_v7(),
            assigned: BTreeSet::new(),
            has_committed: false,
        }
    }

    /// One that folds these builds, which readers do not see, all partitions of them and by itself.
    pub(crate) fn of(self, builds: Builds) -> Self {
        Self {
            only: Some(builds),
            ..self
        }
    }

    /// Keeps telling how the projector is doing, also while it runs.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Folds until `shutdown`; a delivery that is being written then is finished first.
    ///
    /// # Errors
    /// Only what this process can do nothing about: the views belong to another log, the tables are not there, the
    /// log is damaged. Everything that may pass is tried again without end.
    pub async fn run(mut self, shutdown: CancellationToken) -> Result<(), Error> {
        let heard = self.options.moved.subscribe();
        let announcer = announce::run(self.options.direct.clone(), heard);
        let _announcer = AbortOnDropHandle::new(tokio::spawn(announcer));
        let lag = lag::run(self.log.clone(), self.views.clone(), self.health());
        let telling = AbortOnDropHandle::new(tokio::spawn(lag));
        let _building = AbortOnDropHandle::new(tokio::spawn(late::run(self.views.clone())));
        let clearing = retention::run(
            self.views.clone(),
            self.log.clone(),
            self.options.retention.clone(),
            self.options.retention_interval,
        );
        let _clearing = AbortOnDropHandle::new(tokio::spawn(clearing));
        let _proving = self.options.proof_pause.map(|pause| {
            let (views, log) = (self.views.clone(), self.log.clone());
            let proving = proof::run(views, log, self.health(), self.id, pause);
            AbortOnDropHandle::new(tokio::spawn(proving))
        });
        let ended = self.fold_until(&shutdown).await;
        telling.abort();
        let _ = telling.await;
        if matches!(
            ended,
            Err(Error::AnotherLog(_) | Error::AnotherEpoch { .. })
        ) && let Err(error) = lag::lost(&self.views).await
        {
            let error = in_full(&error);
            tracing::error!(
                error,
                "readers are not told that the views are of another log"
            );
        }
        let why = match &ended {
            Ok(()) => "shut down".to_owned(),
            Err(error) => in_full(error),
        };
        self.health.enter(Phase::Stopped(why));
        ended
    }

    /// Folds, and does nothing else, in one session after another.
    pub(crate) async fn fold_until(&mut self, shutdown: &CancellationToken) -> Result<(), Error> {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(RETRY_MS_MIN))
            .with_max_delay(Duration::from_millis(RETRY_MS_MAX))
            .with_jitter()
            .without_max_times();
        let mut pause = pauses.build();
        loop {
            self.has_committed = false;
            let turned = Turned::default();
            let ended = tokio::select! {
                ended = self.session(shutdown, &turned) => ended,
                stands = turned.no_more() => Err(stands),
            };
            let Err(error) = ended else {
                return Ok(());
            };
            if let Error::OtherBuilds = error {
                tracing::info!("readers see other builds of the views now");
                continue;
            }
            // Tables that are gone may be those of a build that readers do not see any more.
            if let Error::NotMigrated(_) = error
                && matches!(self.same_builds().await, Err(Error::OtherBuilds))
            {
                continue;
            }
            match error.remedy() {
                Remedy::Retry => {}
                // What can be isolated has been, so this is none of the events' fault.
                Remedy::Isolate | Remedy::Stop => return Err(error),
            }
            if self.has_committed {
                pause = pauses.build();
            }
            let wait = pause.next().unwrap_or(Duration::from_millis(RETRY_MS_MAX));
            let why = in_full(&error);
            tracing::warn!(
                error = why,
                wait_ms = wait.as_millis(),
                "projecting again from the checkpoints"
            );
            metrics::counter!("foldline_projector_retries_total").increment(1);
            self.health.enter(Phase::Retrying(why));
            tokio::select! {
                () = shutdown.cancelled() => return Ok(()),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// Ends well only by `shutdown`.
    async fn session(
        &mut self,
        shutdown: &CancellationToken,
        turned: &Turned,
    ) -> Result<(), Error> {
        let log = self.log.clone();
        let builds = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            error = log.ended() => return Err(error.into()),
            builds = self.builds(shutdown, turned) => builds?,
        };
        if *self.writer.builds() != builds {
            self.writer = Writer::new(self.views.clone(), self.log.epoch(), builds);
        }
        let mut leases = tokio::select! {
            () = shutdown.cancelled() => return Ok(()),
            leases = self.join(turned) => leases?,
        };
        if let Some(leases) = &mut leases {
            self.share(leases);
        } else if self.only.is_some() {
            self.assigned = (0..PARTITIONS).collect();
        }
        let assigned: Vec<Partition> = self.assigned.iter().copied().collect();
        self.take_over(&assigned).await?;
        self.health.enter(self.phase());
        let mut look_at = Instant::now();
        let compare_interval = Duration::from_millis(COMPARE_INTERVAL_MS);
        let mut compare_at = Instant::now() + compare_interval;
        loop {
            turned.once_more();
            let due = self.stalls.due_at();
            tokio::select! {
                biased;
                () = shutdown.cancelled() => return Ok(()),
                // Whatever feeds it: the log lost its end, or was replaced, and is looked at every second.
                error = log.ended() => return Err(error.into()),
                leases = changed(leases.as_mut()) => {
                    let new = self.share(leases?);
                    self.take_over(&new).await?;
                    self.health.enter(self.phase());
                }
                () = tokio::time::sleep_until(due.into()) => self.retry_stalled().await?,
                () = tokio::time::sleep_until(look_at.into()) => {
                    let began = Instant::now();
                    self.same_builds().await?;
                    let pause_ms = self.retry_parked().await?.min(self.rebuild().await?);
                    // The feed gets as much time as the streams that are tried again.
                    let pause = Duration::from_millis(pause_ms).max(began.elapsed());
                    look_at = Instant::now() + pause;
                }
                () = tokio::time::sleep_until(compare_at.into()) => {
                    self.writer.compare().await?;
                    compare_at = Instant::now() + compare_interval;
                }
                delivery = self.feed.next() => match delivery? {
                    Delivery::Assigned(partitions) => {
                        self.assigned.extend(&partitions);
                        self.take_over(&partitions).await?;
                        self.health.enter(self.phase());
                    }
                    Delivery::Revoked(partitions) => {
                        self.give_up(&partitions);
                        self.health.enter(self.phase());
                    }
                    Delivery::Slices(slices) => self.fold(slices).await?,
                },
            }
        }
    }

    /// With the Kafka feed the consumer group decides who folds what.
    async fn join(&self, turned: &Turned) -> Result<Option<Leases>, Error> {
        let (direct, health) = (&self.options.direct, &self.health);
        match &self.feed {
            _ if self.only.is_some() => Ok(None),
            Feed::Kafka(_) => Ok(None),
            Feed::Postgres(_) => {
                let standing_by = || {
                    turned.once_more();
                    health.enter(Phase::Standby);
                };
                Leases::join(direct, self.id, standing_by).await.map(Some)
            }
        }
    }

    /// Gives up what the leases do not say any more; the partitions that they say anew are to be taken over.
    fn share(&mut self, leases: &mut Leases) -> Vec<Partition> {
        let ours = leases.ours();
        let gone: Vec<Partition> = self.assigned.difference(&ours).copied().collect();
        if !gone.is_empty() {
            if let Feed::Postgres(feed) = &mut self.feed {
                feed.stop(&gone);
            }
            self.give_up(&gone);
        }
        let new = ours.difference(&self.assigned).copied().collect();
        self.assigned = ours;
        leases.folds(&self.assigned);
        new
    }

    fn phase(&self) -> Phase {
        match self.feed {
            _ if !self.assigned.is_empty() => Phase::Folding,
            Feed::Postgres(_) => Phase::Standby,
            // There are more partitions than anybody runs projectors: whoever has none has lost its broker or its group.
            Feed::Kafka(_) => Phase::Starting,
        }
    }

    /// Makes partitions ours and lets the feed go on from what is stored.
    async fn take_over(&mut self, partitions: &[Partition]) -> Result<(), Error> {
        if partitions.is_empty() {
            return Ok(());
        }
        self.writer.take(partitions).await?;
        self.leave_indexes(partitions).await?;
        self.log.verify(&self.writer.marks(partitions)).await?;
        self.feed.start(&self.writer.starts(partitions)).await?;
        tracing::info!(?partitions, feed = self.feed.name(), "folding partitions");
        self.tell();
        Ok(())
    }

    /// A view of which nothing is folded may do without its indexes until it has caught up with a long log.
    async fn leave_indexes(&self, partitions: &[Partition]) -> Result<(), Error> {
        let mut untouched = self.writer.untouched(partitions).peekable();
        if untouched.peek().is_some() {
            let head = self.log.head().await?.position;
            if head >= self.options.long_log_events {
                late::leave(&self.views, untouched).await;
            }
        }
        Ok(())
    }

    fn give_up(&mut self, partitions: &[Partition]) {
        tracing::info!(?partitions, "giving partitions up");
        self.writer.release(partitions);
        for partition in partitions {
            self.assigned.remove(partition);
            self.stalls.forget(*partition);
        }
        self.tell();
    }

    async fn fold(&mut self, slices: Vec<Slice>) -> Result<(), Error> {
        let began = Instant::now();
        let applied = self.writer.apply(slices).await?;
        let Applied {
            events,
            committed_at,
            parked,
            poisoned,
            lost,
        } = applied;
        for parked in &parked {
            told(parked, "a stream is parked; everything else goes on");
            metrics::counter!("foldline_projector_parked_total", "view" => parked.view.name())
                .increment(1);
        }
        for poison in poisoned {
            self.stalls.poisoned(poison);
        }
        for partition in lost {
            self.stalls.lost(partition);
        }
        self.end_stalls();
        if let Some(at) = committed_at {
            self.has_committed = true;
            self.health.committed(at);
            metrics::counter!("foldline_projector_batches_total").increment(1);
            metrics::counter!("foldline_projector_events_total").increment(events as u64);
            metrics::histogram!("foldline_projector_commit_seconds")
                .record(began.elapsed().as_secs_f64());
            self.options
                .moved
                .send_modify(|count| *count = count.wrapping_add(1));
        }
        self.tell();
        Ok(())
    }

    /// Tries stalled partitions once more, from their checkpoints.
    async fn retry_stalled(&mut self) -> Result<(), Error> {
        let writer = &self.writer;
        let due = self.stalls.retry(|partition| writer.folds(partition));
        self.take_over(&due).await?;
        // One that was only taken over goes on, though there may be nothing to fold.
        self.end_stalls();
        self.tell();
        Ok(())
    }

    fn end_stalls(&mut self) {
        let writer = &self.writer;
        self.stalls.passed(|partition| {
            let through = writer.folded_through(partition);
            through.filter(|_| writer.folds(partition))
        });
    }

    /// Tries the parked streams again that somebody asked for, some at a time, and says when to look for more.
    async fn retry_parked(&mut self) -> Result<u64, Error> {
        let partitions = self.assigned.iter().copied();
        let partitions: Vec<Partition> = partitions.filter(|it| self.retries(*it)).collect();
        if partitions.is_empty() {
            return Ok(WISHES_POLL_MS);
        }
        let due = self.writer.to_retry(&partitions).await?;
        if due.is_empty() {
            return Ok(WISHES_POLL_MS);
        }
        for parked in due {
            // Taken over since: each try would only find that again.
            if !self.retries(parked.partition) {
                continue;
            }
            match self.writer.retry(&self.log, parked.clone()).await {
                Ok(Retried::Released) => {
                    tracing::info!(
                        view = parked.view.name(),
                        tenant = parked.tenant.as_str(),
                        stream = parked.stream,
                        "a parked stream goes on"
                    );
                    self.stalls.hasten(parked.partition);
                    metrics::counter!("foldline_projector_released_total", "view" => parked.view.name())
                        .increment(1);
                    self.options
                        .moved
                        .send_modify(|count| *count = count.wrapping_add(1));
                }
                Ok(Retried::Waits(parked)) => told(&parked, "a parked stream was tried in vain"),
                Ok(Retried::NotHeld | Retried::WishedAnew) => {}
                Err(Error::Lost { partitions }) => {
                    for partition in partitions {
                        self.writer.stop(partition);
                        self.stalls.lost(partition);
                    }
                }
                Err(error) => return Err(error),
            }
        }
        self.tell();
        Ok(WISHES_MORE_MS)
    }

    /// Folds the first rows again that somebody asked for, and says when to look for more.
    async fn rebuild(&mut self) -> Result<u64, Error> {
        let partitions = self.assigned.iter().copied();
        let partitions: Vec<Partition> = partitions.filter(|it| self.writer.folds(*it)).collect();
        let Some(wish) = self.writer.to_rebuild(&partitions).await? else {
            return Ok(WISHES_POLL_MS);
        };
        let (view, tenant) = (wish.which.view.name(), wish.which.tenant.as_str());
        let (stream, partition) = (wish.which.stream.as_deref(), wish.partition);
        match self.writer.rebuild(&self.log, &wish).await {
            Ok(Rebuilt::Replaced(events)) => {
                tracing::info!(
                    view,
                    tenant,
                    stream,
                    partition,
                    events,
                    "rows were folded again in their place"
                );
                metrics::counter!("foldline_projector_rebuilt_total", "view" => view).increment(1);
                self.options
                    .moved
                    .send_modify(|count| *count = count.wrapping_add(1));
            }
            Ok(Rebuilt::Refused(why)) => tracing::error!(
                view,
                tenant,
                stream,
                partition,
                why,
                "rows cannot be folded again, and are as they were"
            ),
            Ok(Rebuilt::NotHeld) => {}
            Err(Error::Lost { partitions }) => {
                for partition in partitions {
                    self.writer.stop(partition);
                    self.stalls.lost(partition);
                }
            }
            Err(error) => return Err(error),
        }
        self.tell();
        Ok(WISHES_MORE_MS)
    }

    /// Whether parked streams of a partition are tried. One that stopped at an event goes on with fewer of them; one that was
    /// taken over is not ours to write to.
    fn retries(&self, partition: Partition) -> bool {
        self.writer.folds(partition) || self.stalls.is_at_event(partition)
    }

    fn tell(&self) {
        self.health.folded(self.writer.reached());
        self.health.stalled(self.stalls.list());
        self.health.parked(self.writer.parked());
    }
}

fn told(parked: &Parked, what: &str) {
    tracing::error!(
        view = parked.view.name(),
        tenant = parked.tenant.as_str(),
        stream = parked.stream,
        partition = parked.partition,
        position = parked.position,
        event_type = parked.event_type,
        why = parked.why.text,
        "{what}"
    );
}

/// Resolves when the leases changed, where there are any.
async fn changed(leases: Option<&mut Leases>) -> Result<&mut Leases, Error> {
    match leases {
        Some(leases) => {
            leases.changed().await?;
            Ok(leases)
        }
        None => future::pending().await,
    }
}
