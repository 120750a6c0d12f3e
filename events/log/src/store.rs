//! The log as its callers hold it, and the connections behind it.

use std::{sync::Arc, time::Duration};

use foldline_events::{PARTITIONS, Partition, Position, Tenant};
use sqlx::{
    Connection, PgConnection, PgPool, Row,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

use crate::{
    Append, Error, Receipt, Verdict, Wake,
    batcher::{self, Identity, PLACES_MAX, Places, Request, Writer},
    page::Pace,
    prepared,
    reading::{Shares, in_time},
    seen::Seen,
    wake,
};

/// How long one statement on the log may take. Far above anything normal; it frees a connection from a dead server.
pub(crate) const STATEMENT_TIMEOUT: &str = "10s";

/// A guard that is so many segments behind the newest position is old: from four on, `sql/guards_plan.sql` looks into all.
const SEGMENTS_AGO: i64 = 2;

/// How long to wait for a connection of the pool.
pub(crate) const ACQUIRE_TIMEOUT_MS: u64 = 2_000;

/// When the database asks a silent client's machine whether it is still there, in seconds: after the first, at intervals of
/// the second, so often. A machine that vanished must not hold a lock of the log for the two hours that systems wait.
pub(crate) const KEEPALIVES: [(&str, &str); 3] = [
    ("tcp_keepalives_idle", "10"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
];

/// The connections for reading of a log that is opened without saying how many.
const CONNECTIONS_DEFAULT: u32 = 4;

/// Which service a process acts as; each has a database role with just its rights. The url's user must be a member of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Appends and reads.
    Command,
    /// Reads, carries the log to Kafka and creates segments ahead.
    Relay,
    /// Reads.
    Projector,
}

impl Service {
    fn role(self) -> &'static str {
        match self {
            Self::Command => "foldline_command",
            Self::Relay => "foldline_relay",
            Self::Projector => "foldline_projector",
        }
    }
}

/// How to reach a log.
#[derive(Debug, Clone)]
pub struct LogOptions {
    /// The database that `foldline migrate` has prepared.
    pub url: PgConnectOptions,
    /// A connection that no pooler stands before, for LISTEN and session locks; `url` when there is none.
    pub direct: Option<PgConnectOptions>,
    /// As whom it is opened.
    pub service: Service,
    /// How many connections reads may take. What appends or listens has one or two of its own beside them.
    pub connections_max: u32,
}

impl LogOptions {
    /// No pooler stands between, and four connections are enough for reading.
    pub fn new(url: PgConnectOptions, service: Service) -> Self {
        Self {
            url,
            direct: None,
            service,
            connections_max: CONNECTIONS_DEFAULT,
        }
    }
}

/// A handle on one cell's log. Cheap to clone; the last clone to go closes it.
#[derive(Debug, Clone)]
pub struct Log {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    /// To be used by [`Inner::read`] and [`Inner::connection`].
    pub(super) pool: PgPool,
    pub(crate) shares: Arc<Shares>,
    pub(crate) seen: Arc<Seen>,
    /// Options of a direct connection as the service's role.
    pub(crate) direct: PgConnectOptions,
    cell: String,
    epoch: Uuid,
    pub(crate) segment_positions: i64,
    /// How many events its readers ask for at a time.
    pub(crate) pace: Pace,
    appends: Option<mpsc::Sender<Request>>,
    places: Places,
    moved: watch::Receiver<u64>,
    _listening: DropGuard,
}

