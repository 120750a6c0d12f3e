//! Snapshots: states of streams up to a version, kept beside the log so that whoever folds a long stream need not begin
//! with its first event.
//!
//! They are a cache and no part of the log. A snapshot is found only by the fold that made it, and is given out only if
//! its bytes are those that were kept and its last event is the one that the log holds there; a wrong one is dropped, and
//! the stream replayed. What a state means, and how it is written, is the caller's affair.

use foldline_events::{Position, Tenant, Version};
use sqlx::Row;
use tracing::warn;
use uuid::Uuid;

use crate::{EVENTS_PER_APPEND_MAX, Error, Log, Mark};

/// How long a state may be, in bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Of how many folds a stream's states are kept: of the one that kept its state last, and of the one before it. While two
/// builds run side by side, as during a deployment, neither drops the other's.
pub const SNAPSHOT_FOLDS_MAX: i64 = 2;

/// Which segments an event of an append is in is known by the append's last position.
const EVENTS_PER_APPEND: Position = EVENTS_PER_APPEND_MAX as Position;

/// A stream, and what folds it.
#[derive(Debug, Clone, Copy)]
pub struct Folding<'a> {
    /// Whose stream it is.
    pub tenant: &'a Tenant,
    /// The stream's id.
    pub stream: &'a str,
    /// Names the code that makes the state of the events, and how the state is written: best by a hash of both, so that
    /// it is another as soon as either changes. At most some hundred bytes.
    pub fold: &'a str,
}

/// The state of a stream as it was at a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Of the last event in it, from 1. Go on with [`Log::read_stream`] after it.
    pub version: Version,
    /// Of the same event.
    pub position: Position,
    /// The id of the same event.
    pub event_id: Uuid,
    /// As it was given to [`Log::keep_snapshot`], byte for byte.
    pub state: Vec<u8>,
}

impl Log {
    /// The state that this fold kept of the stream; `None` when there is none. One whose bytes are damaged, or whose
    /// event is not in the log at its version (the log was restored, or is another), is dropped first. Whether the
    /// bytes can be read is for the caller to find out, and to say by [`Log::drop_snapshot`].
    ///
    /// # Errors
    /// [`Error::Read`], also for a service that may not read snapshots: only [`crate::Service::Command`] may.
    /// [`Error::Snapshot`] when a wrong one could not be dropped. Either way replaying the stream is right. [`Error::Overloaded`]
    /// when too many reads of the tenant are waiting.
    pub async fn snapshot(&self, of: Folding<'_>) -> Result<Option<Snapshot>, Error> {
        let share = self.inner.share(of.tenant).await;
        let _share = share.inspect_err(|_| count("failed"))?;
        let found = self.found(of).await.inspect_err(|_| count("failed"))?;
        let Some((snapshot, is_whole)) = found else {
            count("absent");
            return Ok(None);
        };
        if !is_whole {
            self.drop_snapshot(of, "its bytes are damaged").await?;
            return Ok(None);
        }
        let is_of_this_log = self.has_event(of, &snapshot).await;
        if !is_of_this_log.inspect_err(|_| count("failed"))? {
            let why = "its last event is not in this log: the log was restored or replaced";
            self.drop_snapshot(of, why).await?;
            return Ok(None);
        }
        self.inner.seen.note(Mark {
            position: snapshot.position,
            event_id: snapshot.event_id,
        });
        count("taken");
        Ok(Some(snapshot))
    }

    /// What was kept, and whether its bytes are those that were.
    async fn found(&self, of: Folding<'_>) -> Result<Option<(Snapshot, bool)>, Error> {
        let query = sqlx::query(
            "select version, position, event_id, state,
                 sha256(int8send(version) || int8send(position) || uuid_send(event_id) || state) = digest as is_whole
             from log.snapshots
             where tenant = $1
               and stream = $2
               and fold = $3",
        )
        .bind(of.tenant.as_str())
        .bind(of.stream)
        .bind(of.fold);
        let row = self.inner.read(async |on| query.fetch_optional(on).await);
        Ok(row.await?.map(|row| {
            let snapshot = Snapshot {
                version: row.get("version"),
                position: row.get("position"),
                event_id: row.get("event_id"),
                state: row.get("state"),
            };
            (snapshot, row.get("is_whole"))
        }))
    }

