//! A batch on its way to its verdicts, whatever the database makes of it: tries, and who is answered what.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use tokio::time::Instant;

use super::{Request, compose::share, writer::Writer};
use crate::{Append, Error, Verdict, prepared};

/// A batch whose outcome is unknown is sent again this often; the ledger of command ids makes that harmless.
const RETRIES_MAX: usize = 8;
/// No further try begins after this long, nor a first one for those who waited so long behind others: they are told to
/// come back.
const UNAVAILABLE_AFTER_MS: u64 = 4_000;
const RETRY_PAUSE_MS_MIN: u64 = 50;
const RETRY_PAUSE_MS_MAX: u64 = 2_000;

/// The code of an append with a guard on a position that the log does not reach to.
const GUARD_BEYOND_HEAD: &str = "FLD01";

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Written {
    /// At least one append was stored.
    pub(super) stored: bool,
    /// At least one could not be written, because the database was away.
    pub(super) is_away: bool,
}

/// Writes one batch and answers each of its appends.
///
/// One bad append must not spoil the batch it came in, nor make it cost what its appends cost one by one: where the database
/// refuses a batch, its halves are written, and halves of the half that holds it.
pub(super) async fn write(writer: &mut Writer, batch: Vec<Request>) -> Written {
    let mut written = Written::default();
    let mut is_away = false;
    // Beside each part, whether a try may have stored some of it, and got no answer.
    let mut waiting = vec![(batch, false)];
    while let Some((part, mut is_unknown)) = waiting.pop() {
        let part = match is_away {
            true => give_up_late(part, is_unknown),
            false => part,
        };
        if part.is_empty() {
            continue;
        }
        let appends: Vec<&Append> = part.iter().map(|request| &*request.append).collect();
        match persist(writer, &appends, &mut is_unknown).await {
            Ok(verdicts) => {
                is_away = false;
                let mut others = Vec::new();
                for (request, verdict) in part.into_iter().zip(verdicts) {
                    match verdict {
                        Some(verdict) => {
                            written.stored |= is_stored(&verdict);
                            request.answer(Ok(verdict));
                        }
                        None => others.push(request),
                    }
                }
                // Where some are in the way of themselves, none is stored: those were answered. Each turn answers at least one.
                waiting.push((others, false));
            }
            Err(Error::Refused(_) | Error::BeyondHead { .. }) if part.len() > 1 => {
                let (first, second) = in_halves(part);
                waiting.extend([(second, is_unknown), (first, is_unknown)]);
            }
            Err(Error::Unavailable { source, .. }) if part.len() > 1 && took_too_long(&source) => {
                written = write_each_briefly(writer, part, is_unknown, written).await;
            }
            Err(error) => {
                is_away = is_unavailable(&error);
                written.is_away |= is_away;
                let waited = part.iter().map(|request| request.came.elapsed()).max();
                let error = told(error, is_unknown, waited.unwrap_or_default());
                answer_all(part, error, is_unknown);
            }
        }
    }
    written
}

/// What refuses a later try says nothing of an earlier one.
fn told(error: Error, is_unknown: bool, waited: Duration) -> Error {
    if let Error::Unavailable {
        waited_ms, source, ..
    } = error
    {
        return Error::Unavailable {
            waited_ms,
            is_unknown,
            source,
        };
    }
    if is_unknown && let Error::Refused(source) = error {
        return unavailable(source, true, waited);
    }
    error
}

fn in_halves(mut batch: Vec<Request>) -> (Vec<Request>, Vec<Request>) {
    let second = batch.split_off(batch.len() / 2);
    (batch, second)
}

/// While the database is away, those who waited long enough are not tried again.
fn give_up_late(batch: Vec<Request>, is_unknown: bool) -> Vec<Request> {
    let (late, in_time): (Vec<_>, Vec<_>) = batch.into_iter().partition(is_late);
    give_up(late, is_unknown);
    in_time
}

fn is_unavailable(error: &Error) -> bool {
    matches!(error, Error::Unavailable { .. })
}

/// Known counts, too: it may have been stored by a try of ours that got no answer.
fn is_stored(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Appended(_) | Verdict::Known(_))
}

/// A batch took longer than the database gives a statement. So that one costly append does not take the others' answers
/// away, each is tried once more by itself, the cheapest first, and for a short while only.
///
/// Where the cause is none of them (a disk that stands still), this asks little more of the database: what is tried is
/// bounded in time, all tries together and each.
async fn write_each_briefly(
    writer: &mut Writer,
    mut batch: Vec<Request>,
    is_unknown: bool,
    mut written: Written,
) -> Written {
    tracing::warn!(
        appends = batch.len(),
        "a batch took too long; appending each by itself"
    );
    // Those of a batch do not touch each other: any order among them is one in which they may have come.
    batch.sort_by_key(|request| share(request.cost));
    writer.be_brief();
    let until = Instant::now() + Duration::from_millis(UNAVAILABLE_AFTER_MS);
    let mut answered = false;
    for request in batch {
        if Instant::now() >= until {
            give_up([request], is_unknown);
            continue;
        }
        let verdict = match writer.write(&[&request.append]).await {
            Ok(verdicts) => Ok(only(verdicts)),
            Err(error) => {
                let is_unknown = is_unknown || is_unanswered(&error);
                let waited = request.came.elapsed();
                Err(told(failed(error, waited), is_unknown, waited))
            }
        };
        answered |= verdict.is_ok();
        written.stored |= verdict.as_ref().is_ok_and(is_stored);
        request.answer(verdict);
    }
    writer.be_patient();
    // One that answered anybody is there.
    written.is_away = !answered;
    written
}

