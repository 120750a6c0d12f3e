//! How many jobs are under way at once, how long one may take, and whose it is meanwhile.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use foldline_command::{
    Reaction,
    worker::{
        JOBS_CONCURRENT_MAX, Kind, Policy,
        desk::{self, Entry},
    },
};
use foldline_schema::testing::TestDatabase;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{PATIENCE, Running, comes, day, due, impatient, owner, steps, until_jobs};
use crate::service::{database, handler, task};

/// As long as this lives, whoever needs the table waits.
async fn locked(database: &TestDatabase, table: &str) -> PgConnection {
    let mut holder = owner(database).await;
    let lock = format!("begin; lock table {table} in access exclusive mode");
    sqlx::raw_sql(sqlx::AssertSqlSafe(lock))
        .execute(&mut holder)
        .await
        .unwrap();
    holder
}

async fn order(database: &TestDatabase, kind: Kind, task: Option<Uuid>, input: &str) -> Uuid {
    let id = Uuid::now_v7();
    sqlx::query(
        "insert into work.jobs (job_id, kind, tenant, aggregate, input, run_at)
         values ($1, $2, case when $3 is not null then 'acme' end, $3, $4::json, clock_timestamp())",
    )
    .bind(id)
    .bind(kind.name())
    .bind(task)
    .bind(input)
    .execute(&mut owner(database).await)
    .await
    .unwrap();
    id
}

/// The hour of housekeeping may come in the middle of a test.
async fn never_by_itself(database: &TestDatabase) {
    sqlx::query(
        "insert into work.schedules (name, last_at) values ('housekeeping', now() + interval '1 day')",
    )
    .execute(&mut owner(database).await)
    .await
    .unwrap();
}

/// A job that somebody has taken: its kind, until when, and how often it was taken.
type Taken = (String, DateTime<Utc>, i32);

async fn taken(owner: &mut PgConnection) -> Vec<Taken> {
    sqlx::query_as(
        "select kind, taken_until, attempts from work.jobs where taken_until is not null order by kind",
    )
    .fetch_all(owner)
    .await
    .unwrap()
}

async fn until_taken(owner: &mut PgConnection, are: impl Fn(&[Taken]) -> bool) -> Vec<Taken> {
    let waiting = async {
        loop {
            let taken = taken(owner).await;
            if are(&taken) {
                return taken;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

/// One place is kept for others than the many jobs of a midnight.
#[tokio::test]
async fn four_jobs_are_under_way_at_once_and_no_kind_takes_every_place() {
    const LATE: usize = 6;
    let database = database().await;
    let handler = handler(&database).await;
    let late = Kind::Reaction(Reaction::NoteDueDayPassed);
    let done = Kind::Reaction(Reaction::SuggestCompletion);
    let mut tasks = Vec::new();
    for _ in 0..LATE {
        let task = task(&handler).await;
        due(&handler, task, day(-1)).await;
        steps(&handler, task, 1).await;
        tasks.push(task);
    }
    let mut running = Running::start_with(&database, None, Kind::policy).await;
    running.leads().await;

    let holder = locked(&database, "log.events").await;
    for task in &tasks {
        let input = format!(r#"{{"today":"{}"}}"#, day(0));
        order(&database, late, Some(*task), &input).await;
    }
    for task in &tasks[..2] {
        order(&database, done, Some(*task), "{}").await;
    }
    let mut owner = owner(&database).await;
    let of = |taken: &[Taken], kind: Kind| {
        let of_kind = taken.iter().filter(|(of, ..)| *of == kind.name());
        of_kind.count()
    };
    let are = |taken: &[Taken]| (of(taken, late), of(taken, done));
    until_taken(&mut owner, |taken| are(taken) == (3, 1)).await;
    // It looks every second. Those that have begun can do nothing but wait, or are put off when they get no connection.
    let looked = Instant::now() + Duration::from_secs(3);
    while Instant::now() < looked {
        let taken = taken(&mut owner).await;
        assert!(of(&taken, late) <= 3, "{taken:?}");
        assert!(taken.len() <= JOBS_CONCURRENT_MAX, "{taken:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    holder.close().await.unwrap();
    until_jobs(&database, <[Entry]>::is_empty).await;
    let log = crate::service::log(&database).await;
    assert_eq!(
        comes(&log, "tasks.TaskDueDayPassed", LATE).await.len(),
        LATE
    );
    running.end().await;
}

/// Of every other kind, too: a kind's own policy is what is given with it.
fn brief(kind: Kind) -> Policy {
    Policy {
        time_max: Duration::from_secs(1),
        retries_max: 1,
        ..impatient(kind)
    }
}

/// What it had begun may come to its end after all, and then nothing is done twice.
#[tokio::test]
async fn a_job_that_takes_longer_than_its_kind_may_has_failed_and_is_done_once_all_the_same() {
    let database = database().await;
    let handler = handler(&database).await;
    let task = task(&handler).await;
    steps(&handler, task, 1).await;
    let mut running = Running::start_with(&database, None, brief).await;
    running.leads().await;
    let holder = locked(&database, "log.events").await;
    let kind = Kind::Reaction(Reaction::SuggestCompletion);
    let job = order(&database, kind, Some(task), "{}").await;
    let parked = until_jobs(&database, |jobs| {
        jobs.iter().any(|job| job.parked_at.is_some())
    })
    .await;
    assert_eq!((parked[0].job_id, parked[0].attempts), (job, 2));
    assert_eq!(parked[0].failure.as_deref(), Some("it took more than 1 s"));

    holder.close().await.unwrap();
    let retried = desk::retry(&mut owner(&database).await, Some(job)).await;
    assert_eq!(retried.unwrap(), 1);
    until_jobs(&database, <[Entry]>::is_empty).await;
    let log = crate::service::log(&database).await;
    let said = comes(&log, "tasks.TaskCompletionSuggested", 1).await;
    assert_eq!(said.len(), 1);
    assert_eq!(said[0].command_id, job);
    running.end().await;
}

#[tokio::test]
async fn a_job_stays_with_who_has_begun_it_and_is_given_back_when_that_process_ends() {
    let database = database().await;
    never_by_itself(&database).await;
    let holder = locked(&database, "log.snapshots").await;
    order(&database, Kind::Housekeeping, None, "{}").await;
    let running = Running::start(&database).await;
    let mut owner = owner(&database).await;
    let begun = until_taken(&mut owner, |taken| taken.len() == 1).await;
    let (_, until, _) = begun[0];
    let another = Running::start(&database).await;
    // Who has it says so again and again, and the other leaves it alone.
    let kept = until_taken(&mut owner, |taken| taken[0].1 > until).await;
    let (_, _, attempts) = kept[0];
    assert_eq!(attempts, 1);
    tokio::join!(running.end(), another.end());
    assert_eq!(taken(&mut owner).await, []);
    let jobs = desk::list(&mut owner, None, 10).await.unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!((jobs[0].attempts, jobs[0].parked_at), (0, None));

    holder.close().await.unwrap();
    let running = Running::start(&database).await;
    until_jobs(&database, <[Entry]>::is_empty).await;
    running.end().await;
}
