//! Group commit: appends that come while a batch is being written share the next one, its lock and its flush.
//!
//! A batch behaves as its appends executed one after another, in the order in which they came. The database decides a
//! batch on the state before it, so an append that touches a stream, a command id or a guarded tag of an earlier one
//! waits for a later batch ([`compose`]).

use std::collections::{HashSet, VecDeque};

use backon::{ExponentialBuilder, Retryable};
use foldline_events::{Cursor, partition_of};
use sqlx::{PgPool, Row, postgres::PgRow};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::{
    Append, EVENTS_PER_APPEND_MAX, Error, Expected, GUARDS_PER_APPEND_MAX, PAYLOAD_BYTES_MAX,
    Receipt, TAGS_PER_EVENT_MAX, Verdict, WRITES_PER_APPEND_MAX,
};

/// How many appends share a batch at most.
const BATCH_APPENDS_MAX: usize = 1_000;
/// How many bytes of payload share a batch at most; one append may exceed it alone.
const BATCH_BYTES_MAX: usize = 8 * 1024 * 1024;
/// How many appends are looked at for one batch, so that composing stays cheap under a flood on one stream.
const LOOKAHEAD_APPENDS_MAX: usize = 4_096;

/// A batch whose outcome is unknown is sent again this often; the ledger of command ids makes that harmless.
const RETRIES_MAX: usize = 8;
const RETRY_PAUSE_MS_MIN: u64 = 50;
const RETRY_PAUSE_MS_MAX: u64 = 2_000;

/// Separates an event's tags on their way into the database.
const TAG_SEPARATOR: char = '\u{1f}';

pub(crate) struct Request {
    append: Append,
    answer: oneshot::Sender<Result<Verdict, Error>>,
}

impl Request {
    pub(crate) fn new(append: Append) -> (Self, oneshot::Receiver<Result<Verdict, Error>>) {
        let (answer, receiver) = oneshot::channel();
        (Self { append, answer }, receiver)
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
        if !streams.insert(write.stream.as_str()) {
            return malformed(format!("stream {} is written twice", write.stream));
        }
    }
    if append
        .guards
        .iter()
        .any(|guard| guard.event_types.is_empty())
    {
        return malformed("a guard names no event types".to_owned());
    }
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
        if encoded
            .tags
            .iter()
            .any(|tag| tag.is_empty() || tag.contains([TAG_SEPARATOR, ' ']))
        {
            return malformed("a tag is empty or holds a space or a separator".to_owned());
        }
    }
    Ok(())
}

