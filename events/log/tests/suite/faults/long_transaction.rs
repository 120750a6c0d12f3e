//! A transaction that has written and stays open, anywhere in the cluster, is nothing to a reader of the log.

use std::time::Duration;

use foldline_log::{Delivery, Feed, Log, Mark, Service, Start, feed::PostgresFeed};
use foldline_schema::testing::TestDatabase;
use sqlx::PgConnection;
use tokio::{
    sync::{Mutex, watch},
    time::Instant,
};

use super::{PATIENCE, is_soak, server::execute};
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

/// Appends one after another, each when the reader has the one before. The median of the times that it took, or what
/// the reader did not get within `patience`.
async fn delay(
    append: impl AsyncFn() -> i64,
    reached: &mut watch::Receiver<i64>,
    patience: Duration,
) -> Result<Duration, String> {
    let mut delays = Vec::new();
    for _ in 0..appends() {
        let position = append().await;
        let began = Instant::now();
        let read = reached.wait_for(|reached| *reached >= position);
        if tokio::time::timeout(patience, read).await.is_err() {
            let reached = *reached.borrow();
            return Err(format!(
                "{position} is there, and the reader is at {reached}"
            ));
        }
        delays.push(began.elapsed());
    }
    delays.sort_unstable();
    Ok(delays[delays.len() / 2])
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

/// Of a median, on a loaded machine; a reader that waits for the transaction does not get there at all.
const SLOWER_MAX: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_left_open_elsewhere_in_the_cluster_delays_no_reader() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    let (sender, mut reached) = watch::channel(0);
    let reader = open(&database, Service::Projector).await;
    let reader = tokio::spawn(follow(reader, sender));
    let append = async || {
        let receipt = appended(log.append(one("task-1")).await.unwrap());
        receipt.cursor.position
    };
    let without = delay(&append, &mut reached, PATIENCE).await.unwrap();

    let mut beside = left_open(&database).await;
    let mut elsewhere = left_open(&TestDatabase::empty().await).await;
    let with = delay(&append, &mut reached, PATIENCE).await;
    // It has read everything, and both are open still.
    assert!(is_open(&mut beside).await && is_open(&mut elsewhere).await);
    let with = with.unwrap();
    assert!(
        with < without + SLOWER_MAX,
        "{without:?} without, {with:?} with"
    );
    assert_eq!(*reached.borrow(), log.head().await.unwrap().position);
    println!(
        "from append to read, the median: {without:?} without, {with:?} with two transactions left open"
    );
    reader.abort();
}

/// Follows a table as one does who trusts what is below the oldest transaction in flight, and says how far it is.
async fn follow_below_xmin(mut reader: PgConnection, reached: watch::Sender<i64>) {
    loop {
        let read: Option<i64> = sqlx::query_scalar(
            "select max(seq)
             from naive
             where xid < pg_snapshot_xmin(pg_current_snapshot())",
        )
        .fetch_one(&mut reader)
        .await
        .unwrap();
        reached.send_replace(read.unwrap_or(0));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_transactions_stop_a_cursor_by_transaction_ids() {
    /// It would wait as long as they are open.
    const PATIENCE_IN_VAIN: Duration = Duration::from_secs(1);
    let database = database().await;
    let mut writer = owner(&database).await;
    execute(
        &mut writer,
        "create table naive (seq bigserial primary key, xid xid8 not null default pg_current_xact_id())",
    )
    .await;
    let writer = Mutex::new(writer);
    let append = async || -> i64 {
        sqlx::query_scalar("insert into naive default values returning seq")
            .fetch_one(&mut *writer.lock().await)
            .await
            .unwrap()
    };
    let (sender, mut reached) = watch::channel(0);
    let reader = tokio::spawn(follow_below_xmin(owner(&database).await, sender));
    delay(&append, &mut reached, PATIENCE).await.unwrap();

    for other in [database.clone(), TestDatabase::empty().await] {
        let left_open = left_open(&other).await;
        let stopped = delay(&append, &mut reached, PATIENCE_IN_VAIN).await;
        assert!(stopped.is_err(), "{stopped:?} with one left open");
        drop(left_open);
        delay(&append, &mut reached, PATIENCE).await.unwrap();
    }
    reader.abort();
}
