//! The log goes back under those who use it, as when a failover loses its end: whoever knew more than it holds now finds
//! out with the next connection, before anything is read or appended over it.

use std::time::Duration;

use foldline_log::{
    Delivery, Error, Expected, Feed, Guard, Log, Mark, Service, Start, Verdict, feed::PostgresFeed,
    new_epoch,
};
use foldline_schema::testing::TestDatabase;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::store::{append, appended, both, database, event, one, open, owner, tenant};

/// For connections to be made anew on a loaded machine.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(20);

/// What something fails with once it no longer fails because its connections were cut.
async fn refusal<T: std::fmt::Debug>(asked: impl AsyncFn() -> Result<T, Error>) -> Error {
    let asking = async {
        loop {
            match asked().await {
                Err(Error::Read(_) | Error::Connect(_)) => tokio::time::sleep(PAUSE).await,
                Err(error) => return error,
                Ok(answer) => panic!("it goes on over another log: {answer:?}"),
            }
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap()
}

fn is_another(error: &Error, at: i64) -> bool {
    matches!(error, Error::AnotherLog { position, .. } if *position == at)
}

async fn appends(log: &Log, stream: &str, count: usize) {
    for _ in 0..count {
        appended(log.append(one(stream)).await.unwrap());
    }
}

#[tokio::test]
async fn who_appended_what_the_log_lost_neither_appends_nor_reads_any_more() {
    for grown in [false, true] {
        let database = database().await;
        let log = open(&database, Service::Command).await;
        appends(&log, "task-1", 5).await;
        database.lose_end(3).await;
        if grown {
            // Past where it was, so that the positions are there, with other events.
            appends(&open(&database, Service::Command).await, "task-1", 5).await;
        }
        let refused = log.append(one("task-1")).await.unwrap_err();
        assert!(is_another(&refused, 5), "{refused:?}");
        let ended = tokio::time::timeout(PATIENCE, log.ended()).await.unwrap();
        assert!(is_another(&ended, 5), "{ended:?}");
        assert!(is_another(&log.head().await.unwrap_err(), 5));
        let read = log.read_to_fold(&tenant(), "task-1", 0, 10).await;
        assert!(is_another(&read.unwrap_err(), 5));
        // One that begins anew takes the log as it is.
        let head = open(&database, Service::Command)
            .await
            .head()
            .await
            .unwrap();
        assert_eq!(head.position, if grown { 8 } else { 3 });
    }
}

#[tokio::test]
async fn who_only_read_what_the_log_lost_reads_no_more() {
    let (database, tenant) = (database().await, tenant());
    let writer = open(&database, Service::Command).await;
    appends(&writer, "task-1", 5).await;
    let by_page = open(&database, Service::Projector).await;
    assert_eq!(by_page.read(3, 10).await.unwrap().len(), 2);
    let by_stream = open(&database, Service::Projector).await;
    let page = by_stream.read_stream_backward(&tenant, "task-1", i64::MAX, 1);
    assert_eq!(page.await.unwrap().len(), 1);
    let to_fold = open(&database, Service::Projector).await;
    let page = to_fold.read_to_fold(&tenant, "task-1", 4, 10);
    assert_eq!(page.await.unwrap().events.len(), 1);
    let by_head = open(&database, Service::Projector).await;
    assert_eq!(by_head.head().await.unwrap().position, 5);
    database.lose_end(4).await;
    appends(&open(&database, Service::Command).await, "task-1", 9).await;
    for log in [by_page, by_stream, to_fold, by_head] {
        let refused = refusal(async || log.read(0, 1).await).await;
        assert!(is_another(&refused, 5), "{refused:?}");
    }
}

#[tokio::test]
async fn who_knew_no_more_than_the_log_still_holds_goes_on() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    appends(&log, "task-1", 5).await;
    let reader = open(&database, Service::Projector).await;
    reader.read(0, 3).await.unwrap();
    database.lose_end(3).await;
    let reading = async {
        loop {
            match reader.read(2, 10).await {
                Ok(events) => return events,
                Err(Error::Read(_)) => tokio::time::sleep(PAUSE).await,
                Err(error) => panic!("{error:?}"),
            }
        }
    };
    let events = tokio::time::timeout(PATIENCE, reading).await.unwrap();
    assert_eq!(events.len(), 1);
}

#[tokio::test]
async fn a_running_feed_from_postgres_does_not_skip_to_where_it_was() {
    let database = database().await;
    appends(&open(&database, Service::Command).await, "task-1", 5).await;
    let mut feed = Feed::Postgres(PostgresFeed::new(open(&database, Service::Projector).await));
    let Delivery::Assigned(partitions) = feed.next().await.unwrap() else {
        panic!("partitions come first");
    };
    let starts: Vec<Start> = partitions
        .into_iter()
        .map(|partition| Start {
            partition,
            after: Mark::START,
            offset: None,
        })
        .collect();
    feed.start(&starts).await.unwrap();
    let Delivery::Slices(_) = feed.next().await.unwrap() else {
        panic!("there are events");
    };
    database.lose_end(3).await;
    appends(&open(&database, Service::Command).await, "task-1", 9).await;
    let error = loop {
        match tokio::time::timeout(PATIENCE, feed.next()).await.unwrap() {
            Err(Error::Read(_)) => {}
            Err(error) => break error,
            Ok(delivery) => panic!("it goes on: {delivery:?}"),
        }
    };
    assert!(is_another(&error, 5), "{error:?}");
}

#[tokio::test]
async fn a_log_that_was_given_another_epoch_meanwhile_is_not_used_any_more() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    appends(&log, "task-1", 2).await;
    let mut owner = owner(&database).await;
    sqlx::query("update log.cell set epoch = gen_random_uuid()")
        .execute(&mut owner)
        .await
        .unwrap();
    database.lose_end(2).await;
    let refused = log.append(one("task-1")).await.unwrap_err();
    assert!(
        matches!(refused, Error::AnotherEpoch { expected, .. } if expected == log.epoch()),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_position_beyond_the_head_is_refused() {
    for log in both().await {
        appended(log.append(one("task-1")).await.unwrap());
        assert!(log.read(1, 10).await.unwrap().is_empty());
        let refused = log.read(2, 10).await;
        assert!(
            matches!(
                refused,
                Err(Error::BeyondHead {
                    position: 2,
                    head: 1
                })
            ),
            "{refused:?}"
        );
    }
}

#[tokio::test]
async fn a_guard_on_a_position_beyond_the_head_is_refused_and_spoils_nobody_s_append() {
    let guarded = |stream: &str, after| {
        let mut guarded = append(
            stream,
            Expected::NoStream,
            vec![event("test.Happened", &[])],
        );
        guarded.guards = vec![Guard {
            tags: vec!["project:1".to_owned()],
            event_types: vec!["test.Archived".to_owned()],
            after,
        }];
        guarded
    };
    for log in both().await {
        appended(log.append(one("task-1")).await.unwrap());
        let alone = log.append(guarded("task-2", 2)).await;
        assert!(
            matches!(
                alone,
                Err(Error::BeyondHead {
                    position: 2,
                    head: 1
                })
            ),
            "{alone:?}"
        );
        let beside = [
            log.append(guarded("task-2", 9)),
            log.append(guarded("task-3", 1)),
        ];
        let [beyond, good] = &futures_util::future::join_all(beside).await[..] else {
            panic!("there are two");
        };
        assert!(
            matches!(beyond, Err(Error::BeyondHead { position: 9, .. })),
            "{beyond:?}"
        );
        assert!(matches!(good, Ok(Verdict::Appended(_))), "{good:?}");
        assert_eq!(log.head().await.unwrap().position, 2);
    }
}

/// A login that owns a log and may not look into what others do; with a connection of its.
async fn plain_owner(database: &TestDatabase) -> PgConnection {
    let mut owner = owner(database).await;
    let name = format!("owner_{}", uuid::Uuid::new_v4().simple());
    let text = format!(
        "create role {name};
         grant all on schema log to {name};
         grant all on all tables in schema log to {name};
         set role {name}"
    );
    sqlx::raw_sql(AssertSqlSafe(text))
        .execute(&mut owner)
        .await
        .unwrap();
    owner
}

#[tokio::test]
async fn a_new_epoch_is_refused_to_an_owner_who_may_not_see_what_others_do_as_well() {
    let database = database().await;
    let mut plain = plain_owner(&database).await;
    let serving = open(&database, Service::Command).await;
    let refused = new_epoch(&mut plain).await;
    assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
    drop(serving);
}