/// Writes batches until every sender is gone and the queue is empty.
pub(crate) async fn run(
    pool: PgPool,
    epoch: Uuid,
    mut requests: mpsc::Receiver<Request>,
    moved: watch::Sender<u64>,
) {
    let mut waiting = VecDeque::new();
    loop {
        if waiting.is_empty() {
            match requests.recv().await {
                Some(request) => waiting.push_back(request),
                None => return,
            }
        }
        while waiting.len() < LOOKAHEAD_APPENDS_MAX {
            match requests.try_recv() {
                Ok(request) => waiting.push_back(request),
                Err(_) => break,
            }
        }
        let batch = compose(&mut waiting);
        metrics::histogram!("foldline_log_batch_appends").record(size_as_f64(batch.len()));
        if write(&pool, epoch, batch).await {
            moved.send_modify(|count| *count = count.wrapping_add(1));
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "batches are far below 2^52")]
fn size_as_f64(size: usize) -> f64 {
    size as f64
}

/// Takes the next batch from those waiting, in their order, leaving behind each append that touches an earlier one,
/// whether that one is in the batch or was left behind itself.
fn compose(waiting: &mut VecDeque<Request>) -> Vec<Request> {
    let mut touched = Touched::default();
    let mut batch = Vec::new();
    let mut left = VecDeque::new();
    let mut bytes = 0;
    while let Some(request) = waiting.pop_front() {
        let size = payload_bytes(&request.append);
        let full = batch.len() >= BATCH_APPENDS_MAX
            || (bytes + size > BATCH_BYTES_MAX && !batch.is_empty());
        if full {
            left.push_back(request);
            break;
        }
        let apart = touched.is_apart_from(&request.append);
        touched.add(&request.append);
        if apart {
            bytes += size;
            batch.push(request);
        } else {
            left.push_back(request);
        }
    }
    left.append(waiting);
    *waiting = left;
    batch
}

fn payload_bytes(append: &Append) -> usize {
    let events = append.writes.iter().flat_map(|write| &write.events);
    events.map(|event| event.encoded.payload.len()).sum()
}

/// What the appends so far read or write; each key with its tenant and kind.
#[derive(Default)]
struct Touched {
    streams_and_commands: HashSet<(String, String)>,
    tags_written: HashSet<(String, String)>,
}

impl Touched {
    fn is_apart_from(&self, append: &Append) -> bool {
        let tenant = append.tenant.as_str();
        let key = |name: &str| (tenant.to_owned(), name.to_owned());
        let streams_apart = append
            .writes
            .iter()
            .all(|write| !self.streams_and_commands.contains(&key(&write.stream)));
        let command_apart = !self
            .streams_and_commands
            .contains(&key(&command_key(append.command_id)));
        let guards_apart = append
            .guards
            .iter()
            .all(|guard| !self.tags_written.contains(&key(&guard.tag)));
        streams_apart && command_apart && guards_apart
    }

    fn add(&mut self, append: &Append) {
        let tenant = append.tenant.as_str();
        let key = |name: &str| (tenant.to_owned(), name.to_owned());
        self.streams_and_commands
            .insert(key(&command_key(append.command_id)));
        for write in &append.writes {
            self.streams_and_commands.insert(key(&write.stream));
            for tag in write.events.iter().flat_map(|event| &event.encoded.tags) {
                self.tags_written.insert(key(tag));
            }
        }
    }
}

/// A colon cannot begin a stream's name, so the two kinds of key never meet.
fn command_key(command_id: Uuid) -> String {
    format!(":{}", command_id.simple())
}

/// Writes one batch and answers each of its appends. Returns whether anything was stored.
async fn write(pool: &PgPool, epoch: Uuid, batch: Vec<Request>) -> bool {
    let appends: Vec<&Append> = batch.iter().map(|request| &request.append).collect();
    match persist(pool, epoch, &appends).await {
        Ok(verdicts) => {
            let stored = verdicts
                .iter()
                .any(|verdict| matches!(verdict, Verdict::Appended(_)));
            for (request, verdict) in batch.into_iter().zip(verdicts) {
                // Whoever asked may be gone; the verdict stands all the same.
                let _ = request.answer.send(Ok(verdict));
            }
            stored
        }
        Err(Error::Refused(_)) if batch.len() > 1 => write_one_by_one(pool, epoch, batch).await,
        Err(error) => {
            answer_all(batch, error);
            false
        }
    }
}

/// One bad append must not spoil the batch it came in.
async fn write_one_by_one(pool: &PgPool, epoch: Uuid, batch: Vec<Request>) -> bool {
    let mut stored = false;
    for request in batch {
        let verdict = persist(pool, epoch, &[&request.append]).await;
        let verdict = verdict.map(|mut verdicts| verdicts.remove(0));
        stored |= matches!(verdict, Ok(Verdict::Appended(_)));
        let _ = request.answer.send(verdict);
    }
    stored
}

/// The first append gets the error with its cause; the others the same in words.
fn answer_all(batch: Vec<Request>, error: Error) {
    let unavailable_ms = match &error {
        Error::Unavailable { waited_ms, .. } => Some(*waited_ms),
        _ => None,
    };
    let mut first = Some(error);
    for request in batch {
        let error = first.take().unwrap_or_else(|| Error::Unavailable {
            waited_ms: unavailable_ms.unwrap_or(0),
            source: sqlx::Error::WorkerCrashed,
        });
        let _ = request.answer.send(Err(error));
    }
}

/// Sends a batch to the database, again and again while the database is away: an append whose COMMIT was sent and not
/// answered is found in the ledger by the next try.
async fn persist(pool: &PgPool, epoch: Uuid, appends: &[&Append]) -> Result<Vec<Verdict>, Error> {
    let began = Instant::now();
    let backoff = ExponentialBuilder::default()
        .with_min_delay(std::time::Duration::from_millis(RETRY_PAUSE_MS_MIN))
        .with_max_delay(std::time::Duration::from_millis(RETRY_PAUSE_MS_MAX))
        .with_max_times(RETRIES_MAX);
    let rows = (|| execute(pool, appends))
        .retry(backoff)
        .when(is_transient)
        .notify(|error, pause| tracing::warn!(%error, ?pause, "appending again"))
        .await;
    match rows {
        Ok(rows) => rows
            .iter()
            .map(|row| verdict(row, epoch))
            .collect::<Result<_, _>>()
            .map_err(Error::Refused),
        Err(source) if is_transient(&source) => Err(Error::Unavailable {
            waited_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            source,
        }),
        Err(source) => Err(Error::Refused(source)),
    }
}

/// Whether the same statement may succeed later: the connection or the server failed, not the append.
fn is_transient(error: &sqlx::Error) -> bool {
    match error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
    {
        // Classes: 08 connection, 40 rollback, 53 resources, 55 lock, 57 operator, 58 system.
        Some(code) => ["08", "40", "53", "55", "57", "58"]
            .iter()
            .any(|class| code.starts_with(class)),
        None => !matches!(
            error,
            sqlx::Error::Encode(_)
                | sqlx::Error::ColumnDecode { .. }
                | sqlx::Error::ColumnNotFound(_)
        ),
    }
}

async fn execute(pool: &PgPool, appends: &[&Append]) -> Result<Vec<PgRow>, sqlx::Error> {
    fail::fail_point!("log_before_append", |_| std::process::abort());
    let columns = Columns::from(appends);
    let rows = columns.query().fetch_all(pool).await?;
    fail::fail_point!("log_after_append", |_| std::process::abort());
    Ok(rows)
}

fn verdict(row: &PgRow, epoch: Uuid) -> Result<Verdict, sqlx::Error> {
    let receipt = || {
        Ok::<_, sqlx::Error>(Receipt {
            stream: row.try_get("stream")?,
            version: row.try_get("version")?,
            cursor: Cursor {
                epoch,
                position: row.try_get("position")?,
                partition: row.try_get("partition")?,
            },
        })
    };
    match row.try_get::<&str, _>("verdict")? {
        "appended" => Ok(Verdict::Appended(receipt()?)),
        "known" => Ok(Verdict::Known(receipt()?)),
        "input_differs" => Ok(Verdict::InputDiffers),
        "conflict" => Ok(Verdict::Conflict {
            stream: row.try_get("stream")?,
            version: row.try_get("version")?,
        }),
        "guarded" => Ok(Verdict::Guarded {
            by: row.try_get("position")?,
        }),
        other => Err(sqlx::Error::Decode(
            format!("no such verdict: {other}").into(),
        )),
    }
}

/// A batch as the arrays that `log.append` takes, in the order of its parameters.
#[derive(Default)]
struct Columns<'a> {
    tenants: Vec<&'a str>,
    command_ids: Vec<Uuid>,
    input_hmacs: Vec<&'a [u8]>,
    actors: Vec<&'a str>,
    correlation_ids: Vec<Uuid>,
    causation_ids: Vec<Uuid>,
    trace_contexts: Vec<Option<&'a str>>,
    write_appends: Vec<i32>,
    write_streams: Vec<&'a str>,
    write_partitions: Vec<i16>,
    write_expected: Vec<Option<i64>>,
    guard_appends: Vec<i32>,
    guard_tags: Vec<&'a str>,
    guard_types: Vec<String>,
    guard_after: Vec<i64>,
    event_writes: Vec<i32>,
    event_ids: Vec<Uuid>,
    event_types: Vec<&'a str>,
    event_schema_versions: Vec<i16>,
    event_payloads: Vec<&'a str>,
    event_tags: Vec<String>,
    event_occurred_at: Vec<chrono::DateTime<chrono::Utc>>,
}

