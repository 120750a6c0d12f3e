//! Several projectors of one view database share the partitions of the log's feed.

use foldline_events::Position;
use foldline_log::Service;
use foldline_projector::health::Phase;

use crate::{
    log::{PATIENCE, Running, SESSIONS, append, open, replayed},
    seeded::seeded,
    support::{Views, all_partitions},
};

/// What a projector of these tests has open at most: two connections to the views, two to the log, one that hears of
/// appends, one that tells of commits, one for its leases.
const CONNECTIONS_MAX: i64 = 7;

async fn shared_by(views: &Views, projectors: &[Running]) {
    let share = all_partitions().len().div_ceil(projectors.len());
    let shared = async {
        loop {
            let mut owned: Vec<i16> = projectors
                .iter()
                .flat_map(|running| running.health.status().owned)
                .collect();
            owned.sort_unstable();
            let fair = projectors
                .iter()
                .all(|running| running.health.status().owned.len() <= share);
            if fair && owned == all_partitions() {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, shared)
        .await
        .unwrap_or_else(|_| {
            let owned: Vec<_> = projectors
                .iter()
                .map(|running| running.health.status().owned)
                .collect();
            panic!("they do not share the partitions: {owned:?}")
        });
    let unleased = "select count(*) from views.leases where holder is null";
    assert_eq!(views.all::<i64>(unleased).await, [0]);
}

async fn folded_by(projectors: &[Running], through: Position) {
    for running in projectors {
        running.folded(through).await;
    }
}

#[tokio::test]
async fn projectors_share_the_partitions_and_take_over_what_another_leaves() {
    let history = seeded(22, 300);
    let views = Views::new().await;
    let log = open(views.options(), Service::Command).await;
    let mut projectors = vec![Running::start(&views).await];
    shared_by(&views, &projectors).await;
    append(&log, &history.events[..100]).await;
    folded_by(&projectors, 100).await;

    projectors.push(Running::start(&views).await);
    shared_by(&views, &projectors).await;
    append(&log, &history.events[100..200]).await;
    folded_by(&projectors, 200).await;

    let first = projectors.remove(0);
    first.end().await;
    append(&log, &history.events[200..]).await;
    shared_by(&views, &projectors).await;
    folded_by(&projectors, history.head()).await;
    assert_eq!(views.rows().await, replayed(&history).await);
    for running in projectors {
        running.end().await;
    }
}

#[tokio::test]
async fn eight_projectors_on_one_database_fold_every_event_once_while_some_come_and_go() {
    let history = seeded(27, 600);
    let views = Views::new().await;
    let log = open(views.options(), Service::Command).await;
    let mut projectors = Vec::new();
    for events in history.events.chunks(40) {
        if projectors.len() < 8 {
            projectors.push(Running::start(&views).await);
        } else {
            let first: Running = projectors.remove(0);
            first.end().await;
        }
        append(&log, events).await;
    }
    while projectors.len() < 8 {
        projectors.push(Running::start(&views).await);
    }
    shared_by(&views, &projectors).await;
    folded_by(&projectors, history.head()).await;
    assert_eq!(views.rows().await, replayed(&history).await);
    for running in &projectors {
        assert!(running.health.status().stalled.is_empty());
    }
    let open = format!(
        "select count(*)
         from pg_stat_activity
         where application_name = '{SESSIONS}'
             and datname = current_database()"
    );
    let [connections] = views.all::<i64>(&open).await[..] else {
        panic!("it is one number");
    };
    assert!(connections <= 8 * CONNECTIONS_MAX, "{connections}");
    for running in projectors {
        running.end().await;
    }
}

#[tokio::test]
async fn a_build_that_shares_nothing_is_not_joined_while_it_projects() {
    let views = Views::new().await;
    let mut older = views.owner.acquire().await.unwrap();
    // As it was before there were leases.
    sqlx::query("select pg_advisory_lock(1886547818)")
        .execute(&mut *older)
        .await
        .unwrap();
    let newer = Running::start(&views).await;
    newer.until(|status| status.phase == Phase::Standby).await;
    sqlx::query("select pg_advisory_unlock(1886547818)")
        .execute(&mut *older)
        .await
        .unwrap();
    newer.until(|status| status.phase == Phase::Folding).await;
    assert_eq!(newer.health.status().owned, all_partitions());
    newer.end().await;
}
