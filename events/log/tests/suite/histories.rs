//! Random appends by many callers over several batchers on one database, with connections killed in between: a
//! history that the log in memory, as the model, must be able to explain.
//!
//! What is held against the model is said at [`complaint`]. A seed gives the same appends again (`FOLDLINE_SEED`);
//! how they interleave is the machine's doing.

mod check;
mod checked;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use crate::store::{append, database, event, open, owner};
use check::complaint;
use foldline_events::{Position, Tenant, Version};
use foldline_log::{
    Append, Error, Expected, Guard, Log, Service, Verdict, WRITES_PER_APPEND_MAX, Write,
};
use foldline_schema::testing::TestDatabase;
use futures_util::future::join_all;
use proptest::{
    prelude::*,
    test_runner::{Config, RngSeed, TestCaseError, TestRunner},
};

const BATCHERS: usize = 3;
/// Appends that one caller sends without waiting for the answer of the first.
const AT_ONCE: usize = 3;
/// Their streams and tags have the same names, and they use each other's command ids.
const TENANTS: [&str; 2] = ["acme", "umbrella"];
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
    tenant: usize,
    /// With how many events; one without only checks the stream.
    writes: Vec<(u8, Expectation, usize)>,
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
    /// A guard on a position that the log will not reach.
    BeyondHead,
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
    let events = prop_oneof![2 => 1_usize..=3, 1 => Just(0)];
    let after = prop_oneof![1 => Just(After::Start), 3 => Just(After::Seen)];
    let guarded = prop::collection::btree_set(0_u8..3, 1..=3);
    let defect = prop_oneof![
        Just(Defect::Nul),
        Just(Defect::NotJson),
        Just(Defect::TooManyWrites),
        Just(Defect::BeyondHead)
    ];
    (
        command,
        0..TENANTS.len(),
        prop::collection::vec((0_u8..6, expectation, events), 1..4),
        0..TYPES.len(),
        prop::collection::hash_set(0_u8..3, 0..=3),
        prop::collection::vec((guarded, 1..=TYPES.len(), after), 0..3),
        prop::option::weighted(0.05, defect),
    )
        .prop_map(
            |(command, tenant, writes, event_type, tags, guards, defect)| Step {
                command,
                tenant,
                writes,
                event_type,
                tags,
                guards,
                defect,
            },
        )
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
    let tenant = Tenant::parse(TENANTS[step.tenant]).unwrap();
    let mut writes: Vec<Write> = Vec::new();
    for (stream, expectation, events) in &step.writes {
        let stream = format!("task-{stream}");
        let expected = match expectation {
            Expectation::Any => Expected::Any,
            Expectation::NoStream => Expected::NoStream,
            Expectation::Exists => Expected::Exists,
            Expectation::Seen(more) => {
                Expected::Exactly(version(log, &tenant, &stream).await + more)
            }
        };
        if writes.iter().all(|write| write.stream != stream) {
            let tags: Vec<String> = step.tags.iter().map(|tag| format!("tag:{tag}")).collect();
            let tags: Vec<&str> = tags.iter().map(String::as_str).collect();
            let events = (0..*events).map(|_| event(TYPES[step.event_type], &tags));
            writes.push(Write::to(stream, expected, events.collect()));
        }
    }
    let mut append = append("", Expected::Any, vec![]);
    append.tenant = tenant;
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
    spoil(&mut append, step.defect);
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

fn spoil(append: &mut Append, defect: Option<Defect>) {
    let mut events = append.writes.iter_mut().flat_map(|write| &mut write.events);
    match (defect, events.next()) {
        (Some(Defect::Nul), Some(event)) => event.encoded.payload = "\"\0\"".to_owned(),
        (Some(Defect::NotJson), Some(event)) => event.encoded.payload = "{".to_owned(),
        (Some(Defect::TooManyWrites), _) => {
            let write = append.writes[0].clone();
            append.writes = vec![write; WRITES_PER_APPEND_MAX + 1];
        }
        (Some(Defect::BeyondHead), _) => append.guards.push(Guard {
            tags: vec!["tag:0".to_owned()],
            event_types: vec![TYPES[0].to_owned()],
            after: Position::MAX,
        }),
        (Some(Defect::Nul | Defect::NotJson), None) | (None, _) => {}
    }
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

async fn version(log: &Log, tenant: &Tenant, stream: &str) -> Version {
    let last = surely(|| log.read_stream_backward(tenant, stream, Version::MAX, 1)).await;
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
    // In turns with statements that are ended, as by their time.
    for how in ["terminate", "cancel"].into_iter().cycle().take(kills) {
        tokio::time::sleep(Duration::from_millis(15)).await;
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!(
            "select pg_{how}_backend(pid)
             from pg_stat_activity
             where datname = current_database()
               and pid <> pg_backend_pid()"
        )))
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
        Err(Error::BeyondHead { .. }) => "beyond the head",
        Err(Error::Malformed(_)) => "malformed",
        Err(_) => "other errors",
    }
}

/// What became of an append for a stream that it only checks.
fn of_checks(call: &Call) -> Option<&'static str> {
    let checks = call.append.writes.iter().filter(|it| it.events.is_empty());
    let mut checks = checks.filter(|it| it.expected != Expected::Any);
    match &call.answer {
        Ok(Verdict::Appended(_)) => checks.next().map(|_| "appended after a check"),
        Ok(Verdict::Conflict { stream, .. }) => checks
            .find(|it| it.stream == *stream)
            .map(|_| "conflict by a check"),
        Ok(Verdict::Known(_) | Verdict::InputDiffers | Verdict::Guarded { .. }) | Err(_) => None,
    }
}

fn count(calls: &[Call], tally: &Tally) {
    let mut counts = tally.lock().unwrap();
    for call in calls {
        *counts.entry(name(&call.answer)).or_default() += 1;
        if let Some(of_checks) = of_checks(call) {
            *counts.entry(of_checks).or_default() += 1;
        }
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
    count(&calls, tally);
    let history = surely(|| logs[0].read(0, usize::MAX)).await;
    complaint(&history, &calls, logs[0].epoch(), case.kills)
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
        "beyond the head",
        "malformed",
        "appended after a check",
        "conflict by a check",
    ] {
        assert!(tally.contains_key(kind), "{kind} never happened");
    }
}
