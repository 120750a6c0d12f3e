//! Jobs that wait for their time, fail, are left by those who had them, or are given up.

use foldline_command::{
    Reaction,
    worker::{
        Kind,
        desk::{self, Entry, State},
    },
};
use foldline_schema::testing::TestDatabase;
use uuid::Uuid;

use super::{Running, comes, owner, steps, until_jobs};
use crate::service::{database, done, handler, project, task, task_data};

/// A job as a reaction orders it, at a time of ours.
async fn order(database: &TestDatabase, task: Uuid, seconds: f64) -> Uuid {
    let id = Uuid::now_v7();
    order_as(database, id, task, seconds).await;
    id
}

async fn order_as(database: &TestDatabase, id: Uuid, task: Uuid, seconds: f64) {
    sqlx::query(
        "insert into work.jobs (job_id, kind, tenant, aggregate, input, run_at)
         values ($1, $2, 'acme', $3, '{}', clock_timestamp() + make_interval(secs => $4))",
    )
    .bind(id)
    .bind(Kind::Reaction(Reaction::SuggestCompletion).name())
    .bind(task)
    .bind(seconds)
    .execute(&mut owner(database).await)
    .await
    .unwrap();
}

/// The task would answer the command anew; the log knows that it was given.
#[tokio::test]
async fn a_command_that_was_given_is_not_given_again_whatever_has_changed_since() {
    let database = database().await;
    let handler = handler(&database).await;
    let log = crate::service::log(&database).await;
    let task = task(&handler).await;
    let running = Running::start(&database).await;
    steps(&handler, task, 1).await;
    let job = order(&database, task, 0.0).await;
    comes(&log, "tasks.TaskCompletionSuggested", 1).await;
    until_jobs(&database, <[Entry]>::is_empty).await;
    running.end().await;

    // Nobody answers this step.
    steps(&handler, task, 2).await;
    sqlx::query("delete from work.reactions")
        .execute(&mut owner(&database).await)
        .await
        .unwrap();
    let said = comes(&log, "tasks.TaskCompletionSuggested", 1).await;
    order_as(&database, said[0].command_id, task, 0.0).await;
    let running = Running::start(&database).await;
    until_jobs(&database, <[Entry]>::is_empty).await;
    assert_eq!(comes(&log, "tasks.TaskCompletionSuggested", 1).await, said);
    // Another id does it.
    assert_ne!(order(&database, task, 0.0).await, job);
    comes(&log, "tasks.TaskCompletionSuggested", 2).await;
    running.end().await;
}

#[tokio::test]
async fn a_command_that_waits_for_its_time_outlives_whoever_waited_and_comes_no_earlier() {
    let database = database().await;
    let handler = handler(&database).await;
    let log = crate::service::log(&database).await;
    let task = task(&handler).await;
    steps(&handler, task, 1).await;
    let mut running = Running::start(&database).await;
    running.leads().await;
    order(&database, task, 3.0).await;
    let wanted = until_jobs(&database, |jobs| jobs.len() == 1).await[0].run_at;
    running.end().await;
    let running = Running::start(&database).await;
    let said = comes(&log, "tasks.TaskCompletionSuggested", 1).await;
    assert!(
        said[0].recorded_at >= wanted,
        "{} {wanted}",
        said[0].recorded_at
    );
    running.end().await;
}

#[tokio::test]
async fn a_job_that_fails_is_tried_three_times_more_and_parked_until_somebody_mends_it() {
    let database = database().await;
    let handler = handler(&database).await;
    let mut running = Running::start(&database).await;
    running.leads().await;
    // There is no such task, yet.
    let task = Uuid::now_v7();
    let job = order(&database, task, 0.0).await;
    let parked = until_jobs(&database, |jobs| {
        jobs.iter().any(|job| job.parked_at.is_some())
    })
    .await;
    assert_eq!((parked[0].job_id, parked[0].attempts), (job, 4));
    let why = parked[0].failure.as_deref().unwrap();
    assert!(why.contains("there is no such task"), "{why}");

    let project = project(&handler).await;
    done(&handler, task, "tasks.create_task", &task_data(project))
        .await
        .unwrap();
    let mut owner = owner(&database).await;
    let listed = desk::list(&mut owner, Some(State::Parked), 10)
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(desk::retry(&mut owner, Some(job)).await.unwrap(), 1);
    until_jobs(&database, <[Entry]>::is_empty).await;
    assert_eq!(desk::retry(&mut owner, None).await.unwrap(), 0);
    running.end().await;
}

#[tokio::test]
async fn a_parked_job_can_be_given_up_and_one_that_waits_cannot() {
    let database = database().await;
    let running = Running::start(&database).await;
    let job = order(&database, Uuid::now_v7(), 0.0).await;
    let waiting = order(&database, Uuid::now_v7(), 3_600.0).await;
    until_jobs(&database, |jobs| {
        jobs.iter().any(|job| job.parked_at.is_some())
    })
    .await;
    let mut owner = owner(&database).await;
    assert!(!desk::discard(&mut owner, waiting).await.unwrap());
    assert!(desk::discard(&mut owner, job).await.unwrap());
    let left = until_jobs(&database, |jobs| jobs.len() == 1).await;
    assert_eq!(left[0].job_id, waiting);
    running.end().await;
}

/// The job's row says that somebody has it who never comes back, for the last time that it may be tried.
#[tokio::test]
async fn a_job_that_its_runners_die_of_is_parked_and_one_that_was_left_is_taken_up() {
    let database = database().await;
    let handler = handler(&database).await;
    let task = task(&handler).await;
    steps(&handler, task, 1).await;
    let (deadly, left) = (
        order(&database, task, -60.0).await,
        order(&database, task, -60.0).await,
    );
    for (job, attempts) in [(deadly, 4), (left, 1)] {
        sqlx::query(
            "update work.jobs set attempts = $2, taken_until = now() - interval '1 s' where job_id = $1",
        )
        .bind(job)
        .bind(attempts)
        .execute(&mut owner(&database).await)
        .await
        .unwrap();
    }
    let running = Running::start(&database).await;
    let parked = until_jobs(&database, |jobs| {
        jobs.len() == 1 && jobs[0].parked_at.is_some()
    })
    .await;
    assert_eq!(parked[0].job_id, deadly);
    let log = crate::service::log(&database).await;
    comes(&log, "tasks.TaskCompletionSuggested", 1).await;
    running.end().await;
}
