//! Which partitions this process folds, where the feed is the log itself: Kafka's consumer groups spread partitions, and
//! the log has no such thing.
//!
//! The processes share the partitions evenly, each by leases in the view database that it renews. Who is gone is noticed
//! at once, because its session ended; who stands still is noticed when its leases have run out. A lease only keeps
//! processes out of each other's way. That one which lost it without noticing writes nothing is the fences' doing, see
//! [`crate::checkpoint`]: they are raised by whoever takes a partition over, and stay raised.
//!
//! A partition too many is given back in two steps: the runtime is told to stop folding it, and when it has, the lease is
//! let go. So in quiet times no two processes ever hold the same.

use std::{collections::BTreeSet, time::Duration};

use foldline_events::{PARTITIONS, Partition};
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::{Error, error};

/// "proj" in ASCII. Every projector of the Postgres feed holds it together with the others, for as long as its session lives; builds
/// before leases held it alone, so they and these never fold at once. `views.projector_sessions` knows it too.
const LOCK: i64 = 0x7072_6f6a;

/// How often a process asks for the lock while an older build has it. Asking again and again, not waiting in the
/// database: a statement that waits holds a snapshot, and with it every dead row.
const STANDBY_POLL_MS: u64 = 500;

/// How often leases are renewed, how long each holds, and how long renewing may take until the session counts as lost.
const RENEW_INTERVAL_MS: u64 = 1_000;
const LEASE_SECONDS: f64 = 10.0;
const RENEW_MS_MAX: u64 = 10_000;

/// After how long what a process left in `views.projectors` is swept away.
const FORGOTTEN_SECONDS: f64 = 3_600.0;

/// The server ends the session of a process whose host or network is gone within 15 s, and frees the lock.
pub(crate) const KEEPALIVE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "2"),
    ("idle_session_timeout", "0"),
];

/// Being one of the projectors of a view database. Dropping it leaves its partitions to the others.
#[derive(Debug)]
pub(crate) struct Leases {
    ours: watch::Receiver<BTreeSet<Partition>>,
    folded: watch::Sender<BTreeSet<Partition>>,
    _renewing: AbortOnDropHandle<()>,
}

impl Leases {
    /// Waits, however long, while a build that shares nothing projects; then takes a fair share of what is free. `options`
    /// must lead past any pooler; `id` names this process.
    pub(crate) async fn join(
        options: &PgConnectOptions,
        id: Uuid,
        standing_by: impl Fn(),
    ) -> Result<Self, Error> {
        let options = options.clone().options(KEEPALIVE);
        let connecting = PgConnection::connect_with(&options);
        let mut connection = in_time(async { connecting.await.map_err(Error::Leases) }).await?;
        loop {
            let asking = sqlx::query_scalar("select pg_try_advisory_lock_shared($1)")
                .bind(LOCK)
                .fetch_one(&mut connection);
            let acquired: bool = in_time(async { asking.await.map_err(Error::Leases) }).await?;
            if acquired {
                break;
            }
            standing_by();
            tokio::time::sleep(Duration::from_millis(STANDBY_POLL_MS)).await;
        }
        let (ours, seen_by_runtime) = watch::channel(BTreeSet::new());
        let (folded, seen_by_task) = watch::channel(BTreeSet::new());
        let mut renewing = Renewing {
            connection,
            id,
            ours,
            folded: seen_by_task,
        };
        in_time(sweep(&mut renewing.connection)).await?;
        in_time(renewing.renew()).await?;
        Ok(Self {
            ours: seen_by_runtime,
            folded,
            _renewing: AbortOnDropHandle::new(tokio::spawn(renewing.run())),
        })
    }

    /// What this process is to fold now. It folds nothing else, once [`Leases::folds`] was told.
    pub(crate) fn ours(&mut self) -> BTreeSet<Partition> {
        self.ours.borrow_and_update().clone()
    }

    /// Resolves when [`Leases::ours`] changed. Fails when the session is gone, and with it every lease. Cancel safe.
    pub(crate) async fn changed(&mut self) -> Result<(), Error> {
        self.ours.changed().await.map_err(|_| Error::LeasesLost)
    }

    /// Says what is folded from now on: leases of anything else may go to others.
    pub(crate) fn folds(&self, partitions: &BTreeSet<Partition>) {
        self.folded.send_replace(partitions.clone());
    }
}

async fn in_time<T>(doing: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let bound = Duration::from_millis(RENEW_MS_MAX);
    let late = |_elapsed| Error::Leases(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()));
    tokio::time::timeout(bound, doing).await.map_err(late)?
}

struct Renewing {
    connection: PgConnection,
    id: Uuid,
    ours: watch::Sender<BTreeSet<Partition>>,
    folded: watch::Receiver<BTreeSet<Partition>>,
}

