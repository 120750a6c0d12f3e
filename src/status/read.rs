//! What the databases say of the log, the relay, the views and the worker.
//!
//! The log's head is read first and the checkpoints after it, and what came after that head is not counted: a view
//! that keeps up is never said to lag by what was appended in between.

mod lag;

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use chrono::{DateTime, Utc};
use foldline_command::worker::{
    self,
    desk::{self, Standing},
};
use foldline_events::{PARTITIONS, Partition, Position};
use foldline_projector::View;
use sqlx::{ConnectOptions, PgConnection, Row, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::config::Database;

/// How long a database may take to accept a connection, and to answer everything that is asked at a time.
const CONNECT_SECONDS_MAX: u64 = 5;
const READ_SECONDS_MAX: u64 = 30;

/// What a projector told longer ago than this is no longer true: it tells it again every 15 seconds.
const TOLD_SECONDS_MAX: f64 = 60.0;

/// It only looks, and gives up by itself when whoever asked is gone.
const SETTINGS: [(&str, &str); 2] = [
    ("default_transaction_read_only", "on"),
    ("statement_timeout", "30s"),
];

/// The role that may read the relay's mark, and one that may read all else.
const ROLES_OF_LOG: [&str; 2] = ["foldline_relay", "foldline_projector"];
const ROLE_OF_VIEWS: &str = "foldline_projector";
const ROLE_OF_WORKER: &str = "foldline_worker";

/// "Permission denied to set role", and "no such role".
const OTHER_ROLE: [&str; 2] = ["42501", "22023"];

/// The session locks of the relay that leads, of the worker that leads, and of every projector that reads the Postgres feed:
/// `LEADER_LOCK` in `events/log/src/relay.rs` and in `command/src/worker/leader.rs`, `LOCK` in `projector/src/leases.rs`.
const RELAY_LOCK: i64 = 1_919_249_505;
const WORKER_LOCK: i64 = 0x776f_726b;
const PROJECTOR_LOCK: i64 = 0x7072_6f6a;

/// Where the log and the views are.
pub(super) struct Places {
    pub(super) log: Database,
    pub(super) view: Database,
}

/// Everything that was read at a time.
#[derive(Debug, Clone)]
pub(super) struct Reading {
    pub(super) log: LogHead,
    pub(super) relay: Relay,
    pub(super) feeds: Feeds,
    pub(super) views: Vec<Progress>,
    pub(super) worker: Worker,
}

#[derive(Debug, Clone)]
pub(super) struct LogHead {
    pub(super) cell: String,
    pub(super) epoch: Uuid,
    pub(super) position: Position,
    /// The database's time, and that of the last event.
    pub(super) at: DateTime<Utc>,
    pub(super) recorded_at: Option<DateTime<Utc>>,
    /// Since the read before; `None` at the first.
    pub(super) events_per_second: Option<f64>,
}

/// How far something is behind: by how many events, and how long the first of them has been in the log.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(super) struct Lag {
    pub(super) events: i64,
    pub(super) seconds: f64,
}

#[derive(Debug, Clone)]
pub(super) enum Relay {
    /// The URL's user may not act as the relay's role, and nobody else may read it.
    Hidden,
    /// The log was never relayed.
    None,
    At {
        topic: String,
        mark: Position,
        moved_at: DateTime<Utc>,
        lag: Lag,
        /// The log reaches to what was carried.
        of_this_log: bool,
    },
}

#[derive(Debug, Clone)]
pub(super) enum Worker {
    /// The URL's user may not act as the worker's role, or there is none yet, or none of its tables.
    Hidden,
    /// No worker was ever run on this log.
    None,
    Stands {
        standing: Standing,
        /// What each of its reactions has not answered, in their order there.
        behind: Vec<Lag>,
        /// One leads.
        running: bool,
    },
}

/// Who reads the log at present.
#[derive(Debug, Clone, Copy)]
pub(super) struct Feeds {
    /// A projector reads the Postgres feed.
    pub(super) postgres: bool,
    /// A relay leads.
    pub(super) relay: bool,
    /// Some view was folded from Kafka: it keeps offsets.
    pub(super) offsets: bool,
}

