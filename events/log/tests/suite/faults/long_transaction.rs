//! A transaction that has written and stays open, anywhere in the cluster, is nothing to a reader of the log.

use std::time::Duration;

use foldline_log::{Delivery, Feed, Log, Mark, Service, Start, feed::PostgresFeed};
use foldline_schema::testing::TestDatabase;
use sqlx::PgConnection;
use tokio::{sync::watch, time::Instant};

use super::{PATIENCE, is_soak, server::execute, until};
use crate::store::{appended, database, one, open, owner};

fn appends() -> usize {
    if is_soak() { 2_000 } else { 200 }
}

/// Follows the log, and says how far it is.
async fn follow(log: Log, reached: watch::Sender<i64>) {
    let mut feed = Feed::Postgres(PostgresFeed::new(log));
    let mut due = 1;
    loop {
        match feed.next().await.unwrap() {
            Delivery::Assigned(partitions) => {
                let start = |partition| Start {
                    partition,
                    after: Mark::START,
                    offset: None,
                };
                let starts: Vec<Start> = partitions.into_iter().map(start).collect();
                feed.start(&starts).await.unwrap();
            }
            Delivery::Slices(slices) => {
                let events = slices.into_iter().flat_map(|slice| slice.events);
                let mut positions: Vec<i64> = events.map(|event| event.position).collect();
                positions.sort_unstable();
                for position in positions {
                    assert_eq!(position, due);
                    due += 1;
                }
                reached.send_replace(due - 1);
            }
            Delivery::Revoked(_) => unreachable!("the Postgres feed takes nothing away"),
        }
    }
}

/// From each answer until the reader has the event; the median.
async fn median_delay(log: &Log, reached: &mut watch::Receiver<i64>) -> Duration {
    let mut delays = Vec::new();
    for _ in 0..appends() {
        let position = appended(log.append(one("task-1")).await.unwrap())
            .cursor
            .position;
        let began = Instant::now();
        let read = reached.wait_for(|reached| *reached >= position);
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("the reader reads on")
            .unwrap();
        delays.push(began.elapsed());
    }
    delays.sort_unstable();
    delays[delays.len() / 2]
}

/// A transaction that has written and that nobody ends.
async fn left_open(database: &TestDatabase) -> PgConnection {
    let mut connection = owner(database).await;
    execute(
        &mut connection,
        "begin; create table left_open (n int); insert into left_open values (1)",
    )
    .await;
    connection
}

async fn is_open(transaction: &mut PgConnection) -> bool {
    let status: Option<String> =
        sqlx::query_scalar("select pg_xact_status(pg_current_xact_id_if_assigned())")
            .fetch_one(transaction)
            .await
            .unwrap();
    status.as_deref() == Some("in progress")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_left_open_elsewhere_in_the_cluster_delays_no_reader() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    let (sender, mut reached) = watch::channel(0);
    let reader = open(&database, Service::Projector).await;
    let reader = tokio::spawn(follow(reader, sender));
    let without = median_delay(&log, &mut reached).await;

    let mut beside = left_open(&database).await;
    let mut elsewhere = left_open(&TestDatabase::empty().await).await;
    let with = median_delay(&log, &mut reached).await;
    // Everything has been read while both are open.
    assert_eq!(*reached.borrow(), log.head().await.unwrap().position);
    assert!(is_open(&mut beside).await && is_open(&mut elsewhere).await);
    println!(
        "from append to read, the median: {without:?} without, {with:?} with two transactions left open"
    );
    reader.abort();
}

/// How many rows a reader gets that trusts what is below the oldest transaction in flight.
async fn read_below_xmin(reader: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "select count(*)
         from naive
         where (xid, seq) > ('0'::xid8, 0::bigint)
             and xid < pg_snapshot_xmin(pg_current_snapshot())",
    )
    .fetch_one(reader)
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_transactions_stop_a_cursor_by_transaction_ids() {
    const ROWS: i64 = 20;
    let database = database().await;
    let mut owner = owner(&database).await;
    execute(
        &mut owner,
        "create table naive (seq bigserial primary key, xid xid8 not null default pg_current_xact_id())",
    )
    .await;
    let elsewhere = left_open(&TestDatabase::empty().await).await;
    for _ in 0..ROWS {
        execute(&mut owner, "insert into naive default values").await;
    }
    assert_eq!(
        read_below_xmin(&mut owner).await,
        0,
        "a transaction of another database is open"
    );
    drop(elsewhere);
    let reader = tokio::sync::Mutex::new(owner);
    until("the cursor to go on", async || {
        read_below_xmin(&mut *reader.lock().await).await == ROWS
    })
    .await;
}
