//! Blue/green: a build is folded beside the one that readers see, compared with it, and shown in its place.
//!
//! `foldline rebuild VIEW` does it, and a projector that finds a build of an older projection in front of readers. The new build
//! is folded like any other, by a [`Projector`] that folds nothing else; its checkpoints are its own, so after whatever ends this
//! the next one goes on where it was. What readers see changes in one transaction, in which the checkpoints of the shown build are
//! held, and the new one is as far: nobody who saw a position ever reads something older.

mod differences;
mod exchange;
mod newer;

use std::{
    future::Future,
    time::{Duration, Instant},
};

use foldline_events::{PARTITIONS, Partition, Position};
use foldline_log::{Feed, Log, feed::PostgresFeed};
use sqlx::{Connection, PgConnection, PgPool, Row as _, postgres::PgConnectOptions};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    Build, Builds, Error, Health, Projector, ProjectorOptions, Retention, View,
    builds::{self, Written},
    error::{in_full, unless_unprepared},
    leases::KEEPALIVE,
};
pub use differences::Differences;
use exchange::is_behind;
pub(crate) use newer::Newer;

/// Whoever folds a build holds it, as long as its session lives: two would take each other's partitions. "buil" in ASCII.
const LOCK: i64 = 0x6275_696c;

/// How often it is looked how far a build is.
const LOOK_INTERVAL_MS: u64 = 100;
/// A build that is so many positions behind the log's head has caught up.
const CAUGHT_UP_POSITIONS_MAX: Position = 1_000;
/// How long one of the statements here may take that are not a comparison.
const STATEMENT_MS_MAX: u64 = 30_000;
/// How long making one index may take.
const INDEX_MS_MAX: u64 = 3_600_000;

/// How long a build is folded on here that readers see already, until a projector takes it over.
const HAND_OVER_MS_MAX: u64 = 3_000;

/// What it takes to fold a build.
#[derive(Debug, Clone)]
pub struct Rebuild {
    /// The view database as the role `foldline_projector`, four connections at least.
    pub views: PgPool,
    /// The same without a pooler in between, for a lock.
    pub direct: PgConnectOptions,
    /// What is folded.
    pub log: Log,
    /// From how many events on a log is long.
    pub long_log_events: Position,
    /// Told how it goes.
    pub progress: watch::Sender<Progress>,
}

/// How far a build is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    pub stage: Stage,
    /// Up to here it is folded, in every partition.
    pub through: Position,
    /// The log's last position.
    pub head: Position,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stage {
    #[default]
    Folding,
    /// Indexes are made that were left out.
    Indexing,
    /// It is compared with what readers see.
    Comparing,
    /// Readers come to see it.
    Showing,
}

/// What came of a rebuild.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rebuilt {
    /// Readers see the build.
    Shown {
        builds: Builds,
        /// How long the exchange took, and readers waited for it.
        exchanged_in: Duration,
        /// How it differs from what they saw before, where that was expected.
        differences: Differences,
    },
    /// Readers see what they saw before.
    Refused(Differences),
    /// It was told to end; what is folded is kept.
    Ended,
}

impl Rebuild {
    /// Folds a build of each of these views, goes on with those that were begun, and shows all of them at once. Where a row differs
    /// from what readers see, it shows them only if that is expected.
    pub async fn forward(
        &self,
        views: &[View],
        differences_expected: bool,
        shutdown: &CancellationToken,
    ) -> Result<Rebuilt, Error> {
        let alone = self.alone().await?;
        let mut begun = Vec::new();
        let shown = builds::shown(&self.views).await?;
        for view in views {
            let shown = shown.get(view).map(|shown| shown.projection);
            if let Some(shown) = shown.filter(|shown| *shown > view.projection()) {
                return Err(Error::NewerProjection {
                    view: *view,
                    shown,
                    ours: view.projection(),
                });
            }
            begun.push(self.begin(*view).await?);
        }
        let comparing = match differences_expected {
            true => Comparing::ToTell,
            false => Comparing::ToRefuse,
        };
        let builds = begun.into_iter().collect();
        let shown = self.show_when_folded(&builds, comparing, shutdown).await;
        alone.close().await.ok();
        shown
    }

