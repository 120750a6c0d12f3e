//! Appends that take the database longer than it gives a statement.

use std::time::Duration;

use foldline_log::{Error, Service};
use futures_util::future::join_all;
use tokio::time::Instant;

use super::{load::ANSWER_BOUND, server::execute};
use crate::store::{appended, database_with_large_segments, one, open, owner};

/// How many appends share the batch.
const OTHERS: usize = 20;
/// The longest that the log's lock is waited for and then another try of ours may take, and far below what trying each
/// append by itself would take.
const LOCKED_BOUND: Duration = Duration::from_secs(11);

#[tokio::test(flavor = "multi_thread")]
async fn an_append_that_takes_too_long_fails_alone() {
    let database = database_with_large_segments().await;
    let log = open(&database, Service::Command).await;
    let mut owner = owner(&database).await;
    // What no bound of ours foresees.
    let slow = "
        create function log.sleep() returns trigger language plpgsql as $$
        begin
            perform pg_sleep(60);
            return new;
        end
        $$;
        create trigger slow before insert on log.events
        for each row when (new.stream = 'task-slow') execute function log.sleep();
    ";
    execute(&mut owner, slow).await;
    let mut streams: Vec<String> = (0..OTHERS).map(|n| format!("task-{n}")).collect();
    streams.insert(OTHERS / 2, "task-slow".to_owned());
    let appends = join_all(streams.iter().map(|stream| log.append(one(stream))));
    let answers = tokio::time::timeout(ANSWER_BOUND, appends).await;
    for (stream, answer) in streams.iter().zip(answers.expect("all are answered")) {
        if stream == "task-slow" {
            assert!(
                matches!(answer, Err(Error::Unavailable { .. })),
                "{answer:?}"
            );
        } else {
            appended(answer.unwrap());
        }
    }
    // And those after it have the usual time again.
    let usual = "
        create or replace function log.sleep() returns trigger language plpgsql as $$
        begin
            perform pg_sleep(2);
            return new;
        end
        $$;
    ";
    execute(&mut owner, usual).await;
    appended(log.append(one("task-slow")).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_waited_for_the_lock_in_vain_is_not_tried_append_by_append() {
    let database = database_with_large_segments().await;
    let log = open(&database, Service::Command).await;
    let mut owner = owner(&database).await;
    execute(
        &mut owner,
        "begin; select pg_advisory_xact_lock(1718578276)",
    )
    .await;
    let began = Instant::now();
    for answer in join_all((0..OTHERS).map(|n| log.append(one(&format!("task-{n}"))))).await {
        assert!(
            matches!(
                answer,
                Err(Error::Unavailable {
                    is_unknown: false,
                    ..
                })
            ),
            "{answer:?}"
        );
    }
    let waited = began.elapsed();
    assert!(waited < LOCKED_BOUND, "they waited for {waited:?}");
    execute(&mut owner, "rollback").await;
    appended(log.append(one("task-1")).await.unwrap());
}