impl Log {
    /// Connects, and starts what the service needs: the batcher for commands, an ear for everyone else.
    ///
    /// # Errors
    /// [`Error::NotMigrated`] when the database lacks what this build calls. One that a newer build has migrated does not, as
    /// long as it serves this build.
    pub async fn open(options: LogOptions) -> Result<Self, Error> {
        let role = [
            ("role", options.service.role()),
            ("statement_timeout", STATEMENT_TIMEOUT),
        ];
        // A plan that is kept has every segment in it, which all would be locked by each read.
        let planning = [("plan_cache_mode", "force_custom_plan")];
        let reading = options.url.clone().options(role).options(planning);
        let mut first = in_time(PgConnection::connect_with(&reading))
            .await?
            .map_err(Error::Connect)?;
        let (cell, identity) = in_time(identity(&mut first)).await??;
        in_time(prepared::check(&mut first)).await??;
        first.close().await.map_err(Error::Connect)?;
        let seen = Arc::new(Seen::new(identity.epoch));
        let pool = pool(reading, options.connections_max, Arc::clone(&seen)).await?;
        let direct = options.direct.unwrap_or_else(|| options.url.clone());
        let direct = direct
            .options([("role", options.service.role())])
            .options(KEEPALIVES);

        let (moved_sender, moved) = watch::channel(0);
        let closed = CancellationToken::new();
        let appends = match options.service {
            Service::Command => {
                let (sender, receiver) = mpsc::channel(PLACES_MAX);
                tokio::spawn(wake::notify_others(direct.clone(), moved.clone()));
                let url = options.url.clone().options(role);
                let writer = Writer::new(url, identity, Arc::clone(&seen));
                tokio::spawn(batcher::run(writer, receiver, moved_sender));
                Some(sender)
            }
            Service::Relay | Service::Projector => {
                let ear = wake::hear_others(direct.clone(), moved_sender, closed.clone());
                tokio::spawn(ear);
                None
            }
        };
        let inner = Inner {
            pool,
            shares: Arc::new(Shares::of(options.connections_max)),
            seen,
            direct,
            cell,
            epoch: identity.epoch,
            segment_positions: identity.segment_positions,
            pace: Pace::default(),
            appends,
            places: Places::default(),
            moved,
            _listening: closed.drop_guard(),
        };
        Ok(Self {
            inner: Arc::new(inner),
        })
    }

    /// The incarnation of this log.
    pub fn epoch(&self) -> Uuid {
        self.inner.epoch
    }

    /// The name of the cell, as in `foldline.<cell>.events`.
    pub fn cell(&self) -> &str {
        &self.inner.cell
    }

    /// The newest position of this log that its handle has seen, 0 when it has seen none. Whatever is read of a stream after asking
    /// holds all that the stream has up to there.
    pub fn newest_seen(&self) -> Position {
        self.inner.seen.newest().position
    }

    /// Whether a guard after this position would look into many segments, under the lock of the log. Then it is better to read
    /// again what was decided on, and to guard after [`Self::newest_seen`] as it was before.
    pub fn is_long_ago(&self, position: Position) -> bool {
        let segment = |position: Position| position / self.inner.segment_positions;
        segment(self.newest_seen()) - segment(position) >= SEGMENTS_AGO
    }

    /// For readers in this process or, when this log only listens, for what other processes append.
    pub fn wake(&self) -> Wake {
        Wake::new(self.inner.moved.clone())
    }