    /// Shows the build again that readers saw before, folded up to now.
    ///
    /// # Errors
    /// [`Error::BehindAndUnknown`] where it would have to be folded by a projection that this program does not know.
    pub async fn back(&self, view: View, shutdown: &CancellationToken) -> Result<Rebuilt, Error> {
        let alone = self.alone().await?;
        let written = builds::all(&self.views).await?;
        let before = written
            .into_iter()
            .find(|it| it.is_kept_of(view) && it.was_shown)
            .ok_or(Error::NoBuildBefore { view })?;
        let builds: Builds = [before.build].into_iter().collect();
        let shown = if before.projection == view.projection() {
            self.show_when_folded(&builds, Comparing::Never, shutdown)
                .await
        } else {
            self.show_as_it_is(&builds, before).await
        };
        alone.close().await.ok();
        shown
    }

    async fn show_as_it_is(&self, builds: &Builds, before: Written) -> Result<Rebuilt, Error> {
        let mut connection = self.views.acquire().await.map_err(Error::Builds)?;
        if is_behind(&mut connection, builds).await? {
            return Err(Error::BehindAndUnknown {
                view: before.build.view,
                version: before.build.version,
                projection: before.projection,
            });
        }
        drop(connection);
        Ok(Rebuilt::Shown {
            builds: builds.clone(),
            exchanged_in: self.exchange(builds).await?,
            differences: Differences::default(),
        })
    }

    /// Drops the builds of a view that readers do not see, those too that were begun and never shown; says which.
    pub async fn drop_others(&self, view: View) -> Result<Vec<Build>, Error> {
        let alone = self.alone().await?;
        let mut dropped = Vec::new();
        let others = builds::all(&self.views).await?;
        for Written { build, .. } in others.into_iter().filter(|it| it.is_kept_of(view)) {
            let dropping = sqlx::query("select views.drop_build($1, $2)")
                .bind(view.name())
                .bind(build.version)
                .execute(&self.views);
            within(STATEMENT_MS_MAX, dropping).await?;
            dropped.push(build);
        }
        alone.close().await.ok();
        Ok(dropped)
    }

    async fn alone(&self) -> Result<PgConnection, Error> {
        let taking = async {
            let direct = self.direct.clone().options(KEEPALIVE);
            let mut connection = PgConnection::connect_with(&direct).await?;
            let taken: bool = sqlx::query_scalar("select pg_try_advisory_lock($1)")
                .bind(LOCK)
                .fetch_one(&mut connection)
                .await?;
            Ok(taken.then_some(connection))
        };
        within(STATEMENT_MS_MAX, taking)
            .await?
            .ok_or(Error::BeingRebuilt)
    }

    async fn begin(&self, view: View) -> Result<Build, Error> {
        let beginning = sqlx::query_scalar("select views.begin_build($1, $2)")
            .bind(view.name())
            .bind(view.projection())
            .fetch_one(&self.views);
        let version = within(STATEMENT_MS_MAX, beginning).await?;
        Ok(Build { view, version })
    }

    async fn show_when_folded(
        &self,
        builds: &Builds,
        comparing: Comparing,
        shutdown: &CancellationToken,
    ) -> Result<Rebuilt, Error> {
        self.same_log(builds).await?;
        let folding = Folding::of(self, builds);
        // Indexes are made while nothing is folded: each of the two would wait for the other.
        let caught_up = folding.beside(|health| self.catch_up(health), shutdown);
        if caught_up.await?.is_none() {
            return Ok(Rebuilt::Ended);
        }
        tokio::select! {
            () = shutdown.cancelled() => return Ok(Rebuilt::Ended),
            made = self.make_indexes(builds) => made?,
        }
        let folding = Folding::of(self, builds);
        let shown = folding.beside(
            |health| self.compare_and_show(builds, comparing, health),
            shutdown,
        );
        Ok(shown.await?.unwrap_or(Rebuilt::Ended))
    }

    /// Fails where readers see what was folded from another log: positions of two logs cannot be compared.
    async fn same_log(&self, builds: &Builds) -> Result<(), Error> {
        let reading = sqlx::query_as(
            "select
                 c.view,
                 c.partition,
                 c.epoch
             from views.checkpoints c
             join views.active a
                 on a.view = c.view
                 and a.version = c.version
             where c.view = any($1)
                 and c.position > 0
                 and c.epoch <> $2
             limit 1",
        )
        .bind(builds.names())
        .bind(self.log.epoch())
        .fetch_optional(&self.views);
        let found: Option<(String, Partition, uuid::Uuid)> =
            within(STATEMENT_MS_MAX, reading).await?;
        let Some((name, partition, checkpoint)) = found else {
            return Ok(());
        };
        Err(Error::AnotherEpoch {
            view: View::named(&name).expect("the statement returns views that it was given"),
            partition,
            checkpoint,
            log: self.log.epoch(),
        })
    }

