//! Many appenders at once, each noting what it asked and what it was answered: single events, several, two streams,
//! appends guarded by one tag and type, and by several. One without an answer is sent again with its id when the fault is over.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use foldline_events::{Position, Recorded, Version};
use foldline_log::{Append, Error, Expected, Guard, Log, NewEvent, Verdict, Write};
use futures_util::future::join_all;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{task::JoinHandle, time::Instant};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{PATIENCE, is_soak, whole};
use crate::store::{append, event};

/// How many streams are written by everybody.
const SHARED_STREAMS: u8 = 4;
/// The other tag of every event is one of so many.
const COLOURS: u8 = 2;
/// The longest between two appends of an appender, when not at full size: other tests run beside this.
const PAUSE_MS_MAX: u64 = 8;
/// After an error, so that one which comes at once does not fill the memory.
const PAUSE: Duration = Duration::from_millis(20);
/// An append that waits longer than this for any answer is one too long; the documented bounds are all below it.
pub const ANSWER_BOUND: Duration = Duration::from_secs(40);

pub const WRITTEN: &str = "load.Written";
/// What the guards of others exclude, one of them or both.
pub const CLOSED: &str = "load.Closed";
pub const REOPENED: &str = "load.Reopened";

/// One append as its sender saw it.
#[derive(Debug)]
pub struct Sent {
    pub append: Append,
    pub answer: Result<Verdict, Error>,
    /// What it was answered in the end, when the first answer was an error.
    pub retried: Option<Verdict>,
    pub waited: Duration,
}

/// Which id an append without an answer is sent again with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    SameId,
    /// A client's bug, for the check to find.
    FreshId,
}

/// The command ids of appends that were answered by an error.
type GivenUp = Arc<Mutex<Vec<Uuid>>>;

pub struct Load {
    stop: CancellationToken,
    appenders: Vec<JoinHandle<Vec<Sent>>>,
    acknowledged: Arc<AtomicUsize>,
    given_up: GivenUp,
    pub retry: Retry,
}

impl Load {
    /// The appenders share the logs, in turns.
    pub fn start(logs: &[Log], appenders: usize) -> Self {
        let (stop, acknowledged, given_up) = <(CancellationToken, Arc<_>, GivenUp)>::default();
        let start = |number: usize| {
            let appender = Appender {
                log: logs[number % logs.len()].clone(),
                random: StdRng::seed_from_u64(number as u64),
                name: format!("own-{number}-{}", Uuid::now_v7().simple()),
                generation: 0,
                version: 0,
                seen: 0,
            };
            let (acknowledged, given_up) = (Arc::clone(&acknowledged), Arc::clone(&given_up));
            tokio::spawn(appender.work(stop.clone(), acknowledged, given_up))
        };
        Self {
            appenders: (0..appenders).map(start).collect(),
            stop,
            acknowledged,
            given_up,
            retry: Retry::SameId,
        }
    }

    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// How many appends were answered by an error so far.
    pub fn failed(&self) -> usize {
        self.given_up.lock().unwrap().len()
    }

    /// Their command ids.
    pub fn given_up(&self) -> Vec<Uuid> {
        self.given_up.lock().unwrap().clone()
    }

    /// Until so many more were acknowledged: it goes on.
    pub async fn goes_on(&self, more: usize) {
        let due = self.acknowledged() + more;
        super::until("appends to be acknowledged", async || {
            self.acknowledged() >= due
        })
        .await;
    }

    /// Ends it, reads the log as it stands, and then has every append answered.
    pub async fn finish(self, log: &Log) -> (Vec<Sent>, Vec<Recorded>) {
        self.stop.cancel();
        let mut sent = Vec::new();
        for appender in self.appenders {
            sent.extend(appender.await.expect("an appender only appends"));
        }
        let before = whole(log).await;
        let unanswered = sent.iter_mut().filter(|sent| sent.answer.is_err());
        join_all(unanswered.map(|sent| answered(log, sent, self.retry))).await;
        (sent, before)
    }
}

