//! Random appends by many callers over several batchers on one database, with connections killed in between: a
//! history that the log in memory, as the model, must be able to explain.
//!
//! What is held against the model is said at [`complaint`]. A seed gives the same appends again (`FOLDLINE_SEED`);
//! how they interleave is the machine's doing.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use foldline_events::{Position, Recorded, Version};
use foldline_log::{
    Append, Error, Expected, Guard, Log, MemoryLog, Service, Verdict, WRITES_PER_APPEND_MAX, Write,
};
use foldline_schema::testing::TestDatabase;
use futures_util::future::join_all;
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};
use uuid::Uuid;

use crate::store::{append, at, database, event, open, owner, tenant};

const BATCHERS: usize = 3;
/// Appends that one caller sends without waiting for the answer of the first.
const AT_ONCE: usize = 3;
const TYPES: [&str; 2] = ["test.Happened", "test.Archived"];
/// How often a read is tried again whose connection was killed.
const TRIES_MAX: usize = 100;

#[derive(Debug, Clone)]
struct Case {
    /// What each caller sends.
    callers: Vec<Vec<Step>>,
    kills: usize,
}

#[derive(Debug, Clone)]
struct Step {
    command: Command,
    writes: Vec<(u8, Expectation)>,
    event_type: usize,
    tags: HashSet<u8>,
    /// The tags, and how many of the types.
    guards: Vec<(BTreeSet<u8>, usize, After)>,
    defect: Option<Defect>,
}

#[derive(Debug, Clone, Copy)]
enum Command {
    New,
    /// One that somebody sent before, as it was.
    Again(prop::sample::Index),
    /// Its id with another input.
    Misused(prop::sample::Index),
}

#[derive(Debug, Clone, Copy)]
enum Expectation {
    Any,
    NoStream,
    Exists,
    /// The version that the caller has just seen, or so many more.
    Seen(Version),
}

#[derive(Debug, Clone, Copy)]
enum After {
    Start,
    Seen,
}

#[derive(Debug, Clone, Copy)]
enum Defect {
    Nul,
    NotJson,
    TooManyWrites,
}

fn step() -> impl Strategy<Value = Step> {
    let command = prop_oneof![
        8 => Just(Command::New),
        1 => any::<prop::sample::Index>().prop_map(Command::Again),
        1 => any::<prop::sample::Index>().prop_map(Command::Misused),
    ];
    let expectation = prop_oneof![
        4 => Just(Expectation::Any),
        1 => Just(Expectation::NoStream),
        1 => Just(Expectation::Exists),
        3 => Just(Expectation::Seen(0)),
        1 => Just(Expectation::Seen(1)),
    ];
    let after = prop_oneof![1 => Just(After::Start), 3 => Just(After::Seen)];
    let guarded = prop::collection::btree_set(0_u8..3, 1..=3);
    let defect = prop_oneof![
        Just(Defect::Nul),
        Just(Defect::NotJson),
        Just(Defect::TooManyWrites)
    ];
    (
        command,
        prop::collection::vec((0_u8..6, expectation), 1..3),
        0..TYPES.len(),
        prop::collection::hash_set(0_u8..3, 0..=3),
        prop::collection::vec((guarded, 1..=TYPES.len(), after), 0..3),
        prop::option::weighted(0.05, defect),
    )
        .prop_map(|(command, writes, event_type, tags, guards, defect)| Step {
            command,
            writes,
            event_type,
            tags,
            guards,
            defect,
        })
}

fn case() -> impl Strategy<Value = Case> {
    let callers = prop::collection::vec(prop::collection::vec(step(), 1..20), 2..12);
    let kills = prop_oneof![2 => Just(0), 1 => 1_usize..6];
    (callers, kills).prop_map(|(callers, kills)| Case { callers, kills })
}

/// An append as its caller saw it.
#[derive(Debug)]
struct Call {
    append: Append,
    /// The head before it was sent and after it was answered: it was decided on a state between them.
    before: Position,
    after: Position,
    answer: Result<Verdict, Error>,
}

/// What all callers have sent, for those who send it again.
type Sent = Arc<Mutex<Vec<Append>>>;