    async fn catch_up(&self, health: Health) -> Result<(), Error> {
        loop {
            let head = self.log.head().await?.position;
            let through = self.look(Stage::Folding, &health, head)?;
            if through.is_some_and(|through| through + CAUGHT_UP_POSITIONS_MAX >= head) {
                return Ok(());
            }
            pause(LOOK_INTERVAL_MS).await;
        }
    }

    /// Says how far the build is; `None` before it is known. Fails when it gets no further by itself.
    fn look(
        &self,
        stage: Stage,
        health: &Health,
        head: Position,
    ) -> Result<Option<Position>, Error> {
        let mut stalled = health.status().stalled.into_iter();
        if let Some(stall) = stalled.find(|stall| stall.position.is_some()) {
            return Err(Error::BuildStalls {
                partition: stall.partition,
                why: stall.why,
            });
        }
        let Some(through) = completed(health) else {
            return Ok(None);
        };
        #[expect(
            clippy::cast_precision_loss,
            reason = "a gauge is a float; it errs by a few events beyond 2^53"
        )]
        metrics::gauge!("foldline_projector_build_position").set(through as f64);
        self.progress.send_replace(Progress {
            stage,
            through,
            head,
        });
        Ok(Some(through))
    }

    async fn make_indexes(&self, builds: &Builds) -> Result<(), Error> {
        self.progress
            .send_modify(|progress| progress.stage = Stage::Indexing);
        for build in builds.iter() {
            loop {
                let making = sqlx::query_scalar("select views.build_late_index($1, $2)")
                    .bind(build.view.name())
                    .bind(build.version)
                    .fetch_one(&self.views);
                let made: Option<String> = within(INDEX_MS_MAX, making).await?;
                if let Some(index) = made {
                    tracing::info!(%build, index, "an index or a count that was left for later is made");
                    continue;
                }
                // One that somebody else makes is not there yet: whoever ended in the middle of it left it to the server.
                let left = sqlx::query_scalar(
                    "select count(*) from views.late_indexes where view = $1 and version = $2",
                )
                .bind(build.view.name())
                .bind(build.version)
                .fetch_one(&self.views);
                let left: i64 = within(STATEMENT_MS_MAX, left).await?;
                if left == 0 {
                    break;
                }
                pause(LOOK_INTERVAL_MS).await;
            }
        }
        Ok(())
    }

    async fn compare_and_show(
        &self,
        builds: &Builds,
        comparing: Comparing,
        health: Health,
    ) -> Result<Rebuilt, Error> {
        self.catch_up(health.clone()).await?;
        let differences = match comparing {
            Comparing::Never => Differences::default(),
            Comparing::ToTell | Comparing::ToRefuse => self.compare(builds, &health).await?,
        };
        if comparing == Comparing::ToRefuse && !differences.is_none() {
            return Ok(Rebuilt::Refused(differences));
        }
        self.catch_up(health).await?;
        let exchanged_in = self.exchange(builds).await?;
        let fences = self.fences(builds).await?;
        metrics::counter!("foldline_projector_exchanged_builds_total").increment(1);
        self.hand_over(builds, &fences).await?;
        Ok(Rebuilt::Shown {
            builds: builds.clone(),
            exchanged_in,
            differences,
        })
    }

    /// Compares them with what readers see, each partition as of where that is now.
    async fn compare(&self, builds: &Builds, health: &Health) -> Result<Differences, Error> {
        let shown = builds::shown(&self.views).await?;
        let mut differences = Differences::default();
        for build in builds.iter() {
            let Some(shown) = shown.get(&build.view).map(|shown| shown.build) else {
                continue;
            };
            let as_of = self.reached_by(shown).await?;
            let furthest = as_of.iter().copied().max().unwrap_or(0);
            loop {
                let through = self.look(Stage::Comparing, health, furthest)?;
                if through.is_some_and(|through| through >= furthest) {
                    break;
                }
                pause(LOOK_INTERVAL_MS).await;
            }
            differences.add(&self.views, shown, build, &as_of).await?;
        }
        Ok(differences)
    }

    /// Up to where each partition of a build is folded, in their order.
    async fn reached_by(&self, build: Build) -> Result<Vec<Position>, Error> {
        let reading = sqlx::query_scalar(
            "select coalesce(c.position, 0)
             from generate_series(0, $3::integer - 1) as every (partition)
             left join views.checkpoints c
                 on c.view = $1
                 and c.version = $2
                 and c.partition = every.partition
             order by every.partition",
        )
        .bind(build.view.name())
        .bind(build.version)
        .bind(i32::from(PARTITIONS))
        .fetch_all(&self.views);
        within(STATEMENT_MS_MAX, reading).await
    }

    /// Folds on until a projector has taken some of it over: it looks every second what readers see. Where none runs, nothing that
    /// readers see moves.
    async fn hand_over(&self, builds: &Builds, fences: &[Fence]) -> Result<(), Error> {
        let since = Instant::now();
        while since.elapsed() < Duration::from_millis(HAND_OVER_MS_MAX) {
            if self.fences(builds).await? != fences {
                break;
            }
            pause(LOOK_INTERVAL_MS).await;
        }
        Ok(())
    }

    async fn fences(&self, builds: &Builds) -> Result<Vec<Fence>, Error> {
        let reading = sqlx::query(FENCES)
            .bind(builds.names())
            .bind(builds.versions())
            .fetch_all(&self.views);
        let rows = within(STATEMENT_MS_MAX, reading).await?;
        let fence = |row: &sqlx::postgres::PgRow| (row.get(0), row.get(1), row.get(2));
        Ok(rows.iter().map(fence).collect())
    }
}