    /// Whether the log holds a snapshot's last event where the snapshot says. By a position that the planner knows, which
    /// leaves all segments but one alone.
    async fn has_event(&self, of: Folding<'_>, snapshot: &Snapshot) -> Result<bool, Error> {
        let query = sqlx::query_scalar(
            "select exists (
                 select
                 from log.events
                 where position = $1
                   and id = $2
                   and tenant = $3
                   and stream = $4
                   and version = $5
             )",
        )
        .bind(snapshot.position)
        .bind(snapshot.event_id)
        .bind(of.tenant.as_str())
        .bind(of.stream)
        .bind(snapshot.version);
        self.inner.read(async |on| query.fetch_one(on).await).await
    }

    /// Keeps the state that this fold made of the stream's events up to a version, whose event has that id. `through` is the
    /// last position of the append that recorded it, or its own. Whether it is kept: not beside a newer one, and not when the
    /// log holds another event at that version, or none. States of folds beyond [`SNAPSHOT_FOLDS_MAX`] are removed, those kept longest ago first.
    ///
    /// # Errors
    /// [`Error::SnapshotTooLarge`] for more than [`SNAPSHOT_BYTES_MAX`]; [`Error::Snapshot`] otherwise. Nothing depends on
    /// a snapshot, so there is no need to try again.
    pub async fn keep_snapshot(
        &self,
        of: Folding<'_>,
        version: Version,
        event_id: Uuid,
        through: Position,
        state: &[u8],
    ) -> Result<bool, Error> {
        if state.len() > SNAPSHOT_BYTES_MAX {
            count("failed");
            return Err(Error::SnapshotTooLarge {
                bytes: state.len(),
                bytes_max: SNAPSHOT_BYTES_MAX,
            });
        }
        let query = sqlx::query(
            "with surplus as (
                 delete from log.snapshots
                 where tenant = $1
                   and stream = $2
                   and fold in (
                       select s.fold
                       from log.snapshots s
                       where s.tenant = $1
                         and s.stream = $2
                         and s.fold <> $3
                       order by s.kept_at desc, s.fold
                       offset $7
                   )
             )
             insert into log.snapshots as present
                 (tenant, stream, fold, version, position, event_id, state, digest, kept_at)
             select e.tenant, e.stream, $3, e.version, e.position, e.id, $6,
                 sha256(int8send(e.version) || int8send(e.position) || uuid_send(e.id) || $6), clock_timestamp()
             from log.events e
             where e.tenant = $1
               and e.stream = $2
               and e.version = $4
               and e.id = $5
               and e.position <= $8
               and e.position > $9
             on conflict (tenant, stream, fold) do update
             set version = excluded.version,
                 position = excluded.position,
                 event_id = excluded.event_id,
                 state = excluded.state,
                 digest = excluded.digest,
                 kept_at = excluded.kept_at
             where present.version < excluded.version",
        )
        .bind(of.tenant.as_str())
        .bind(of.stream)
        .bind(of.fold)
        .bind(version)
        .bind(event_id)
        .bind(state)
        .bind(SNAPSHOT_FOLDS_MAX - 1)
        .bind(through)
        .bind(through - EVENTS_PER_APPEND);
        let kept = self.inner.read(async |on| query.execute(on).await);
        let kept = kept.await.map_err(failed)?;
        let is_kept = kept.rows_affected() > 0;
        if is_kept {
            count("kept");
        }
        Ok(is_kept)
    }

    /// Removes a snapshot that turned out to be wrong, and says so, with the reason, in the log of this process.
    ///
    /// # Errors
    /// [`Error::Snapshot`].
    pub async fn drop_snapshot(&self, of: Folding<'_>, why: &str) -> Result<(), Error> {
        count("wrong");
        warn!(
            tenant = %of.tenant,
            stream = of.stream,
            fold = of.fold,
            why,
            "a snapshot is wrong: dropping it and replaying the stream"
        );
        let query = sqlx::query(
            "delete from log.snapshots
             where tenant = $1
               and stream = $2
               and fold = $3",
        )
        .bind(of.tenant.as_str())
        .bind(of.stream)
        .bind(of.fold);
        let dropped = self.inner.read(async |on| query.execute(on).await);
        dropped.await.map(|_| ()).map_err(failed)
    }
}

/// What a failed write of a snapshot was.
fn failed(error: Error) -> Error {
    count("failed");
    if let Error::Read(source) = error {
        Error::Snapshot(source)
    } else {
        error
    }
}

fn count(outcome: &'static str) {
    metrics::counter!("foldline_log_snapshots_total", "outcome" => outcome).increment(1);
}
