//! Readers come to see other builds, all of them from one moment on.

use std::time::{Duration, Instant};

use sqlx::PgConnection;

use super::{Rebuild, STATEMENT_MS_MAX, Stage, pause};
use crate::{Builds, Error, error::Remedy};

/// For how long the shown build is held back while the new one makes up for the rest.
const HELD_MS_MAX: u64 = 250;
const HELD_POLL_MS: u64 = 2;
/// How often it is tried to show a build, and the pauses in between: whoever reads for long is in the way.
const SHOW_TRIES_MAX: u32 = 240;
const SHOW_PAUSE_MS: u64 = 250;

/// Whoever waits for a lock holds others up; it gives up before the server looks for a deadlock, which might end the other one.
const BEGIN: &str = "begin;
    set local lock_timeout = '200ms';
    set local statement_timeout = '5s';
    set local idle_in_transaction_session_timeout = '5s'";

impl Rebuild {
    /// Lets readers see these builds; says how long they waited for it. Fails with [`Error::NotShown`] when something was in the way
    /// every time.
    pub(super) async fn exchange(&self, builds: &Builds) -> Result<Duration, Error> {
        self.progress
            .send_modify(|progress| progress.stage = Stage::Showing);
        for _ in 0..SHOW_TRIES_MAX {
            let exchanging = self.try_to_exchange(builds);
            match tokio::time::timeout(Duration::from_millis(STATEMENT_MS_MAX), exchanging).await {
                Ok(Ok(Some(exchanged_in))) => return Ok(exchanged_in),
                Ok(Ok(None)) | Err(_) => {}
                Ok(Err(error)) => match error.remedy() {
                    Remedy::Retry => {}
                    Remedy::Isolate | Remedy::Stop => return Err(error),
                },
            }
            pause(SHOW_PAUSE_MS).await;
        }
        Err(Error::NotShown {
            tries: SHOW_TRIES_MAX,
        })
    }

    /// `None` when the builds did not come as far as what readers see in time.
    async fn try_to_exchange(&self, builds: &Builds) -> Result<Option<Duration>, Error> {
        let mut transaction = self.views.begin_with(BEGIN).await.map_err(Error::Begin)?;
        // From here on nothing that readers see moves.
        sqlx::query(HOLD_SHOWN)
            .bind(builds.names())
            .execute(&mut *transaction)
            .await
            .map_err(Error::Builds)?;
        let held_since = Instant::now();
        while is_behind(&mut transaction, builds).await? {
            if held_since.elapsed() >= Duration::from_millis(HELD_MS_MAX) {
                return Ok(None);
            }
            pause(HELD_POLL_MS).await;
        }
        for statement in [KEEP_OFFSETS, END_WISHES] {
            sqlx::query(statement)
                .bind(builds.names())
                .bind(builds.versions())
                .execute(&mut *transaction)
                .await
                .map_err(Error::Builds)?;
        }
        let began = Instant::now();
        sqlx::query("select views.show_builds($1, $2)")
            .bind(builds.names())
            .bind(builds.versions())
            .execute(&mut *transaction)
            .await
            .map_err(Error::Builds)?;
        fail::fail_point!("projector_showing", |_| std::process::abort());
        transaction.commit().await.map_err(Error::Commit)?;
        fail::fail_point!("projector_shown", |_| std::process::abort());
        Ok(Some(began.elapsed()))
    }
}

/// Whether builds are not as far yet, in some partition, as what readers see.
pub(super) async fn is_behind(
    connection: &mut PgConnection,
    builds: &Builds,
) -> Result<bool, Error> {
    sqlx::query_scalar(IS_BEHIND)
        .bind(builds.names())
        .bind(builds.versions())
        .fetch_one(connection)
        .await
        .map_err(Error::Builds)
}

/// Where Kafka's records of what is shown are: those of a build that is as far, too, and it knows none.
const KEEP_OFFSETS: &str = "
    update views.checkpoints built
    set kafka_offset = shown.kafka_offset
    from views.checkpoints shown
    join views.active a
        on a.view = shown.view
        and a.version = shown.version
    join unnest($1::text[], $2::integer[]) as ours (view, version)
        on ours.view = a.view
    where built.view = ours.view
        and built.version = ours.version
        and built.partition = shown.partition
        and built.kafka_offset is null
        and shown.kafka_offset is not null
";

/// Rows that somebody wanted folded again in their place are not those that readers see any more.
const END_WISHES: &str = "
    update views.rebuilds r
    set ended_at = now(),
        why_not = 'readers see another build of the view now; ask again if its rows are wrong, too'
    from unnest($1::text[], $2::integer[]) as ours (view, version)
    where r.view = ours.view
        and r.view_version <> ours.version
        and r.ended_at is null
";

const HOLD_SHOWN: &str = "
    select
    from views.checkpoints c
    join views.active a
        on a.view = c.view
        and a.version = c.version
    where c.view = any($1)
    order by
        c.view,
        c.version,
        c.partition
    for no key update of c
";

const IS_BEHIND: &str = "
    select exists (
        select
        from views.active a
        join views.checkpoints shown
            on shown.view = a.view
            and shown.version = a.version
        join unnest($1::text[], $2::integer[]) as ours (view, version)
            on ours.view = a.view
        left join views.checkpoints built
            on built.view = ours.view
            and built.version = ours.version
            and built.partition = shown.partition
        where built.position is null
            or built.position < shown.position
    )
";