/// One version of a view.
#[derive(Debug, Clone)]
pub(super) struct Progress {
    pub(super) view: String,
    pub(super) version: i32,
    /// Whether readers see this version.
    pub(super) active: bool,
    /// Whether this build folds the view.
    pub(super) known: bool,
    /// Folded from this very log, or from nothing yet.
    pub(super) of_this_log: bool,
    pub(super) completed: Position,
    pub(super) moved_at: Option<DateTime<Utc>>,
    pub(super) lag: Lag,
    /// Why it does not go on, in the words of whoever folds it.
    pub(super) why: Option<String>,
    pub(super) stalled: Vec<Stalled>,
    /// How many streams wait at an event that it cannot fold.
    pub(super) parked: i64,
}

/// A partition that stands while others of its view have passed its next event.
#[derive(Debug, Clone)]
pub(super) struct Stalled {
    pub(super) partition: Partition,
    pub(super) position: Position,
    pub(super) next: Position,
    pub(super) next_type: String,
    /// Since it moved last.
    pub(super) seconds: f64,
}

/// A view's checkpoints, as they are stored.
#[derive(Debug, Clone)]
struct Marks {
    active: bool,
    epochs: Vec<Uuid>,
    positions: [Position; PARTITIONS as usize],
    /// How long each has not moved.
    idle_seconds: [f64; PARTITIONS as usize],
    from_kafka: bool,
    moved_at: Option<DateTime<Utc>>,
    why: Option<String>,
}

pub(super) struct Reader {
    log: PgConnection,
    view: PgConnection,
    /// As the worker, where the user may be one.
    worker: Option<PgConnection>,
    sees_relay: bool,
    before: Option<(Position, DateTime<Utc>)>,
}

impl Reader {
    pub(super) async fn open(places: &Places) -> anyhow::Result<Self> {
        let (log, role) = connect_to_log(&places.log.url).await?;
        let view = connect(&places.view.url, ROLE_OF_VIEWS)
            .await
            .context("cannot connect to the views' database")?;
        let worker = match connect(&places.log.url, ROLE_OF_WORKER).await {
            Ok(worker) => Some(worker),
            Err(error) if is_other_role(&error) => None,
            Err(error) => return Err(error.context("cannot connect to the log's database")),
        };
        Ok(Self {
            log,
            view,
            worker,
            sees_relay: role == ROLES_OF_LOG[0],
            before: None,
        })
    }

    pub(super) async fn read(&mut self) -> anyhow::Result<Reading> {
        let bound = Duration::from_secs(READ_SECONDS_MAX);
        tokio::time::timeout(bound, self.read_all())
            .await
            .with_context(|| format!("the databases did not answer within {READ_SECONDS_MAX} s"))?
    }

    async fn read_all(&mut self) -> anyhow::Result<Reading> {
        let log = self
            .head()
            .await
            .context("cannot read the log; `foldline migrate` makes it")?;
        let marks = self
            .marks()
            .await
            .context("cannot read the checkpoints; `foldline migrate` makes them")?;
        let parked = self
            .parked()
            .await
            .context("cannot read what is parked; `foldline migrate` makes the table")?;
        // A log that has lost its end ends before what was made of it.
        let reaches_to = self.position().await.context("cannot read the log")?;
        let mut views = Vec::new();
        for ((view, version), marks) in &marks {
            let furthest = marks.positions.iter().copied().max().unwrap_or(0);
            let lag = lag::of_view(&mut self.log, marks, log.position)
                .await
                .context("cannot read the log")?;
            let stalled = lag::stalled(&mut self.log, marks)
                .await
                .context("cannot read the log")?;
            views.push(Progress {
                view: view.clone(),
                version: *version,
                active: marks.active,
                known: View::ALL.iter().any(|known| known.name() == view),
                of_this_log: furthest <= reaches_to
                    && marks.epochs.iter().all(|epoch| *epoch == log.epoch),
                completed: marks.positions.iter().copied().min().unwrap_or(0),
                moved_at: marks.moved_at,
                lag,
                why: marks.why.clone(),
                stalled,
                parked: parked.get(&(view.clone(), *version)).copied().unwrap_or(0),
            });
        }
        let relay = self
            .relay(&log, reaches_to)
            .await
            .context("cannot read the relay's mark")?;
        let feeds = Feeds {
            postgres: is_held(&mut self.view, PROJECTOR_LOCK).await?,
            relay: is_held(&mut self.log, RELAY_LOCK).await?,
            offsets: marks.values().any(|marks| marks.active && marks.from_kafka),
        };
        let worker = self
            .worker(log.position)
            .await
            .context("cannot read what the worker has to do")?;
        Ok(Reading {
            log,
            relay,
            feeds,
            views,
            worker,
        })
    }