    /// Waits until this handle is good for nothing any more, and says why. Whatever was made of what it gave before must be
    /// dropped then: most simply, the process ends, and begins anew.
    ///
    /// [`Error::AnotherLog`] or [`Error::AnotherEpoch`] when the log turns out to be another than the one that was opened: it
    /// was restored, or lost its end in a failover, and what this handle has read or appended is not in it. That is looked at
    /// with each new connection; from then on everything that this handle is asked fails with the same error.
    /// [`Error::Closed`] when what appends is gone.
    pub async fn ended(&self) -> Error {
        let appending = async {
            match &self.inner.appends {
                Some(appends) => appends.closed().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = self.inner.seen.replaced() => error,
            () = appending => Error::Closed,
        }
    }

    /// Readers of another [`Log`] handle in the same process can listen to the writer directly.
    #[must_use]
    pub fn woken_by(&self, writer: &Self) -> Self {
        let inner = Inner {
            pool: self.inner.pool.clone(),
            shares: Arc::clone(&self.inner.shares),
            seen: Arc::clone(&self.inner.seen),
            direct: self.inner.direct.clone(),
            cell: self.inner.cell.clone(),
            epoch: self.inner.epoch,
            segment_positions: self.inner.segment_positions,
            pace: Pace::default(),
            appends: None,
            places: Places::default(),
            moved: writer.inner.moved.clone(),
            _listening: CancellationToken::new().drop_guard(),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Appends, together with whatever else is waiting. See [`Append`] and [`Verdict`] for what goes in and out.
    ///
    /// # Errors
    /// [`Error::Overloaded`] when as many appends are waiting, or take as many bytes, as may, most often those of the same
    /// tenant; [`Error::Unavailable`] when the database could not be reached for long enough (where its `is_unknown` says so, the append may or may not be
    /// stored: the same command id tells); [`Error::Refused`] and [`Error::Malformed`] for an append that can never go through;
    /// [`Error::BeyondHead`] for a guard on a position that the log does not reach to; [`Error::AnotherLog`] and
    /// [`Error::AnotherEpoch`] once the log turns out to be another, [`Error::NotMigrated`] when it lacks what this build calls;
    /// [`Error::Closed`] and [`Error::Unanswered`] while the log is being closed.
    pub async fn append(&self, mut append: Append) -> Result<Verdict, Error> {
        let cost = batcher::admit(&mut append)?;
        self.inner.seen.check()?;
        let sender = self.inner.appends.as_ref().ok_or_else(|| {
            Error::Malformed("this handle was opened to read, not to append".to_owned())
        })?;
        let place = self.inner.places.take(&append.tenant, cost.bytes);
        let place = place.map_err(|full| {
            metrics::counter!("foldline_log_appends_turned_away_total").increment(1);
            Error::Overloaded {
                tenant: append.tenant.clone(),
                full,
            }
        })?;
        let (request, answer) = Request::new(append, cost, place);
        // Whoever has a place finds room in the channel, which has as many: only a closed one takes nothing.
        sender.try_send(request).map_err(|_closed| Error::Closed)?;
        answer.await.unwrap_or(Err(Error::Unanswered))
    }

    /// What became of a command id: [`Verdict::Known`], [`Verdict::InputDiffers`], or `None` when it was never
    /// accepted.
    ///
    /// # Errors
    /// As [`Self::read_stream`], and [`Error::Overloaded`] when too many reads of the tenant are waiting.
    pub async fn known(
        &self,
        tenant: &Tenant,
        command_id: Uuid,
        input_hmac: &[u8],
    ) -> Result<Option<Verdict>, Error> {
        let _share = self.inner.share(tenant).await?;
        let query = sqlx::query(
            "select input_hmac, stream, version, position, partition
             from log.commands
             where tenant = $1
               and command_id = $2",
        )
        .bind(tenant.as_str())
        .bind(command_id);
        let row = self.inner.read(async |on| query.fetch_optional(on).await);
        let Some(row) = row.await? else {
            return Ok(None);
        };
        if row.get::<Vec<u8>, _>("input_hmac") != input_hmac {
            return Ok(Some(Verdict::InputDiffers));
        }
        Ok(Some(Verdict::Known(Receipt {
            stream: row.get("stream"),
            version: row.get("version"),
            cursor: foldline_events::Cursor {
                epoch: self.inner.epoch,
                position: row.get("position"),
                partition: row.get("partition"),
            },
        })))
    }
}

/// Connections for reading, each compared with what was seen before anything is read over it.
async fn pool(
    options: PgConnectOptions,
    connections_max: u32,
    seen: Arc<Seen>,
) -> Result<PgPool, Error> {
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_millis(ACQUIRE_TIMEOUT_MS))
        .after_connect(move |connection, _| {
            let seen = Arc::clone(&seen);
            Box::pin(async move { seen.admit(connection).await })
        })
        .connect_with(options)
        .await
        .map_err(Error::Connect)
}

/// The name of the cell and what tells its log from others, and thereby whether the tables are there at all.
async fn identity(connection: &mut PgConnection) -> Result<(String, Identity), Error> {
    let row = sqlx::query("select name, epoch, segment_positions from log.cell")
        .fetch_one(connection)
        .await
        .map_err(|error| {
            if prepared::is_absent(&error) || matches!(error, sqlx::Error::RowNotFound) {
                Error::not_migrated(&error)
            } else {
                Error::Connect(error)
            }
        })?;
    let identity = Identity {
        epoch: row.get("epoch"),
        segment_positions: row.get("segment_positions"),
    };
    Ok((row.get("name"), identity))
}

/// All partitions, for whoever takes them all.
pub(crate) fn all_partitions() -> Vec<Partition> {
    (0..PARTITIONS).collect()
}