/// The append that a step asks for, by what the caller sees now.
async fn append_of(step: &Step, log: &Log, before: Position, sent: &Sent) -> Append {
    let mut writes: Vec<Write> = Vec::new();
    for (stream, expectation) in &step.writes {
        let stream = format!("task-{stream}");
        let expected = match expectation {
            Expectation::Any => Expected::Any,
            Expectation::NoStream => Expected::NoStream,
            Expectation::Exists => Expected::Exists,
            Expectation::Seen(more) => Expected::Exactly(version(log, &stream).await + more),
        };
        if writes.iter().all(|write| write.stream != stream) {
            let tags: Vec<String> = step.tags.iter().map(|tag| format!("tag:{tag}")).collect();
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            let events = vec![event(TYPES[step.event_type], &tags)];
            writes.push(Write {
                stream,
                expected,
                events,
            });
        }
    }
    let mut append = append("", Expected::Any, vec![]);
    append.writes = writes;
    let guards = step.guards.iter().map(|(tags, types, after)| Guard {
        tags: tags.iter().map(|tag| format!("tag:{tag}")).collect(),
        event_types: TYPES[..*types].iter().map(|it| (*it).to_owned()).collect(),
        after: match after {
            After::Start => 0,
            After::Seen => before,
        },
    });
    append.guards = guards.collect();
    match step.defect {
        None => {}
        Some(Defect::Nul) => append.writes[0].events[0].encoded.payload = "\"\0\"".to_owned(),
        Some(Defect::NotJson) => append.writes[0].events[0].encoded.payload = "{".to_owned(),
        Some(Defect::TooManyWrites) => {
            let write = append.writes[0].clone();
            append.writes = vec![write; WRITES_PER_APPEND_MAX + 1];
        }
    }
    let mut sent = sent.lock().unwrap();
    match step.command {
        Command::Again(which) if !sent.is_empty() => return which.get(&sent).clone(),
        Command::Misused(which) if !sent.is_empty() => {
            append.command_id = which.get(&sent).command_id;
            append.input_hmac = b"another input".to_vec();
        }
        Command::New | Command::Again(_) | Command::Misused(_) => {}
    }
    sent.push(append.clone());
    append
}

/// Reads again while its connection is killed.
async fn surely<T, F: Future<Output = Result<T, Error>>>(read: impl Fn() -> F) -> T {
    for _ in 0..TRIES_MAX {
        if let Ok(answer) = read().await {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    read().await.unwrap()
}

async fn version(log: &Log, stream: &str) -> Version {
    let tenant = tenant();
    let last = surely(|| log.read_stream_backward(&tenant, stream, Version::MAX, 1)).await;
    last.first().map_or(0, |event| event.version)
}

async fn head(log: &Log) -> Position {
    surely(|| log.head()).await.position
}

async fn call(step: &Step, log: &Log, sent: &Sent) -> Call {
    let before = head(log).await;
    let append = append_of(step, log, before, sent).await;
    let answer = log.append(append.clone()).await;
    let after = head(log).await;
    Call {
        append,
        before,
        after,
        answer,
    }
}

async fn caller(steps: Vec<Step>, log: Log, sent: Sent) -> Vec<Call> {
    let mut calls = Vec::new();
    for together in steps.chunks(AT_ONCE) {
        calls.extend(join_all(together.iter().map(|step| call(step, &log, &sent))).await);
    }
    calls
}

async fn kill_connections(database: TestDatabase, kills: usize) {
    let mut owner = owner(&database).await;
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(15)).await;
        sqlx::raw_sql(
            "select pg_terminate_backend(pid)
             from pg_stat_activity
             where datname = current_database()
               and pid <> pg_backend_pid()",
        )
        .execute(&mut owner)
        .await
        .unwrap();
    }
}

/// How often each answer was given, so that none is missing by the way appends are made up.
type Tally = Arc<Mutex<BTreeMap<&'static str, usize>>>;

fn name(answer: &Result<Verdict, Error>) -> &'static str {
    match answer {
        Ok(Verdict::Appended(_)) => "appended",
        Ok(Verdict::Known(_)) => "known",
        Ok(Verdict::InputDiffers) => "input differs",
        Ok(Verdict::Conflict { .. }) => "conflict",
        Ok(Verdict::Guarded { .. }) => "guarded",
        Err(Error::Refused(_)) => "refused",
        Err(Error::Malformed(_)) => "malformed",
        Err(_) => "other errors",
    }
}

