//! Group commit: appends that come while a batch is being written share the next one, its lock and its flush.
//!
//! A batch behaves as its appends executed one after another, in the order in which they came. The database decides a
//! batch on the state before it, so an append that touches a stream, a command id or a guarded tag of an earlier one
//! waits for a later batch ([`compose`]).

mod columns;
mod compose;
mod holder;
mod identity;
mod lone;
mod places;
mod writer;

use std::{
    collections::{HashSet, VecDeque},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use foldline_events::Tenant;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::{
    Append, EVENTS_PER_APPEND_MAX, Error, Expected, GUARD_TAGS_MAX, GUARD_TYPES_MAX,
    GUARDS_PER_APPEND_MAX, Guard, PAYLOAD_BYTES_MAX, TAGS_PER_EVENT_MAX, Verdict,
    WRITES_PER_APPEND_MAX, prepared,
};

use compose::compose;
pub(crate) use identity::Identity;
pub(crate) use places::{Places, QUEUE_APPENDS_MAX};
pub(crate) use writer::Writer;

/// How many appends are looked at for one batch, so that composing stays cheap under a flood on one stream.
const LOOKAHEAD_APPENDS_MAX: usize = 4_096;

/// A batch does not wait for more appends once the tasks that were ready have brought none this often.
const GATHER_IN_VAIN_MAX: usize = 16;

/// A batch whose outcome is unknown is sent again this often; the ledger of command ids makes that harmless.
const RETRIES_MAX: usize = 8;
/// No further try begins after this long, nor a first one for those who waited so long behind others: they are told to
/// come back.
const UNAVAILABLE_AFTER_MS: u64 = 4_000;
const RETRY_PAUSE_MS_MIN: u64 = 50;
const RETRY_PAUSE_MS_MAX: u64 = 2_000;

/// Separates an event's tags on their way into the database.
pub(crate) const TAG_SEPARATOR: char = '\u{1f}';

pub(crate) struct Request {
    append: Append,
    came: Instant,
    answer: oneshot::Sender<Result<Verdict, Error>>,
}

impl Request {
    pub(crate) fn new(append: Append) -> (Self, oneshot::Receiver<Result<Verdict, Error>>) {
        let (answer, receiver) = oneshot::channel();
        let request = Self {
            append,
            came: Instant::now(),
            answer,
        };
        (request, receiver)
    }

    pub(crate) fn into_tenant(self) -> Tenant {
        self.append.tenant
    }
}

/// Refuses what could never be stored, before it costs a batch anything.
pub(crate) fn check(append: &Append) -> Result<(), Error> {
    let malformed = |what: String| Err(Error::Malformed(what));
    let events = append.writes.iter().flat_map(|write| &write.events);
    if !(1..=WRITES_PER_APPEND_MAX).contains(&append.writes.len()) {
        return malformed(format!(
            "it has {} writes, not 1 to {WRITES_PER_APPEND_MAX}",
            append.writes.len()
        ));
    }
    if !(1..=EVENTS_PER_APPEND_MAX).contains(&events.clone().count()) {
        return malformed(format!(
            "it has {} events, not 1 to {EVENTS_PER_APPEND_MAX}",
            events.count()
        ));
    }
    if append.guards.len() > GUARDS_PER_APPEND_MAX {
        return malformed(format!(
            "it has {} guards, not 0 to {GUARDS_PER_APPEND_MAX}",
            append.guards.len()
        ));
    }
    let mut streams = HashSet::new();
    for write in &append.writes {
        if let Expected::Exactly(version) = write.expected
            && version < 0
        {
            return malformed(format!(
                "stream {} is expected at version {version}; versions begin at 0",
                write.stream
            ));
        }
        if !streams.insert(write.stream.as_str()) {
            return malformed(format!("stream {} is written twice", write.stream));
        }
    }
    append.guards.iter().try_for_each(check_guard)?;
    for event in events {
        let encoded = &event.encoded;
        if encoded.payload.len() > PAYLOAD_BYTES_MAX {
            let size = encoded.payload.len();
            return malformed(format!(
                "a payload has {size} bytes, more than {PAYLOAD_BYTES_MAX}"
            ));
        }
        if encoded.tags.len() > TAGS_PER_EVENT_MAX {
            return malformed(format!(
                "an event has {} tags, more than {TAGS_PER_EVENT_MAX}",
                encoded.tags.len()
            ));
        }
        check_tags(&encoded.tags)?;
    }
    Ok(())
}

fn check_guard(guard: &Guard) -> Result<(), Error> {
    for (count, max, what) in [
        (guard.event_types.len(), GUARD_TYPES_MAX, "event types"),
        (guard.tags.len(), GUARD_TAGS_MAX, "tags"),
    ] {
        if !(1..=max).contains(&count) {
            return Err(Error::Malformed(format!(
                "a guard has {count} {what}, not 1 to {max}"
            )));
        }
    }
    check_tags(&guard.tags)
}

fn check_tags(tags: &[String]) -> Result<(), Error> {
    if tags
        .iter()
        .any(|tag| tag.is_empty() || tag.contains([TAG_SEPARATOR, ' ']))
    {
        let what = "a tag is empty or holds a space or a separator";
        return Err(Error::Malformed(what.to_owned()));
    }
    Ok(())
}

/// Writes batches until every sender is gone and the queue is empty.
pub(crate) async fn run(
    mut writer: Writer,
    mut requests: mpsc::Receiver<Request>,
    moved: watch::Sender<u64>,
) {
    let mut waiting = VecDeque::new();
    // Whoever is answered often asks again at once: as many as this time may come next time.
    let mut expected = 0;
    let mut is_away = false;
    loop {
        if waiting.is_empty() {
            match requests.recv().await {
                Some(request) => waiting.push_back(request),
                None => return,
            }
        }
        gather(&mut requests, &mut waiting, expected).await;
        if is_away {
            give_up(&mut waiting);
            if waiting.is_empty() {
                continue;
            }
        }
        let batch = compose(&mut waiting);
        expected = batch.len() + waiting.len();
        metrics::histogram!("foldline_log_batch_appends").record(size_as_f64(batch.len()));
        let written = write(&mut writer, batch).await;
        is_away = written.is_away;
        if written.stored {
            moved.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

/// Takes what has come, and lets as many as are expected come before the batch goes: without it those that were answered
/// last would just miss it, and half of all callers would wait for the other half, batch after batch. No time is waited:
/// the tasks that are ready run, and again as long as that brings something.
async fn gather(
    requests: &mut mpsc::Receiver<Request>,
    waiting: &mut VecDeque<Request>,
    expected: usize,
) {
    let expected = expected.min(LOOKAHEAD_APPENDS_MAX);
    let mut in_vain = 0;
    loop {
        let before = waiting.len();
        while waiting.len() < LOOKAHEAD_APPENDS_MAX {
            match requests.try_recv() {
                Ok(request) => waiting.push_back(request),
                Err(_) => break,
            }
        }
        in_vain = if waiting.len() == before {
            in_vain + 1
        } else {
            0
        };
        if waiting.len() >= expected || in_vain >= GATHER_IN_VAIN_MAX {
            return;
        }
        tokio::task::yield_now().await;
    }
}

/// While the database is away, those who waited long enough are not kept waiting for a batch of their own: of many that
/// touch one stream, each would wait for all those before it to be given up.
fn give_up(waiting: &mut VecDeque<Request>) {
    let late = Duration::from_millis(UNAVAILABLE_AFTER_MS);
    for request in std::mem::take(waiting) {
        let waited = request.came.elapsed();
        if waited < late {
            waiting.push_back(request);
        } else {
            let _ = request.answer.send(Err(unavailable(waited)));
        }
    }
}

/// One of many that share a cause.
fn unavailable(waited: Duration) -> Error {
    Error::Unavailable {
        waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
        source: sqlx::Error::WorkerCrashed,
    }
}

#[expect(clippy::cast_precision_loss, reason = "batches are far below 2^52")]
fn size_as_f64(size: usize) -> f64 {
    size as f64
}

/// What became of a batch.
#[derive(Debug, Clone, Copy, Default)]
struct Written {
    /// At least one append was stored.
    stored: bool,
    /// At least one could not be written, because the database was away.
    is_away: bool,
}

/// Writes one batch and answers each of its appends.
///
/// Where the database refuses some, it stores none: those are answered, and the others sent again. Each turn answers at
/// least one append.
async fn write(writer: &mut Writer, mut batch: Vec<Request>) -> Written {
    let mut written = Written::default();
    while !batch.is_empty() {
        let appends: Vec<&Append> = batch.iter().map(|request| &request.append).collect();
        match persist(writer, &appends).await {
            Ok(verdicts) => {
                let mut others = Vec::new();
                for (request, verdict) in batch.into_iter().zip(verdicts) {
                    match verdict {
                        Some(verdict) => {
                            written.stored |= is_stored(&verdict);
                            // Whoever asked may be gone; the verdict stands all the same.
                            let _ = request.answer.send(Ok(verdict));
                        }
                        None => others.push(request),
                    }
                }
                batch = others;
            }
            Err(Error::Refused(_)) if batch.len() > 1 => {
                return write_one_by_one(writer, batch, written).await;
            }
            Err(error) => {
                written.is_away = is_unavailable(&error);
                answer_all(batch, error);
                return written;
            }
        }
    }
    written
}

fn is_unavailable(error: &Error) -> bool {
    matches!(error, Error::Unavailable { .. })
}

/// Known counts, too: it may have been stored by a try of ours that got no answer.
fn is_stored(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Appended(_) | Verdict::Known(_))
}

/// One bad append must not spoil the batch it came in.
async fn write_one_by_one(
    writer: &mut Writer,
    batch: Vec<Request>,
    mut written: Written,
) -> Written {
    let mut batch = VecDeque::from(batch);
    while let Some(request) = batch.pop_front() {
        let verdict = persist(writer, &[&request.append]).await;
        let verdict = verdict.map(|mut verdicts| {
            let only = verdicts.remove(0);
            only.expect("a lone append is stored or refused")
        });
        written.stored |= verdict.as_ref().is_ok_and(is_stored);
        if verdict.as_ref().is_err_and(is_unavailable) {
            written.is_away = true;
            give_up(&mut batch);
        }
        let _ = request.answer.send(verdict);
    }
    written
}

/// The first append gets the error with its cause; the others the same in words.
fn answer_all(batch: Vec<Request>, error: Error) {
    let mut first = Some(error);
    for request in batch {
        let error = first.take();
        let error = error.unwrap_or_else(|| unavailable(request.came.elapsed()));
        let _ = request.answer.send(Err(error));
    }
}

/// Sends a batch to the database, again and again while the database is away: an append whose COMMIT was sent and not
/// answered is found in the ledger by the next try.
async fn persist(writer: &mut Writer, appends: &[&Append]) -> Result<Vec<Option<Verdict>>, Error> {
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
            Err(error) if prepared::is_absent(&error) => return Err(Error::not_migrated(&error)),
            Err(error) => return Err(Error::Refused(error)),
        };
        let waited = began.elapsed();
        let pause = pauses
            .next()
            .filter(|_| waited < Duration::from_millis(UNAVAILABLE_AFTER_MS));
        let Some(pause) = pause else {
            return Err(Error::Unavailable {
                waited_ms: u64::try_from(waited.as_millis()).unwrap_or(u64::MAX),
                source: error,
            });
        };
        tracing::warn!(%error, ?pause, "appending again");
        tokio::time::sleep(pause).await;
    }
}

/// Whether the same statement may succeed later: the connection or the server failed, not the append.
fn is_transient(error: &sqlx::Error) -> bool {
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
        None => !matches!(
            error,
            sqlx::Error::Encode(_)
                | sqlx::Error::Decode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
        ),
    }
}