/// A view's partition, and the fence of whoever folds it.
type Fence = (String, Partition, i64);

const FENCES: &str = "
    select
        c.view,
        c.partition,
        c.fence
    from views.checkpoints c
    join unnest($1::text[], $2::integer[]) as ours (view, version)
        on c.view = ours.view
        and c.version = ours.version
    order by
        c.view,
        c.partition
";

/// Whether a build is compared with what readers see, and what for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Comparing {
    Never,
    ToTell,
    /// It is not shown where it differs.
    ToRefuse,
}

/// Builds that are folded here, while something else is done with them.
struct Folding {
    projector: Projector,
}

impl Folding {
    fn of(rebuild: &Rebuild, builds: &Builds) -> Self {
        let feed = Feed::Postgres(PostgresFeed::unassigned(rebuild.log.clone()));
        let options = ProjectorOptions {
            direct: rebuild.direct.clone(),
            moved: watch::Sender::new(0),
            stall_retry: ProjectorOptions::STALL_RETRY,
            long_log_events: rebuild.long_log_events,
            retention: Retention::new(),
            retention_interval: ProjectorOptions::RETENTION_INTERVAL,
            proof_pause: None,
        };
        let (views, log) = (rebuild.views.clone(), rebuild.log.clone());
        Self {
            projector: Projector::new(views, feed, log, options).of(builds.clone()),
        }
    }

    /// Folds until something else is done, and ends then without anything half written; `None` when it was told to end before.
    async fn beside<T, F>(
        mut self,
        doing: impl FnOnce(Health) -> F,
        shutdown: &CancellationToken,
    ) -> Result<Option<T>, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let (health, ends) = (self.projector.health(), shutdown.child_token());
        let folding = self.projector.fold_until(&ends);
        tokio::pin!(folding);
        let done = tokio::select! {
            ended = &mut folding => return ended.map(|()| None),
            done = doing(health) => done,
        };
        ends.cancel();
        let ended = folding.await;
        // What is done is done, however folding ends.
        let done = done?;
        if let Err(error) = ended {
            let error = in_full(&error);
            tracing::warn!(error, "folding a build ended in an error");
        }
        Ok(Some(done))
    }
}

/// Up to where all of what is folded is folded; `None` before anything was taken over.
fn completed(health: &Health) -> Option<Position> {
    let reached = health.reached();
    let positions = reached.values().flat_map(|of_build| of_build.values());
    positions.copied().min()
}

/// A network that swallows everything would keep one statement waiting for ever.
async fn within<T>(
    ms_max: u64,
    statement: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Error> {
    let ended = tokio::time::timeout(Duration::from_millis(ms_max), statement).await;
    ended
        .unwrap_or(Err(sqlx::Error::PoolTimedOut))
        .map_err(unless_unprepared(Error::Builds))
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}
