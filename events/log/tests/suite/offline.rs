//! An import into an empty log: all or nothing, with the times it says, and never into a log that has begun.

use std::str::FromStr;

use chrono::{DateTime, TimeDelta, Utc};
use foldline_events::Version;
use foldline_log::{
    Append, Error, Expected, Offline, OfflineAppend, OfflineImport, Service, Verdict,
};
use foldline_schema::testing::TestDatabase;
use sqlx::postgres::PgConnectOptions;

use crate::store::{append, appended, at, database, event, one, open, tenant};

async fn offline(database: &TestDatabase) -> Offline {
    let options = PgConnectOptions::from_str(&database.url).unwrap();
    Offline::connect(&options).await.unwrap()
}

fn minute(minute: i64) -> DateTime<Utc> {
    at() + TimeDelta::minutes(minute)
}

fn dated(append: Append, recorded_at: DateTime<Utc>) -> OfflineAppend {
    OfflineAppend {
        append,
        recorded_at,
    }
}

/// A command that makes `stream` one event longer.
fn next(stream: &str, version: Version) -> Append {
    let expected = match version {
        0 => Expected::NoStream,
        version => Expected::Exactly(version),
    };
    append(
        stream,
        expected,
        vec![event("test.Happened", &["kind:test"])],
    )
}

/// What the database says of a batch that it refuses.
async fn refusal(import: &mut OfflineImport<'_>, appends: &[OfflineAppend]) -> String {
    let refused = import.append(appends).await.unwrap_err();
    let Error::Refused(error) = refused else {
        panic!("not refused by the database but {refused}");
    };
    error.to_string()
}

#[tokio::test]
async fn an_import_is_recorded_in_order_with_the_times_it_says() {
    let database = database().await;
    let mut offline = offline(&database).await;
    let mut import = offline.begin().await.unwrap();
    let first = [
        dated(next("task-1", 0), minute(0)),
        dated(next("task-1", 1), minute(0)),
        dated(next("task-2", 0), minute(5)),
    ];
    import.append(&first).await.unwrap();
    // More than a segment of these tests holds.
    let many: Vec<OfflineAppend> = (2..120)
        .map(|version| dated(next("task-1", version), minute(5 + version)))
        .collect();
    import.append(&many).await.unwrap();
    assert_eq!(import.commit().await.unwrap(), 121);

    let log = open(&database, Service::Command).await;
    let events = log.read(0, 200).await.unwrap();
    let seen: Vec<(&str, Version, DateTime<Utc>)> = events
        .iter()
        .take(4)
        .map(|event| (event.stream.as_str(), event.version, event.recorded_at))
        .collect();
    assert_eq!(
        seen,
        [
            ("task-1", 1, minute(0)),
            ("task-1", 2, minute(0)),
            ("task-2", 1, minute(5)),
            ("task-1", 3, minute(7)),
        ]
    );
    assert_eq!(log.position_at(minute(6)).await.unwrap(), 3);
    let receipt = appended(log.append(next("task-1", 120)).await.unwrap());
    assert_eq!((receipt.version, receipt.cursor.position), (121, 122));
}

#[tokio::test]
async fn a_command_that_was_imported_is_known() {
    let database = database().await;
    let mut offline = offline(&database).await;
    let command = next("task-1", 0);
    let mut import = offline.begin().await.unwrap();
    import
        .append(&[dated(command.clone(), minute(0))])
        .await
        .unwrap();
    import.commit().await.unwrap();

    let log = open(&database, Service::Command).await;
    let again = log.append(command.clone()).await.unwrap();
    let Verdict::Known(receipt) = again else {
        panic!("not known but {again:?}");
    };
    assert_eq!((receipt.stream.as_str(), receipt.version), ("task-1", 1));
    assert_eq!(receipt.cursor.position, 1);
    assert!(receipt.cursor.partition.is_some());
    let id = command.command_id;
    let other = log.known(&tenant(), id, b"other").await.unwrap();
    assert_eq!(other, Some(Verdict::InputDiffers));
}

#[tokio::test]
async fn an_import_that_breaks_off_leaves_nothing() {
    let database = database().await;
    let mut offline = offline(&database).await;
    let mut import = offline.begin().await.unwrap();
    import
        .append(&[dated(next("task-1", 0), minute(0))])
        .await
        .unwrap();
    drop(import);
    drop(offline);
    let log = open(&database, Service::Command).await;
    assert_eq!(log.head().await.unwrap().position, 0);
    appended(log.append(next("task-1", 0)).await.unwrap());
}

#[tokio::test]
async fn a_log_that_has_begun_takes_no_import() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    let mut early = offline(&database).await;
    // It sees an empty log, and another writes before its first batch.
    let mut import = early.begin().await.unwrap();
    appended(log.append(one("task-1")).await.unwrap());
    let refused = refusal(&mut import, &[dated(next("task-2", 0), minute(0))]).await;
    assert!(refused.contains("this log is not empty"), "{refused}");
    drop(import);

    let mut late = offline(&database).await;
    let refused = late.begin().await.unwrap_err();
    assert!(matches!(refused, Error::NotEmpty { head: 1 }), "{refused}");
    assert_eq!(log.head().await.unwrap().position, 1);
}

#[tokio::test]
async fn a_version_out_of_order_and_time_that_runs_backwards_are_refused() {
    let database = database().await;
    for (appends, why) in [
        (
            vec![dated(next("task-1", 1), minute(0))],
            "task-1 is given version 2 where 1 is due",
        ),
        (
            vec![
                dated(next("task-1", 0), minute(1)),
                dated(next("task-2", 0), minute(0)),
            ],
            "command 2 of the batch is recorded at",
        ),
        (
            vec![dated(next("task-1", 0), Utc::now() + TimeDelta::hours(1))],
            "yet to come",
        ),
    ] {
        let mut offline = offline(&database).await;
        let mut import = offline.begin().await.unwrap();
        let refused = refusal(&mut import, &appends).await;
        assert!(refused.contains(why), "{refused}");
    }
}

#[tokio::test]
async fn while_an_import_writes_nobody_else_does() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    let mut offline = offline(&database).await;
    let mut import = offline.begin().await.unwrap();
    import
        .append(&[dated(next("task-1", 0), minute(0))])
        .await
        .unwrap();
    let waiting = tokio::spawn(async move { log.append(next("task-1", 0)).await });
    tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    assert!(!waiting.is_finished(), "it waits for the log's lock");
    import.commit().await.unwrap();
    let verdict = waiting.await.unwrap().unwrap();
    let Verdict::Conflict { stream, version } = verdict else {
        panic!("not in conflict but {verdict:?}");
    };
    assert_eq!((stream.as_str(), version), ("task-1", 1));
}