/// What is wrong with a history, if anything.
async fn run(case: Case, tally: &Tally) -> Option<String> {
    let database = database().await;
    let mut logs = Vec::new();
    for _ in 0..BATCHERS {
        logs.push(open(&database, Service::Command).await);
    }
    let sent = Sent::default();
    let callers = case.callers.into_iter().enumerate();
    let callers = callers.map(|(n, steps)| caller(steps, logs[n % BATCHERS].clone(), sent.clone()));
    let (calls, ()) = tokio::join!(
        join_all(callers),
        kill_connections(database.clone(), case.kills)
    );
    let calls = calls.into_iter().flatten().collect::<Vec<_>>();
    for call in &calls {
        *tally.lock().unwrap().entry(name(&call.answer)).or_default() += 1;
    }
    let history = surely(|| logs[0].read(0, usize::MAX)).await;
    complaint(&history, &calls, logs[0].epoch(), case.kills)
}

/// Replays a history append by append and says what the model cannot explain:
///
/// - positions are 1 to n, times of recording never decrease, and each event is as the model records it (versions,
///   partition, everything that was sent), so that appends are whole and one after another;
/// - each recorded append was sent, and the model accepts it where it stands: versions expected, guards and command
///   id allowed it;
/// - of the calls that sent it at most one was told `Appended`, exactly one if no connection was killed, with the
///   model's receipt, and it lies between the heads that the caller saw; if none was, another was told that it is
///   known, or nobody knows;
/// - every other answer, refusals included, is the model's own answer in some state between the heads that the
///   caller saw before and after;
/// - no outcome is unknown if no connection was killed.
fn complaint(history: &[Recorded], calls: &[Call], epoch: Uuid, kills: usize) -> Option<String> {
    let model = MemoryLog::new(epoch, at);
    let senders = senders(calls);
    let mut unexplained: Vec<&Call> = calls.iter().filter(|call| needs_a_state(call)).collect();
    let mut appended = 0;
    let mut reached = 0;
    loop {
        unexplained.retain(|call| !explains(&model, reached, call));
        let Some(next) = usize::try_from(reached).ok().and_then(|it| history.get(it)) else {
            break;
        };
        let Some(of_append) = senders.get(&next.id) else {
            return Some(format!("nobody sent {next:?}"));
        };
        let verdict = model.append(&of_append[0].append);
        let Ok(Verdict::Appended(receipt)) = verdict else {
            return Some(format!(
                "recorded is {next:?}, but the model says {verdict:?}"
            ));
        };
        let end = receipt.cursor.position;
        if let Some(fault) = recorded_fault(history, &model.read(reached, usize::MAX)) {
            return Some(fault);
        }
        let stored = Ok(Verdict::Appended(receipt));
        let told = of_append.iter().filter(|call| same(&call.answer, &stored));
        let told: Vec<_> = told.collect();
        let in_time = |call: &&&Call| call.before <= reached && end <= call.after;
        let doubtful = of_append.iter().any(|call| {
            matches!(
                call.answer,
                Ok(Verdict::Known(_)) | Err(Error::Unavailable { .. })
            )
        });
        let is_told = told.len() == 1 || (told.is_empty() && kills > 0 && doubtful);
        if !is_told || !told.iter().all(in_time) {
            return Some(format!("stored is {stored:?}, and told was {of_append:?}"));
        }
        appended += told.len();
        reached = end;
    }
    let told = calls
        .iter()
        .filter(|call| matches!(call.answer, Ok(Verdict::Appended(_))));
    if told.count() != appended {
        return Some("somebody was told that an append is stored which is not".to_owned());
    }
    let unknown = |call: &&Call| matches!(call.answer, Err(Error::Unavailable { .. }));
    if kills == 0 && calls.iter().any(|call| unknown(&call)) {
        return Some("an outcome is unknown without need".to_owned());
    }
    unexplained.first().map(|call| {
        let now = model.decide(&call.append);
        format!("no state explains {call:?}; at the end it would be {now:?}")
    })
}

/// The calls that sent an append, by the id of its first event.
fn senders(calls: &[Call]) -> HashMap<Uuid, Vec<&Call>> {
    let mut senders: HashMap<Uuid, Vec<&Call>> = HashMap::new();
    for call in calls {
        let first = &call.append.writes[0].events[0];
        senders.entry(first.id).or_default().push(call);
    }
    senders
}

/// Whether the answer is about a state of the log in which nothing was stored.
fn needs_a_state(call: &Call) -> bool {
    !matches!(
        call.answer,
        Ok(Verdict::Appended(_)) | Err(Error::Unavailable { .. })
    )
}

fn explains(model: &MemoryLog, reached: Position, call: &Call) -> bool {
    (call.before..=call.after).contains(&reached) && same(&call.answer, &model.decide(&call.append))
}