    async fn worker(&mut self, head: Position) -> anyhow::Result<Worker> {
        let Some(worker) = &mut self.worker else {
            return Ok(Worker::Hidden);
        };
        match desk::standing(worker).await {
            Ok(standing) if standing.reactions.is_empty() => Ok(Worker::None),
            Ok(standing) => {
                let running = is_held(worker, WORKER_LOCK).await?;
                let mut behind = Vec::new();
                for (_, position) in &standing.reactions {
                    behind.push(lag::since(&mut self.log, *position, head).await?);
                }
                Ok(Worker::Stands {
                    standing,
                    behind,
                    running,
                })
            }
            // An earlier build's log, or one whose tables this user may not read.
            Err(worker::Error::NotMigrated(_)) => Ok(Worker::Hidden),
            Err(error) => Err(error.into()),
        }
    }

    async fn head(&mut self) -> Result<LogHead, sqlx::Error> {
        let row = sqlx::query(
            "select
                 cell.name,
                 cell.epoch,
                 clock_timestamp() as at,
                 coalesce(head.position, 0) as position,
                 head.recorded_at
             from log.cell
             left join lateral (
                 select
                     position,
                     recorded_at
                 from log.events
                 order by position desc
                 limit 1
             ) as head on true",
        )
        .fetch_one(&mut self.log)
        .await?;
        let (position, at) = (row.get("position"), row.get("at"));
        let events_per_second = self.before.and_then(|before| rate(before, (position, at)));
        self.before = Some((position, at));
        Ok(LogHead {
            cell: row.get("name"),
            epoch: row.get("epoch"),
            position,
            at,
            recorded_at: row.get("recorded_at"),
            events_per_second,
        })
    }

    async fn position(&mut self) -> Result<Position, sqlx::Error> {
        sqlx::query_scalar("select coalesce(max(position), 0) from log.events")
            .fetch_one(&mut self.log)
            .await
    }

    /// How many streams are parked in each version of a view.
    async fn parked(&mut self) -> Result<BTreeMap<(String, i32), i64>, sqlx::Error> {
        let rows: Vec<(String, i32, i64)> = sqlx::query_as(
            "select view, view_version, count(*)
             from views.parked
             group by
                 view,
                 view_version",
        )
        .fetch_all(&mut self.view)
        .await?;
        let of_view = |(view, version, parked)| ((view, version), parked);
        Ok(rows.into_iter().map(of_view).collect())
    }

    /// Of every version of every view that is active or was folded.
    async fn marks(&mut self) -> Result<BTreeMap<(String, i32), Marks>, sqlx::Error> {
        let rows = sqlx::query(
            "select
                 coalesce(active.view, checkpoints.view) as view,
                 coalesce(active.version, checkpoints.version) as version,
                 active.view is not null as active,
                 checkpoints.partition,
                 checkpoints.epoch,
                 checkpoints.position,
                 checkpoints.kafka_offset is not null as from_kafka,
                 checkpoints.moved_at,
                 extract(epoch from clock_timestamp() - checkpoints.moved_at)::float8 as idle_seconds,
                 lag.stalled_why
             from views.active
             full join views.checkpoints
                 on checkpoints.view = active.view
                 and checkpoints.version = active.version
             left join views.lag
                 on lag.view = checkpoints.view
                 and lag.version = checkpoints.version
                 and lag.partition = checkpoints.partition
                 and lag.told_at > clock_timestamp() - make_interval(secs => $1)
             order by lag.stalled_since",
        )
        .bind(TOLD_SECONDS_MAX)
        .fetch_all(&mut self.view)
        .await?;
        let mut found = BTreeMap::new();
        for row in rows {
            let key = (row.get("view"), row.get("version"));
            let marks = found.entry(key).or_insert_with(|| Marks {
                active: row.get("active"),
                epochs: Vec::new(),
                positions: [0; PARTITIONS as usize],
                idle_seconds: [0.0; PARTITIONS as usize],
                from_kafka: false,
                moved_at: None,
                why: None,
            });
            let Some(partition) = row.get::<Option<Partition>, _>("partition") else {
                continue;
            };
            let position: Position = row.get("position");
            let index = usize::try_from(partition).unwrap_or(usize::MAX);
            if let Some(at) = marks.positions.get_mut(index) {
                *at = position;
                marks.idle_seconds[index] = row.get("idle_seconds");
            }
            // What was folded from nothing belongs to no log yet.
            if position > 0 {
                marks.epochs.push(row.get("epoch"));
            }
            marks.from_kafka |= row.get::<bool, _>("from_kafka");
            marks.moved_at = marks.moved_at.max(row.get("moved_at"));
            // Of those that stall, what stalled first.
            marks.why = marks.why.take().or_else(|| row.get("stalled_why"));
        }
        Ok(found)
    }