impl Renewing {
    async fn run(mut self) {
        let interval = Duration::from_millis(RENEW_INTERVAL_MS);
        loop {
            // What is not folded any more is given back at once.
            match tokio::time::timeout(interval, self.folded.changed()).await {
                Ok(Ok(())) | Err(_) => {}
                Ok(Err(_)) => return,
            }
            let bound = Duration::from_millis(RENEW_MS_MAX);
            match tokio::time::timeout(bound, self.renew()).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::warn!(%error, "the session that holds the projector's leases was lost");
                    return;
                }
                Err(_) => {
                    tracing::warn!("the session that holds the projector's leases does not answer");
                    return;
                }
            }
        }
    }

    /// Renews what is held, gives back what is too much, takes what is too little, and says what is ours.
    async fn renew(&mut self) -> Result<(), Error> {
        let held: Vec<Partition> = sqlx::query_scalar(RENEW)
            .bind(self.id)
            .bind(LEASE_SECONDS)
            .fetch_all(&mut self.connection)
            .await
            .map_err(Error::Leases)?;
        let held: BTreeSet<Partition> = held.into_iter().collect();
        let projectors: i64 = sqlx::query_scalar(PROJECTORS)
            .bind(LEASE_SECONDS)
            .fetch_one(&mut self.connection)
            .await
            .map_err(Error::Leases)?;
        let share = share(projectors);
        let mut ours: BTreeSet<Partition> = held.iter().copied().take(share).collect();
        let folded = self.folded.borrow_and_update().clone();
        let back: Vec<Partition> = held
            .iter()
            .copied()
            .filter(|partition| !ours.contains(partition) && !folded.contains(partition))
            .collect();
        if !back.is_empty() {
            sqlx::query(GIVE_BACK)
                .bind(self.id)
                .bind(back)
                .execute(&mut self.connection)
                .await
                .map_err(Error::Leases)?;
        }
        if held.len() < share {
            let room = i64::try_from(share - held.len()).unwrap_or(i64::from(PARTITIONS));
            let taken: Vec<Partition> = sqlx::query_scalar(TAKE)
                .bind(self.id)
                .bind(LEASE_SECONDS)
                .bind(room)
                .fetch_all(&mut self.connection)
                .await
                .map_err(Error::Leases)?;
            ours.extend(taken);
        }
        self.ours.send_if_modified(|known| {
            let is_new = *known != ours;
            *known = ours;
            is_new
        });
        Ok(())
    }
}

/// How many partitions each of so many projectors folds at most.
fn share(projectors: i64) -> usize {
    let projectors = usize::try_from(projectors).unwrap_or(1).max(1);
    usize::from(PARTITIONS.unsigned_abs()).div_ceil(projectors)
}

async fn sweep(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::query(
        "delete from views.projectors
         where beat_at < clock_timestamp() - make_interval(secs => $1)",
    )
    .bind(FORGOTTEN_SECONDS)
    .execute(connection)
    .await
    .map_err(error::unless_unprepared(Error::Leases))?;
    Ok(())
}

/// A lease that ran out is renewed too, if nobody took it.
const RENEW: &str = "
    with beat as (
        insert into views.projectors (id, pid, beat_at)
        values ($1, pg_backend_pid(), clock_timestamp())
        on conflict on constraint projectors_pkey do update
        set pid = excluded.pid,
            beat_at = excluded.beat_at
    )
    update views.leases
    set until_at = clock_timestamp() + make_interval(secs => $2)
    where holder = $1
    returning partition
";

/// Those that are there: their beat is fresh, and their session holds the lock.
const PROJECTORS: &str = "
    select count(*)
    from views.projectors
    where beat_at > clock_timestamp() - make_interval(secs => $1)
        and pid in (select pid from views.projector_sessions)
";

const GIVE_BACK: &str = "
    update views.leases
    set holder = null
    where holder = $1
        and partition = any($2::smallint[])
";

/// Leases that are nobody's, or of somebody who stands still or is gone. What others are taking just now is left to them.
const TAKE: &str = "
    update views.leases
    set holder = $1,
        until_at = clock_timestamp() + make_interval(secs => $2)
    from (
        select leases.partition
        from views.leases
        left join views.projectors on projectors.id = leases.holder
        where leases.holder is null
            or leases.until_at < clock_timestamp()
            or projectors.pid is null
            or projectors.pid not in (select pid from views.projector_sessions)
        order by leases.partition
        limit $3
        for update of leases skip locked
    ) as free
    where leases.partition = free.partition
    returning leases.partition
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shares_of_any_number_of_projectors_hold_every_partition() {
        for projectors in 1..=64 {
            let share = share(projectors);
            let in_all = i64::try_from(share).unwrap() * projectors;
            assert!(in_all >= i64::from(PARTITIONS), "{projectors}");
        }
        assert_eq!([share(0), share(1), share(3), share(64)], [32, 32, 11, 1]);
    }
}
