//! `kill -9` of each role, at each named crash point and at random moments, under load: what was acknowledged is there
//! once, the log is whole, the topic is the log, and the rows are what a fresh replay makes.

use std::{os::unix::process::ExitStatusExt, time::Duration};

use foldline_schema::testing::TestDatabase;
use nix::sys::signal::Signal;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};

use crate::{
    checks::{self, Acknowledged},
    load::Load,
    processes::{Role, Stack, TENANT, is_soak, until},
    stored,
};

/// How many clients send at the same time.
const CLIENTS: u64 = 6;

/// Where a process can be told to abort. A round has one point of each role; the shorter lists begin again.
pub const OF_COMMAND: [&str; 4] = [
    "command_before_append",
    "log_before_append",
    "log_after_append",
    "command_after_append",
];
const OF_RELAY: [&str; 3] = [
    "relay_before_produce",
    "relay_before_mark",
    "relay_after_mark",
];
const OF_PROJECTOR: [&str; 4] = [
    "projector_before_rows",
    "projector_after_rows",
    "projector_before_commit",
    "projector_after_commit",
];

pub fn points_of_round(round: usize) -> [(Role, &'static str); 3] {
    [
        (Role::Command, OF_COMMAND[round % OF_COMMAND.len()]),
        (Role::Relay, OF_RELAY[round % OF_RELAY.len()]),
        (Role::Projector, OF_PROJECTOR[round % OF_PROJECTOR.len()]),
    ]
}

/// Everything that must hold, once all is well again; `told` says how to make it happen again.
async fn all_holds(stack: &Stack, acknowledged: &[Acknowledged], told: &str) {
    let url = &stack.database.url;
    let head = stored::head(url).await;
    stored::relayed(url, head).await;
    stored::folded(url, head).await;
    let replayed = TestDatabase::empty().await;
    let replay = stack.replay_into(&replayed).await;
    stored::folded(&replayed.url, head).await;
    drop(replay);

    let events = stored::events(url).await;
    let records = stored::records(&stack.topic).await;
    let live = stored::rows(url, TENANT, &[]).await;
    let fresh = stored::rows(&replayed.url, TENANT, &[]).await;
    eprintln!(
        "{told}: {} commands acknowledged, {} events, {} records, {} rows",
        acknowledged.len(),
        events.len(),
        records.len(),
        live.len()
    );
    assert!(!acknowledged.is_empty() && !live.is_empty());
    let complaints = [
        checks::acknowledged_once(acknowledged, &events),
        checks::contiguous(&events),
        checks::topic_is_log(&records, &events),
        checks::same_rows(&live, &fresh),
    ]
    .concat();
    assert_eq!(complaints, [""; 0], "{told}");
}

/// The same each time, but for full size.
pub fn seed(default: u64) -> u64 {
    let seed = if is_soak() { rand::random() } else { default };
    eprintln!("seed {seed}");
    seed
}

#[tokio::test]
async fn an_abort_at_any_crash_point_loses_nothing_and_doubles_nothing() {
    if !cfg!(feature = "crash-points") {
        panic!("build with --features crash-points, as `make test` does");
    }
    let seed = seed(1);
    let mut random = StdRng::seed_from_u64(seed);
    let mut stack = Stack::started().await;
    let load = Load::start(&stack.client().await, CLIENTS, seed);
    let rounds = if is_soak() { 5 } else { 1 } * OF_COMMAND.len();
    for round in 0..rounds {
        let points = points_of_round(round);
        for (role, point) in points {
            stack.stop(role).await;
            let times = random.random_range(0..4);
            stack
                .start_with(role, &format!("{point}={times}*off->return"))
                .await;
        }
        aborted_and_started_again(&mut stack, &points).await;
    }
    let acknowledged = load.finish().await;
    all_holds(&stack, &acknowledged, &format!("crash points, seed {seed}")).await;
}

/// Waits until each has aborted at its point, and starts it again at once: the others need it to get to theirs.
pub async fn aborted_and_started_again(stack: &mut Stack, points: &[(Role, &str)]) {
    let began = std::time::Instant::now();
    let mut waiting = points.to_vec();
    while !waiting.is_empty() {
        let mut left = Vec::new();
        for (role, point) in waiting {
            if stack.has_aborted(role) {
                eprintln!("{point}: aborted after {} ms", began.elapsed().as_millis());
                stack.start(role).await;
            } else {
                left.push((role, point));
            }
        }
        waiting = left;
        assert!(
            began.elapsed() < crate::processes::PATIENCE,
            "never reached: {waiting:?}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Each of the feeds with views of its own, both killed at the same point.
#[tokio::test]
async fn a_projector_of_either_feed_that_is_killed_at_any_crash_point_makes_the_rows_of_a_replay() {
    if !cfg!(feature = "crash-points") {
        panic!("build with --features crash-points, as `make test` does");
    }
    let seed = seed(3);
    let mut random = StdRng::seed_from_u64(seed);
    let mut stack = Stack::new().await;
    for role in [Role::Command, Role::Relay, Role::Projector] {
        stack.start(role).await;
    }
    let log_url = stack.database.url.clone();
    let views = TestDatabase::empty().await;
    let mut from_postgres = stack.replay_into(&views).await;
    let load = Load::start(&stack.client().await, CLIENTS, seed);
    let kills_each = if is_soak() { 10 } else { 1 };
    for point in OF_PROJECTOR.repeat(kills_each) {
        let times = random.random_range(0..4);
        let failpoints = format!("{point}={times}*off->return");
        stack.stop(Role::Projector).await;
        from_postgres.signal(Signal::SIGTERM);
        assert!(from_postgres.ended().await.success());
        stack.start_with(Role::Projector, &failpoints).await;
        from_postgres = stack.replay_with(&log_url, &views.url, &failpoints).await;
        aborted_and_started_again(&mut stack, &[(Role::Projector, point)]).await;
        let status = from_postgres.ended().await;
        let signal = status.signal();
        assert_eq!(
            signal,
            Some(Signal::SIGABRT as i32),
            "{point} of the Postgres feed"
        );
        from_postgres = stack.replay_into(&views).await;
    }
    assert!(!load.finish().await.is_empty());
    stack.has_the_rows_of_a_replay(&log_url).await;
    stack.has_the_rows_of_a_replay(&views.url).await;
}

#[tokio::test]
async fn kills_at_random_moments_lose_nothing_and_double_nothing() {
    let seed = seed(2);
    let mut random = StdRng::seed_from_u64(seed);
    // Every role as often, in an order of the seed.
    let times_each = if is_soak() { 15 } else { 2 };
    let mut order: Vec<Role> = Role::ALL.repeat(times_each);
    order.shuffle(&mut random);
    let kills = order.len();
    let mut stack = Stack::started().await;
    stack.start(Role::Worker).await;
    let load = Load::start(&stack.client().await, CLIENTS, seed);
    for role in order {
        tokio::time::sleep(Duration::from_millis(random.random_range(0..2_000))).await;
        stack.kill(role).await;
        tokio::time::sleep(Duration::from_millis(random.random_range(0..500))).await;
        stack.start(role).await;
    }
    let acknowledged = load.finish().await;
    all_holds(
        &stack,
        &acknowledged,
        &format!("{kills} random kills, seed {seed}"),
    )
    .await;
    let client = stack.client().await;
    let shown = until("a query that is answered", async || {
        Some(
            client
                .ask("{ projects { totalCount } }", serde_json::json!({}))
                .await,
        )
    })
    .await;
    assert_eq!(
        shown["projects"]["totalCount"], CLIENTS,
        "the query service shows it"
    );
}
