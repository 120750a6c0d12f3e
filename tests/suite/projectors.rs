//! Projectors that share the partitions of the Postgres feed: one that stands still, and one that is killed.

use std::time::Duration;

use foldline_schema::testing::TestDatabase;
use nix::sys::signal::Signal;

use crate::{
    load::Load,
    processes::{Process, Role, Stack, is_soak, until},
    stored,
};

const CLIENTS: u64 = 4;

/// How many processes hold leases.
async fn holders(views: &TestDatabase) -> i64 {
    sqlx::query_scalar("select count(distinct holder) from views.leases")
        .fetch_one(&mut stored::connect(&views.url).await)
        .await
        .unwrap()
}

async fn shared_by(views: &TestDatabase, projectors: i64) {
    let what = format!("{projectors} projectors that share the partitions");
    until(&what, async || {
        (holders(views).await == projectors).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_projector_that_stands_still_loses_its_partitions_and_writes_nothing_stale_when_it_goes_on()
 {
    let mut stack = Stack::new().await;
    stack.start(Role::Command).await;
    let load = Load::start(&stack.client().await, CLIENTS, 1);
    let views = TestDatabase::empty().await;
    let first = stack.replay_into(&views).await;
    let mut second: Process = stack.replay_into(&views).await;
    shared_by(&views, 2).await;

    first.signal(Signal::SIGSTOP);
    shared_by(&views, 1).await;
    let pause_seconds = if is_soak() { 60 } else { 2 };
    tokio::time::sleep(Duration::from_secs(pause_seconds)).await;
    first.signal(Signal::SIGCONT);
    shared_by(&views, 2).await;

    // The one that stood still has everything to itself now, stale as its memory was.
    second.signal(Signal::SIGKILL);
    second.ended().await;
    shared_by(&views, 1).await;

    assert!(!load.finish().await.is_empty());
    stack.has_the_rows_of_a_replay(&views.url).await;
}

/// As if Kafka's consumers had committed less than they had read. Says of how many partitions.
async fn rewind_offsets(views: &TestDatabase) -> u64 {
    sqlx::raw_sql(
        "update views.checkpoints
         set kafka_offset = greatest(0, kafka_offset - 1 - floor(random() * 50)::bigint)
         where kafka_offset > 0",
    )
    .execute(&mut stored::connect(&views.url).await)
    .await
    .unwrap()
    .rows_affected()
}

/// Every two seconds another process comes and one goes, by the feed that is given; whoever takes a partition over finds its
/// offset rewound.
#[tokio::test]
async fn while_projectors_come_and_go_every_two_seconds_the_rows_stay_those_of_a_replay() {
    let mut stack = Stack::new().await;
    for role in [Role::Command, Role::Relay, Role::Projector] {
        stack.start(role).await;
    }
    let load = Load::start(&stack.client().await, CLIENTS, 2);
    let views = TestDatabase::empty().await;
    let _steady = stack.replay_into(&views).await;
    let rounds = if is_soak() { 30 } else { 3 };
    let mut rewound = 0;
    for round in 0..rounds {
        let mut of_group = stack.start_another(Role::Projector).await;
        let mut of_leases = stack.replay_into(&views).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        // In turns by force and in good order.
        let signal = match round % 2 {
            0 => Signal::SIGKILL,
            _ => Signal::SIGTERM,
        };
        for process in [&mut of_group, &mut of_leases] {
            process.signal(signal);
            process.ended().await;
        }
        // Nobody has yet what the one of the group had.
        rewound += rewind_offsets(&stack.database).await;
    }
    assert!(rewound > 0);
    assert!(!load.finish().await.is_empty());
    stack.has_the_rows_of_a_replay(&stack.database.url).await;
    stack.has_the_rows_of_a_replay(&views.url).await;
}
