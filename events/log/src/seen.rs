//! The newest event that this process has seen of the log, and whether the log still holds it.
//!
//! A log that is restored, or loses its end in a failover, goes back under processes that run. What they made of it (states
//! in a cache, positions to read on from) is then of a history that is no more. None of their old connections
//! survives that, so it is enough to compare on each new one, before anything else is done with it: the epoch, and the
//! newest event seen, because a log that holds it holds everything before it, too.

use std::sync::{Mutex, PoisonError};

use sqlx::{PgConnection, Row};
use tokio::sync::watch;
use uuid::Uuid;

use crate::{Append, Error, Mark, Verdict};

/// Shared by everything in this process that reads or appends through one [`crate::Log`].
#[derive(Debug)]
pub(crate) struct Seen {
    epoch: Uuid,
    newest: Mutex<Mark>,
    /// Why a new connection could not be compared, last.
    trouble: Mutex<Option<sqlx::Error>>,
    replaced: watch::Sender<Option<Replaced>>,
}

/// How the log was found to be another. It stays so: this process has to begin anew.
#[derive(Debug, Clone, Copy)]
enum Replaced {
    /// The newest event seen is not in it.
    WithoutEvent(Mark),
    /// It has this epoch.
    OfEpoch(Uuid),
}

impl Seen {
    pub(crate) fn new(epoch: Uuid) -> Self {
        Self {
            epoch,
            newest: Mutex::new(Mark::START),
            trouble: Mutex::new(None),
            replaced: watch::Sender::new(None),
        }
    }

    pub(crate) fn newest(&self) -> Mark {
        *self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, mark: Mark) {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        if mark.position > newest.position {
            *newest = mark;
        }
    }

    /// What became of appends; the receipt of one that was stored is of its last event.
    pub(crate) fn note_appends(&self, appends: &[&Append], verdicts: &[Option<Verdict>]) {
        for (append, verdict) in appends.iter().zip(verdicts) {
            let Some(Verdict::Appended(receipt)) = verdict else {
                continue;
            };
            let mut events = append
                .writes
                .iter()
                .rev()
                .flat_map(|write| write.events.iter().rev());
            if let Some(last) = events.next() {
                self.note(Mark {
                    position: receipt.cursor.position,
                    event_id: last.id,
                });
            }
        }
    }

    /// [`Self::compare`] for a pool, which does not tell why a connection was refused.
    pub(crate) async fn admit(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let compared = self.compare(connection).await;
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let (answer, last) = match compared {
            Ok(()) => (Ok(()), None),
            Err(error) => (Err(sqlx::Error::WorkerCrashed), Some(error)),
        };
        *trouble = last;
        answer
    }

    /// Why the last new connection was refused.
    pub(crate) fn take_trouble(&self) -> Option<sqlx::Error> {
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.take()
    }

    /// Compares a log that was newly connected to with what was seen.
    pub(crate) async fn compare(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let newest = self.newest();
        let row = sqlx::query(
            "select epoch, $1 = 0 or exists (select from log.events where position = $1 and id = $2) as has_newest
             from log.cell",
        )
        .bind(newest.position)
        .bind(newest.event_id)
        .fetch_one(connection)
        .await?;
        let epoch: Uuid = row.get("epoch");
        let replaced = if epoch != self.epoch {
            Replaced::OfEpoch(epoch)
        } else if !row.get::<bool, _>("has_newest") {
            Replaced::WithoutEvent(newest)
        } else {
            return Ok(());
        };
        let error = self.error(replaced);
        if self.replaced.send_replace(Some(replaced)).is_none() {
            tracing::error!(%error, "this process uses the log no more; start it again");
        }
        Err(sqlx::Error::Configuration(error.into()))
    }

    /// # Errors
    /// [`Error::AnotherLog`] or [`Error::AnotherEpoch`] once the log was found to be another.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let replaced = *self.replaced.borrow();
        replaced.map_or(Ok(()), |replaced| Err(self.error(replaced)))
    }

    /// Waits until the log is found to be another.
    pub(crate) async fn replaced(&self) -> Error {
        let mut found = self.replaced.subscribe();
        let found = found.wait_for(Option::is_some).await;
        let replaced = found.expect("the sender is ours").expect("waited for");
        self.error(replaced)
    }

    fn error(&self, replaced: Replaced) -> Error {
        match replaced {
            Replaced::WithoutEvent(mark) => Error::AnotherLog {
                position: mark.position,
                expected: mark.event_id,
            },
            Replaced::OfEpoch(present) => Error::AnotherEpoch {
                present,
                expected: self.epoch,
            },
        }
    }
}