async fn answered(log: &Log, sent: &mut Sent, retry: Retry) {
    let began = Instant::now();
    let mut append = sent.append.clone();
    if retry == Retry::FreshId {
        append.command_id = Uuid::now_v7();
    }
    loop {
        match log.append(append.clone()).await {
            Ok(verdict) => {
                sent.retried = Some(verdict);
                return;
            }
            // It was decided on what the log has lost, and says so.
            Err(error @ Error::BeyondHead { .. }) => {
                sent.answer = Err(error);
                return;
            }
            Err(error) => assert!(began.elapsed() < PATIENCE, "no answer any more: {error}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

struct Appender {
    log: Log,
    random: StdRng,
    name: String,
    /// Of its own stream: one whose append has no answer is left alone, because nobody knows its version.
    generation: u32,
    version: Version,
    seen: Position,
}

impl Appender {
    async fn work(
        mut self,
        stop: CancellationToken,
        acknowledged: Arc<AtomicUsize>,
        given_up: GivenUp,
    ) -> Vec<Sent> {
        let mut all = Vec::new();
        while !stop.is_cancelled() {
            let append = self.next();
            let began = Instant::now();
            let answer = tokio::time::timeout(ANSWER_BOUND, self.log.append(append.clone()))
                .await
                .expect("every append is answered within the bound");
            match &answer {
                Ok(Verdict::Appended(receipt) | Verdict::Known(receipt)) => {
                    (self.version, self.seen) = (receipt.version, receipt.cursor.position);
                    acknowledged.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Verdict::Guarded { by }) => self.seen = *by,
                // Both are complained of later.
                Ok(Verdict::Conflict { .. } | Verdict::InputDiffers) => self.leave_stream(),
                Err(_) => {
                    self.leave_stream();
                    given_up.lock().unwrap().push(append.command_id);
                    tokio::time::sleep(PAUSE).await;
                }
            }
            all.push(Sent {
                append,
                answer,
                retried: None,
                waited: began.elapsed(),
            });
            if !is_soak() {
                let pause = self.random.random_range(0..=PAUSE_MS_MAX);
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
        }
        all
    }

    fn leave_stream(&mut self) {
        (self.generation, self.version) = (self.generation + 1, 0);
    }

    fn next(&mut self) -> Append {
        let stream = format!("{}-{}", self.name, self.generation);
        let expected = match self.version {
            0 => Expected::NoStream,
            version => Expected::Exactly(version),
        };
        let shared = self.random.random_range(0..SHARED_STREAMS);
        let mut next = append(&stream, expected, vec![]);
        let count = match self.random.random_range(0..10_u8) {
            0..6 => 1,
            _ => self.random.random_range(2..6),
        };
        next.writes[0].events = (0..count).map(|_| self.event(WRITTEN, shared)).collect();
        match self.random.random_range(0..10_u8) {
            0..3 => {
                let event_type = match self.random.random_range(0..10_u8) {
                    0..2 => CLOSED,
                    2..4 => REOPENED,
                    _ => WRITTEN,
                };
                let event = self.event(event_type, shared);
                let stream = format!("shared-{shared}");
                next.writes
                    .push(Write::to(stream, Expected::Any, vec![event]));
            }
            3..5 => next.guards = vec![guard(&[&tag(shared)], &[CLOSED], self.seen)],
            5..7 => {
                let (own, colour) = (tag(shared), self.colour());
                next.guards = vec![guard(&[&own, &colour], &[CLOSED, REOPENED], self.seen)];
            }
            _ => {}
        }
        next
    }

    fn event(&mut self, event_type: &'static str, shared: u8) -> NewEvent {
        let mut event = event(event_type, &[&tag(shared), &self.colour()]);
        event.encoded.payload = format!("{{\"n\": {}}}", self.random.random::<u32>());
        event
    }

    fn colour(&mut self) -> String {
        format!("colour:{}", self.random.random_range(0..COLOURS))
    }
}

fn tag(shared: u8) -> String {
    format!("shared:{shared}")
}

/// The one place here that says what a guard is made of.
pub fn guard(tags: &[&str], event_types: &[&str], after: Position) -> Guard {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Guard {
        tags: owned(tags),
        event_types: owned(event_types),
        after,
    }
}

/// Whether a guard of the append excludes the event.
pub fn excludes(append: &Append, event: &Recorded) -> bool {
    append.guards.iter().any(|guard| {
        guard.after < event.position
            && event.tenant == append.tenant
            && guard.event_types.contains(&event.event_type)
            && guard.tags.iter().all(|tag| event.tags.contains(tag))
    })
}

/// How often each answer was given.
pub fn tally(sent: &[Sent]) -> String {
    let name = |verdict: &Verdict| match verdict {
        Verdict::Appended(_) => "appended",
        Verdict::Known(_) => "known",
        Verdict::InputDiffers => "input differs",
        Verdict::Conflict { .. } => "conflict",
        Verdict::Guarded { .. } => "guarded",
    };
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for sent in sent {
        let first = match &sent.answer {
            Ok(verdict) => name(verdict),
            Err(Error::Unavailable { .. }) => "unavailable",
            Err(Error::Refused(_)) => "refused",
            Err(_) => "another error",
        };
        *counts.entry(first.to_owned()).or_default() += 1;
        if let Some(verdict) = &sent.retried {
            *counts.entry(format!("then {}", name(verdict))).or_default() += 1;
        }
    }
    let longest = sent
        .iter()
        .map(|sent| sent.waited)
        .max()
        .unwrap_or_default();
    format!("{counts:?}, longest wait {} ms", longest.as_millis())
}