    async fn relay(&mut self, log: &LogHead, reaches_to: Position) -> Result<Relay, sqlx::Error> {
        if !self.sees_relay {
            return Ok(Relay::Hidden);
        }
        let topic = foldline_log::relay::topic(&log.cell);
        let row = sqlx::query("select mark, moved_at from log.relay where topic = $1")
            .bind(&topic)
            .fetch_optional(&mut self.log)
            .await?;
        let Some(row) = row else {
            return Ok(Relay::None);
        };
        let mark = row.get("mark");
        Ok(Relay::At {
            topic,
            mark,
            moved_at: row.get("moved_at"),
            of_this_log: mark <= reaches_to,
            lag: lag::since(&mut self.log, mark, log.position).await?,
        })
    }
}

/// `None` when the clock stood still or went back.
#[expect(
    clippy::cast_precision_loss,
    reason = "a rate needs no sixteenth digit"
)]
fn rate(before: (Position, DateTime<Utc>), now: (Position, DateTime<Utc>)) -> Option<f64> {
    let seconds = (now.1 - before.1).as_seconds_f64();
    (seconds > 0.0).then(|| (now.0 - before.0).max(0) as f64 / seconds)
}

/// With the first role that the user may act as.
async fn connect_to_log(
    options: &PgConnectOptions,
) -> anyhow::Result<(PgConnection, &'static str)> {
    for role in ROLES_OF_LOG {
        match connect(options, role).await {
            Ok(connection) => return Ok((connection, role)),
            Err(error) if is_other_role(&error) && role != ROLES_OF_LOG[1] => {}
            Err(error) => return Err(error.context("cannot connect to the log's database")),
        }
    }
    unreachable!("the last role either connects or returns")
}

async fn connect(options: &PgConnectOptions, role: &str) -> anyhow::Result<PgConnection> {
    let options = options.clone().options(SETTINGS).options([("role", role)]);
    let bound = Duration::from_secs(CONNECT_SECONDS_MAX);
    tokio::time::timeout(bound, options.connect())
        .await
        .with_context(|| format!("no answer within {CONNECT_SECONDS_MAX} s"))?
        .map_err(anyhow::Error::from)
}

fn is_other_role(error: &anyhow::Error) -> bool {
    let database = error
        .downcast_ref::<sqlx::Error>()
        .and_then(sqlx::Error::as_database_error);
    let code = database.and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| OTHER_ROLE.contains(&code.as_ref()))
}

/// Whether some session of this database holds the lock.
async fn is_held(connection: &mut PgConnection, lock: i64) -> anyhow::Result<bool> {
    sqlx::query_scalar(
        "select exists (
             select
             from pg_locks
             join pg_database on pg_database.oid = pg_locks.database
             where pg_locks.locktype = 'advisory'
                 and pg_database.datname = current_database()
                 and pg_locks.classid::bigint = $1 >> 32
                 and pg_locks.objid::bigint = $1 & 4294967295
                 and pg_locks.objsubid = 1
                 and pg_locks.granted
         )",
    )
    .bind(lock)
    .fetch_one(connection)
    .await
    .context("cannot read the locks")
}