impl<'a> Columns<'a> {
    fn from(appends: &[&'a Append]) -> Self {
        let mut columns = Self::default();
        for append in appends {
            columns.add(append);
        }
        columns
    }

    fn add(&mut self, append: &'a Append) {
        self.tenants.push(append.tenant.as_str());
        self.command_ids.push(append.command_id);
        self.input_hmacs.push(&append.input_hmac);
        self.actors.push(&append.actor);
        self.correlation_ids.push(append.correlation_id);
        self.causation_ids.push(append.causation_id);
        self.trace_contexts.push(append.trace_context.as_deref());
        let append_number = number(self.tenants.len());
        for guard in &append.guards {
            self.guard_appends.push(append_number);
            self.guard_tags.push(&guard.tag);
            self.guard_types.push(guard.event_types.join(","));
            self.guard_after.push(guard.after);
        }
        for write in &append.writes {
            self.write_appends.push(append_number);
            self.write_streams.push(&write.stream);
            self.write_partitions
                .push(partition_of(&append.tenant, &write.stream));
            self.write_expected.push(match write.expected {
                Expected::Any => None,
                Expected::Exists => Some(-1),
                Expected::NoStream => Some(0),
                Expected::Exactly(version) => Some(version),
            });
            let write_number = number(self.write_appends.len());
            for event in &write.events {
                self.event_writes.push(write_number);
                self.event_ids.push(event.id);
                self.event_types.push(event.encoded.event_type);
                self.event_schema_versions
                    .push(event.encoded.schema_version);
                self.event_payloads.push(&event.encoded.payload);
                self.event_tags
                    .push(event.encoded.tags.join(&TAG_SEPARATOR.to_string()));
                self.event_occurred_at.push(event.occurred_at);
            }
        }
    }

    fn query(&self) -> sqlx::query::Query<'_, sqlx::Postgres, sqlx::postgres::PgArguments> {
        sqlx::query(
            "select append, verdict, stream, version, position, partition
             from log.append(
                 $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22
             )",
        )
        .bind(&self.tenants)
        .bind(&self.command_ids)
        .bind(&self.input_hmacs)
        .bind(&self.actors)
        .bind(&self.correlation_ids)
        .bind(&self.causation_ids)
        .bind(&self.trace_contexts)
        .bind(&self.write_appends)
        .bind(&self.write_streams)
        .bind(&self.write_partitions)
        .bind(&self.write_expected)
        .bind(&self.guard_appends)
        .bind(&self.guard_tags)
        .bind(&self.guard_types)
        .bind(&self.guard_after)
        .bind(&self.event_writes)
        .bind(&self.event_ids)
        .bind(&self.event_types)
        .bind(&self.event_schema_versions)
        .bind(&self.event_payloads)
        .bind(&self.event_tags)
        .bind(&self.event_occurred_at)
    }
}

/// Arrays in the database are numbered from 1; batches are far too small to overflow.
fn number(count: usize) -> i32 {
    i32::try_from(count).expect("a batch has fewer than 2^31 elements")
}