/// A lone append is stored or refused.
fn only(mut verdicts: Vec<Option<Verdict>>) -> Verdict {
    let only = verdicts.pop().flatten();
    only.expect("a lone append is stored or refused")
}

/// The first append gets the error with its cause; the others the same in words.
fn answer_all(batch: Vec<Request>, error: Error, is_unknown: bool) {
    let mut first = Some(error);
    for request in batch {
        let error = first.take().unwrap_or_else(|| {
            unavailable(
                sqlx::Error::WorkerCrashed,
                is_unknown,
                request.came.elapsed(),
            )
        });
        request.answer(Err(error));
    }
}

/// While the database is away, those who waited long enough are not kept waiting for a batch of their own: of many that
/// touch one stream, each would wait for all those before it to be given up.
pub(super) fn give_up(late: impl IntoIterator<Item = Request>, is_unknown: bool) {
    for request in late {
        let waited = request.came.elapsed();
        let error = unavailable(sqlx::Error::WorkerCrashed, is_unknown, waited);
        request.answer(Err(error));
    }
}

/// Whether a request waited so long that it is given up while the database is away.
pub(super) fn is_late(request: &Request) -> bool {
    request.came.elapsed() >= Duration::from_millis(UNAVAILABLE_AFTER_MS)
}

/// Sends a batch to the database, again and again while the database is away: an append whose COMMIT was sent and not
/// answered is found in the ledger by the next try. `is_unknown` is set once a try was not answered.
async fn persist(
    writer: &mut Writer,
    appends: &[&Append],
    is_unknown: &mut bool,
) -> Result<Vec<Option<Verdict>>, Error> {
    let began = Instant::now();
    let mut pauses = ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(RETRY_PAUSE_MS_MIN))
        .with_max_delay(Duration::from_millis(RETRY_PAUSE_MS_MAX))
        .with_max_times(RETRIES_MAX)
        .build();
    loop {
        let error = match writer.write(appends).await {
            Ok(verdicts) => return Ok(verdicts),
            Err(error) if is_transient(&error) => error,
            Err(error) => return Err(failed(error, began.elapsed())),
        };
        *is_unknown |= is_unanswered(&error);
        // Of another log no try would say what became of an append.
        writer.check()?;
        let waited = began.elapsed();
        let pause = pauses
            .next()
            .filter(|_| waited < Duration::from_millis(UNAVAILABLE_AFTER_MS));
        let Some(pause) = pause else {
            return Err(unavailable(error, *is_unknown, waited));
        };
        tracing::warn!(%error, ?pause, "appending again");
        tokio::time::sleep(pause).await;
    }
}

fn unavailable(source: sqlx::Error, is_unknown: bool, waited: Duration) -> Error {
    Error::Unavailable {
        waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        is_unknown,
        source,
    }
}

/// What the server has refused it has not stored; a session that ended may have.
fn is_unanswered(error: &sqlx::Error) -> bool {
    error.as_database_error().is_none() || ends_the_session(error)
}

/// What is said of an append whose last try this was.
fn failed(error: sqlx::Error, waited: Duration) -> Error {
    if is_transient(&error) {
        let is_unknown = is_unanswered(&error);
        unavailable(error, is_unknown, waited)
    } else if prepared::is_absent(&error) {
        Error::not_migrated(&error)
    } else {
        beyond_head(&error).unwrap_or(Error::Refused(error))
    }
}

/// What `sql/append.sql` says of a guard on a position that the log does not reach to.
fn beyond_head(error: &sqlx::Error) -> Option<Error> {
    let said = error.as_database_error()?;
    let said = said.try_downcast_ref::<PgDatabaseError>()?;
    let (position, head) = said.detail()?.split_once(' ')?;
    (said.code() == GUARD_BEYOND_HEAD).then_some(Error::BeyondHead {
        position: position.parse().ok()?,
        head: head.parse().ok()?,
    })
}

/// Whether the database ended the statement because of its time. Waiting for the log's lock alone ends otherwise
/// (`LOCK_TIMEOUT`): then another process holds it, and nothing in the batch is to blame.
fn took_too_long(error: &sqlx::Error) -> bool {
    let code = error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code);
    code.as_deref() == Some("57014")
}

/// Whether the server ended the session, or began none, whatever it says of the cause: on a disk that is full it also does so
/// with codes that otherwise mean an error of its own.
fn ends_the_session(error: &sqlx::Error) -> bool {
    let said = error.as_database_error();
    let said = said.and_then(|said| said.try_downcast_ref::<PgDatabaseError>());
    said.is_some_and(|said| matches!(said.severity(), PgSeverity::Fatal | PgSeverity::Panic))
}

/// Whether the same statement may succeed later: the connection or the server failed, not the append.
pub(super) fn is_transient(error: &sqlx::Error) -> bool {
    if ends_the_session(error) {
        return true;
    }
    match error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
    {
        // Classes: 08 connection, 28 authorization, 3D catalog, 40 rollback, 53 resources, 55 lock, 57 operator,
        // 58 system; and of 25 a server that only reads for now, and a transaction that took too long.
        Some(code) => [
            "08", "25006", "25P04", "28", "3D", "40", "53", "55", "57", "58",
        ]
        .iter()
        .any(|class| code.starts_with(class)),
        // What could not be said was never sent. What could not be read was an answer, after a COMMIT.
        None => !matches!(error, sqlx::Error::Encode(_)),
    }
}