fn same(one: &Result<Verdict, Error>, other: &Result<Verdict, Error>) -> bool {
    match (one, other) {
        (Ok(one), Ok(other)) => one == other,
        (Err(Error::Refused(_)), Err(Error::Refused(_)))
        | (Err(Error::Malformed(_)), Err(Error::Malformed(_))) => true,
        _ => false,
    }
}

/// Compares what the model has just recorded, whose clock stands still, with what stands at the same positions.
fn recorded_fault(history: &[Recorded], modelled: &[Recorded]) -> Option<String> {
    for expected in modelled {
        let index = usize::try_from(expected.position - 1).unwrap();
        let Some(found) = history.get(index) else {
            return Some(format!("not recorded is {expected:?}"));
        };
        let expected = Recorded {
            recorded_at: found.recorded_at,
            ..expected.clone()
        };
        if *found != expected {
            return Some(format!("recorded is {found:?} in place of {expected:?}"));
        }
        let is_earlier = |before: &Recorded| found.recorded_at < before.recorded_at;
        if index > 0 && is_earlier(&history[index - 1]) {
            return Some(format!("recorded before its predecessor is {found:?}"));
        }
    }
    None
}

#[test]
fn a_log_in_memory_explains_every_history_of_racing_appends() {
    let is_soak = std::env::var_os("FOLDLINE_SOAK").is_some();
    let given = std::env::var("FOLDLINE_SEED").map(|seed| seed.parse().unwrap());
    let seed = given.unwrap_or_else(|_| if is_soak { rand::random() } else { 1 });
    println!("FOLDLINE_SEED={seed}");
    let config = Config {
        cases: if is_soak { 300 } else { 12 },
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        // What a race has brought about does not come about every time, and each try takes a database.
        max_shrink_iters: 30,
        ..Config::default()
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let tally = Tally::default();
    let explained =
        TestRunner::new(config).run(&case(), |case| match runtime.block_on(run(case, &tally)) {
            None => Ok(()),
            Some(complaint) => Err(TestCaseError::fail(complaint)),
        });
    println!("{tally:?}");
    explained.unwrap();
    let tally = tally.lock().unwrap();
    for kind in [
        "appended",
        "known",
        "input differs",
        "conflict",
        "guarded",
        "refused",
        "malformed",
    ] {
        assert!(tally.contains_key(kind), "{kind} never happened");
    }
}

/// Three appends over the model itself: one stored, one refused, one repeated.
fn true_history() -> (Vec<Recorded>, Vec<Call>, Uuid) {
    let log = MemoryLog::new(Uuid::now_v7(), at);
    let happened = |expected| append("task-1", expected, vec![event("test.Happened", &[])]);
    let first = happened(Expected::NoStream);
    let calls = [first.clone(), happened(Expected::NoStream), first];
    let calls = calls.map(|append| Call {
        before: log.head().position,
        answer: log.append(&append),
        after: log.head().position,
        append,
    });
    (log.read(0, 10), calls.into(), log.epoch())
}

#[test]
fn the_model_complains_of_a_history_that_cannot_be() {
    let (history, calls, epoch) = true_history();
    assert_eq!(complaint(&history, &calls, epoch, 0), None);

    // Told, but not there.
    assert!(complaint(&[], &calls, epoch, 0).is_some());
    // Twice.
    let twice = [history.clone(), history.clone()].concat();
    assert!(complaint(&twice, &calls, epoch, 0).is_some());
    // Nobody sent it.
    assert!(complaint(&history, &calls[1..2], epoch, 0).is_some());
    // Not what was sent.
    let mut other = history.clone();
    other[0].payload = "{}".to_owned();
    assert!(complaint(&other, &calls, epoch, 0).is_some());
    // A conflict with a version that the stream never had, and one before there was anything to conflict with.
    let (history, mut calls, epoch) = true_history();
    calls[1].answer = Ok(Verdict::Conflict {
        stream: "task-1".to_owned(),
        version: 2,
    });
    assert!(complaint(&history, &calls, epoch, 0).is_some());
    let (history, mut calls, epoch) = true_history();
    (calls[1].before, calls[1].after) = (0, 0);
    assert!(complaint(&history, &calls, epoch, 0).is_some());
    // Stored twice, as its callers were told.
    let (history, mut calls, epoch) = true_history();
    calls[2].answer = Ok(match &calls[0].answer {
        Ok(verdict) => verdict.clone(),
        Err(error) => panic!("{error}"),
    });
    assert!(complaint(&history, &calls, epoch, 0).is_some());
}
