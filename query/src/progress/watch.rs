//! The task that reads the checkpoints, and the one that hears when to.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use foldline_events::{Partition, Position};
use sqlx::{
    PgConnection, PgPool,
    postgres::{PgConnectOptions, PgListener, PgPoolOptions},
};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{POLL_INTERVAL_MS, ParkedStreams, Progress, Seen, VIEWS};

/// What projectors notify after they committed, in the database that holds the views.
const CHANNEL: &str = "foldline_views";
/// How long one look at the checkpoints may take.
const LOOK_MS_MAX: u64 = 5_000;
/// The pause before the listening connection is made again: doubled each time, up to the second number.
const RECONNECT_PAUSE_MS: u64 = 100;
const RECONNECT_PAUSE_MS_MAX: u64 = 10_000;

/// Where the word that something was folded comes from. Polling stands behind both.
#[derive(Debug, Clone)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one in a process, made at start"
)]
pub enum Wakes {
    /// The projector runs in this process and marks this channel after each commit.
    InProcess(watch::Receiver<u64>),
    /// Projectors run elsewhere and notify. A direct connection: poolers do not carry notifications.
    Listen(PgConnectOptions),
}

impl Progress {
    /// Starts the task; it ends with `closed`. The first look happens before this returns, so that the first answer
    /// already knows where it stands; when the database does not answer, the task goes on trying.
    pub async fn start(views: PgPool, wakes: Wakes, closed: CancellationToken) -> Self {
        let (seen, seen_by_others) = watch::channel(Arc::new(Seen::default()));
        let (looked_at, looked_at_by_others) = watch::channel(None);
        let moved = match wakes {
            Wakes::InProcess(moved) => moved,
            Wakes::Listen(direct) => {
                let (heard, moved) = watch::channel(0);
                tokio::spawn(hear(direct, heard, closed.clone()));
                moved
            }
        };
        let mut task = Watch {
            views,
            moved,
            seen,
            looked_at,
            reachable: true,
        };
        task.look().await;
        tokio::spawn(async move {
            tokio::select! {
                () = closed.cancelled() => {}
                () = task.run() => {}
            }
        });
        Self {
            seen: seen_by_others,
            looked_at: looked_at_by_others,
        }
    }
}

struct Watch {
    views: PgPool,
    moved: watch::Receiver<u64>,
    seen: watch::Sender<Arc<Seen>>,
    looked_at: watch::Sender<Option<Instant>>,
    /// Whether the last look succeeded; an outage is said once, not at every poll.
    reachable: bool,
}

impl Watch {
    async fn run(&mut self) {
        let poll = Duration::from_millis(POLL_INTERVAL_MS);
        loop {
            match tokio::time::timeout(poll, self.moved.changed()).await {
                Ok(Ok(())) | Err(_) => {}
                // Whoever woke us is gone: the poll interval is all there is.
                Ok(Err(_)) => tokio::time::sleep(poll).await,
            }
            self.look().await;
        }
    }

    async fn look(&mut self) {
        match read_in_time(&self.views).await {
            Ok(now) => {
                if !self.reachable {
                    tracing::info!("reading the views' checkpoints again");
                }
                self.reachable = true;
                self.looked_at.send_replace(Some(Instant::now()));
                let now = Arc::new(now);
                self.seen.send_if_modified(|seen| {
                    let moved = **seen != *now;
                    *seen = now;
                    moved
                });
            }
            Err(error) => {
                if self.reachable {
                    tracing::warn!(%error, "cannot read the views' checkpoints; reads that wait will time out");
                }
                self.reachable = false;
            }
        }
    }
}

/// A network that swallows everything would keep one look waiting for minutes, and everybody who waits for it.
async fn read_in_time(views: &PgPool) -> Result<Seen, sqlx::Error> {
    let mut connection = views.acquire().await?;
    let bound = Duration::from_millis(LOOK_MS_MAX);
    match tokio::time::timeout(bound, read(&mut connection)).await {
        Ok(read) => read,
        Err(_late) => {
            // Whoever had it next would wait for the rest of the answer.
            connection.close_on_drop();
            Err(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
        }
    }
}

async fn read(views: &mut PgConnection) -> Result<Seen, sqlx::Error> {
    let names: Vec<&str> = VIEWS.iter().map(|view| view.name()).collect();
    let rows: Vec<(String, i32, Partition, Uuid, Position, bool)> = sqlx::query_as(
        "select
             checkpoints.view,
             checkpoints.version,
             checkpoints.partition,
             checkpoints.epoch,
             checkpoints.position,
             heads.lost_at is not null
         from views.active
         join views.checkpoints
             on checkpoints.view = active.view
             and checkpoints.version = active.version
         left join views.heads on heads.epoch = checkpoints.epoch
         where active.view = any($1)",
    )
    .bind(names)
    .fetch_all(&mut *views)
    .await?;
    let mut seen = Seen::default();
    for (name, build, partition, epoch, position, log_lost) in rows {
        seen.log_lost |= log_lost;
        if let Some(view) = VIEWS.into_iter().find(|view| view.name() == name) {
            seen.builds.insert(view, build);
            seen.note(view, partition, epoch, position);
        }
    }
    // After the checkpoints: whatever was parked on the way to them is seen.
    let parked: Vec<(String, String, i64, DateTime<Utc>)> = sqlx::query_as(
        "select tenant, view, streams, tried_at
         from views.parked_of_tenants",
    )
    .fetch_all(&mut *views)
    .await?;
    for (tenant, name, count, tried_at) in parked {
        if let Some(view) = VIEWS.into_iter().find(|view| view.name() == name) {
            let streams = ParkedStreams { count, tried_at };
            seen.parked.entry(tenant).or_default().insert(view, streams);
        }
    }
    Ok(seen)
}

/// Marks `heard` for every notification, and connects again with growing pauses, until `closed`.
async fn hear(direct: PgConnectOptions, heard: watch::Sender<u64>, closed: CancellationToken) {
    let mut pause_ms = RECONNECT_PAUSE_MS;
    loop {
        let before = *heard.borrow();
        let ended = tokio::select! {
            () = closed.cancelled() => return,
            ended = listen(&direct, &heard) => ended,
        };
        if let Err(error) = ended {
            tracing::warn!(%error, pause_ms, "stopped hearing of folded events; polling until connected again");
        }
        // A connection that worked for a while earns a quick new one.
        let worked = *heard.borrow() != before;
        pause_ms = if worked {
            RECONNECT_PAUSE_MS
        } else {
            (pause_ms * 2).min(RECONNECT_PAUSE_MS_MAX)
        };
        tokio::select! {
            () = closed.cancelled() => return,
            () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
        }
    }
}

async fn listen(direct: &PgConnectOptions, heard: &watch::Sender<u64>) -> Result<(), sqlx::Error> {
    let pool = PgPoolOptions::new()
        .max_connections(1)
        .connect_with(direct.clone())
        .await?;
    let mut listener = PgListener::connect_with(&pool).await?;
    listener.listen(CHANNEL).await?;
    loop {
        // Marked before the first notification too: what came before we listened must be looked for once.
        heard.send_modify(|count| *count = count.wrapping_add(1));
        if listener.try_recv().await?.is_none() {
            return Ok(());
        }
    }
}
