//! The worker over a real log: reactions, jobs that wait for their time, failures, and one leader.

mod bounds;
mod house;
mod jobs;

use std::time::Duration;

use chrono::{Days, NaiveDate, Utc};
use foldline_command::worker::{
    self, Kind, Policy, Worker, WorkerOptions,
    desk::{self, Entry},
};
use foldline_events::{Position, Recorded};
use foldline_log::{Log, LogOptions, Service};
use foldline_schema::testing::TestDatabase;
use sqlx::{
    Connection, PgConnection,
    postgres::{PgConnectOptions, PgPoolOptions},
};
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::service::{database, done, handler, recorded, task};

/// How long anything may take, at the very most.
const PATIENCE: Duration = Duration::from_secs(60);

fn as_worker(database: &TestDatabase) -> PgConnectOptions {
    let url: PgConnectOptions = database.url.parse().unwrap();
    url.options([("role", "foldline_worker")])
}

/// What is tried again is tried again at once.
fn impatient(_: Kind) -> Policy {
    Policy {
        backoff: Duration::from_millis(10),
        backoff_factor: 1,
        ..Policy::DEFAULT
    }
}

struct Running {
    status: watch::Receiver<worker::Status>,
    shutdown: CancellationToken,
    working: JoinHandle<Result<(), worker::Error>>,
}

impl Running {
    async fn start(database: &TestDatabase) -> Self {
        Self::start_from(database, None).await
    }

    async fn start_from(database: &TestDatabase, new_from: Option<Position>) -> Self {
        Self::start_with(database, new_from, impatient).await
    }

    /// As a process of its own would.
    async fn start_with(
        database: &TestDatabase,
        new_from: Option<Position>,
        policy: fn(Kind) -> Policy,
    ) -> Self {
        let options = LogOptions::new(database.url.parse().unwrap(), Service::Projector);
        let log = Log::open(options).await.unwrap();
        let pool = PgPoolOptions::new().max_connections(2);
        let pool = pool.connect_with(as_worker(database)).await.unwrap();
        let options = WorkerOptions {
            new_from,
            policy,
            ..WorkerOptions::new(as_worker(database))
        };
        let worker = Worker::new(handler(database).await, log, pool, options);
        let shutdown = CancellationToken::new();
        Self {
            status: worker.status(),
            working: tokio::spawn(worker.run(shutdown.clone())),
            shutdown,
        }
    }

    async fn leads(&mut self) {
        let leads = self.status.wait_for(|status| status.leader);
        tokio::time::timeout(PATIENCE, leads)
            .await
            .unwrap()
            .unwrap();
    }

    async fn has_answered(&mut self, position: Position) {
        let answered = self.status.wait_for(|status| {
            let places = &status.reactions;
            !places.is_empty() && places.values().all(|place| *place >= position)
        });
        tokio::time::timeout(PATIENCE, answered)
            .await
            .unwrap()
            .unwrap();
    }

    async fn end(self) {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.working)
            .await
            .unwrap()
            .unwrap()
            .unwrap();
    }
}

async fn owner(database: &TestDatabase) -> PgConnection {
    PgConnection::connect(&database.url).await.unwrap()
}

/// Waits for events of a type.
async fn comes(log: &Log, event_type: &str, count: usize) -> Vec<Recorded> {
    let waiting = async {
        loop {
            let mut events = recorded(log).await;
            events.retain(|event| event.event_type == event_type);
            if events.len() >= count {
                return events;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

async fn until_jobs(database: &TestDatabase, are: impl Fn(&[Entry]) -> bool) -> Vec<Entry> {
    let mut owner = owner(database).await;
    let waiting = async {
        loop {
            let jobs = desk::list(&mut owner, None, 1_000).await.unwrap();
            if are(&jobs) {
                return jobs;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap()
}

/// Days from today on.
fn day(days: i64) -> NaiveDate {
    let today = Utc::now().date_naive();
    match u64::try_from(days) {
        Ok(days) => today + Days::new(days),
        Err(_) => today - Days::new(days.unsigned_abs()),
    }
}

async fn due(handler: &foldline_command::Handler, task: Uuid, on: NaiveDate) {
    let data = format!(r#"{{"dueDate":"{on}"}}"#);
    done(handler, task, "tasks.set_due_date", &data)
        .await
        .unwrap();
}

async fn steps(handler: &foldline_command::Handler, task: Uuid, count: u128) {
    for step in 1..=count {
        let data = format!(
            r#"{{"stepId":"{}","content":"burn"}}"#,
            Uuid::from_u128(step)
        );
        done(handler, task, "tasks.add_step", &data).await.unwrap();
    }
    for step in 1..=count {
        let data = format!(r#"{{"stepId":"{}"}}"#, Uuid::from_u128(step));
        done(handler, task, "tasks.complete_step", &data)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn that_a_due_day_passed_is_said_of_an_open_task_and_of_no_other() {
    let database = database().await;
    let mut running = Running::start(&database).await;
    running.leads().await;
    let handler = handler(&database).await;
    let (late, done_in_time, later) = (
        task(&handler).await,
        task(&handler).await,
        task(&handler).await,
    );
    done(&handler, done_in_time, "tasks.complete_task", "{}")
        .await
        .unwrap();
    due(&handler, done_in_time, day(-1)).await;
    due(&handler, later, day(1)).await;
    due(&handler, late, day(-2)).await;
    let log = crate::service::log(&database).await;
    let said = comes(&log, "tasks.TaskDueDayPassed", 1).await;
    let head = recorded(&log).await.len();
    running.has_answered(i64::try_from(head).unwrap()).await;
    // What is not due yet waits; everything else is done.
    let left = until_jobs(&database, |jobs| jobs.len() == 1).await;
    assert_eq!(left[0].aggregate, Some(later));
    assert_eq!(left[0].state, "waiting");
    assert_eq!(left[0].run_at.date_naive(), day(2));

    let cause = recorded(&log).await.into_iter().find(|event| {
        event.event_type == "tasks.TaskDueDateSet" && event.aggregate() == Some(late)
    });
    let cause = cause.unwrap();
    let said = &said[0];
    assert_eq!(said.stream, format!("task-{late}"));
    assert_eq!(said.payload, format!(r#"{{"dueDate":"{}"}}"#, day(-2)));
    assert_eq!(said.actor, "reaction:tasks.note_due_day_passed");
    assert_eq!(
        said.command_id,
        order_id("tasks.note_due_day_passed", cause.id)
    );
    assert_eq!(said.causation_id, cause.id);
    assert_eq!(said.correlation_id, cause.correlation_id);
    assert_eq!(comes(&log, "tasks.TaskDueDayPassed", 1).await.len(), 1);
    running.end().await;
}

#[tokio::test]
async fn a_task_that_is_taken_up_again_after_its_due_day_is_said_to_be_late() {
    let database = database().await;
    let mut running = Running::start(&database).await;
    running.leads().await;
    let handler = handler(&database).await;
    let task = task(&handler).await;
    done(&handler, task, "tasks.cancel_task", r#"{"reason":"rain"}"#)
        .await
        .unwrap();
    due(&handler, task, day(-1)).await;
    until_jobs(&database, <[Entry]>::is_empty).await;
    done(&handler, task, "tasks.reopen_task", r#"{"reason":"sun"}"#)
        .await
        .unwrap();
    let log = crate::service::log(&database).await;
    comes(&log, "tasks.TaskDueDayPassed", 1).await;
    running.end().await;
}

#[tokio::test]
async fn a_task_whose_last_step_was_completed_while_it_was_blocked_is_suggested_once_it_can_go_on()
{
    let database = database().await;
    let mut running = Running::start(&database).await;
    running.leads().await;
    let handler = handler(&database).await;
    let task = task(&handler).await;
    done(&handler, task, "tasks.block_task", r#"{"reason":"rain"}"#)
        .await
        .unwrap();
    steps(&handler, task, 1).await;
    let log = crate::service::log(&database).await;
    let head = recorded(&log).await.len();
    running.has_answered(i64::try_from(head).unwrap()).await;
    until_jobs(&database, <[Entry]>::is_empty).await;
    assert_eq!(recorded(&log).await.len(), head);
    done(&handler, task, "tasks.unblock_task", "{}")
        .await
        .unwrap();
    comes(&log, "tasks.TaskCompletionSuggested", 1).await;
    running.end().await;
}

#[tokio::test]
async fn completing_the_last_step_suggests_completion_once() {
    let database = database().await;
    let mut running = Running::start(&database).await;
    running.leads().await;
    let handler = handler(&database).await;
    let task = task(&handler).await;
    steps(&handler, task, 3).await;
    let log = crate::service::log(&database).await;
    let said = comes(&log, "tasks.TaskCompletionSuggested", 1).await;
    let head = recorded(&log).await.len();
    running.has_answered(i64::try_from(head).unwrap()).await;
    until_jobs(&database, <[Entry]>::is_empty).await;
    let all = comes(&log, "tasks.TaskCompletionSuggested", 1).await;
    assert_eq!((said.len(), all.len()), (1, 1));
    let last_step = (recorded(&log).await.into_iter())
        .rfind(|event| event.event_type == "tasks.TaskStepCompleted")
        .unwrap();
    assert_eq!(said[0].version, last_step.version + 1);
    running.end().await;
}

#[tokio::test]
async fn a_reaction_begins_at_the_head_or_where_it_is_told_to_and_goes_on_where_it_was() {
    let database = database().await;
    let handler = handler(&database).await;
    let log = crate::service::log(&database).await;
    let early = task(&handler).await;
    due(&handler, early, day(-1)).await;
    let head = i64::try_from(recorded(&log).await.len()).unwrap();

    let mut running = Running::start(&database).await;
    running.has_answered(head).await;
    running.end().await;
    assert!(recorded(&log).await.len() == usize::try_from(head).unwrap());
    // It is not new any more, so this says nothing to it; but what came meanwhile is answered.
    let meanwhile = task(&handler).await;
    due(&handler, meanwhile, day(-1)).await;
    let running = Running::start_from(&database, Some(0)).await;
    let said = comes(&log, "tasks.TaskDueDayPassed", 1).await;
    assert_eq!(said[0].aggregate(), Some(meanwhile));
    running.end().await;
    // It was noted down with what was ordered.
    let noted: Vec<Position> = sqlx::query_scalar("select position from work.reactions")
        .fetch_all(&mut owner(&database).await)
        .await
        .unwrap();
    assert!(noted.iter().all(|noted| *noted > head), "{noted:?} {head}");

    sqlx::query("delete from work.reactions")
        .execute(&mut owner(&database).await)
        .await
        .unwrap();
    let running = Running::start_from(&database, Some(0)).await;
    let said = comes(&log, "tasks.TaskDueDayPassed", 2).await;
    assert_eq!(said[1].aggregate(), Some(early));
    running.end().await;
}

#[tokio::test]
async fn a_start_beyond_the_head_is_refused() {
    let database = database().await;
    let running = Running::start_from(&database, Some(7)).await;
    let ended = tokio::time::timeout(PATIENCE, running.working)
        .await
        .unwrap()
        .unwrap();
    assert!(
        matches!(
            ended,
            Err(worker::Error::BeyondHead {
                head: 0,
                from: 7,
                ..
            })
        ),
        "{ended:?}"
    );
}

/// Everything is answered twice, and every job done twice: once after its row is gone.
#[tokio::test]
async fn events_that_are_read_again_do_nothing_twice() {
    let database = database().await;
    let handler = handler(&database).await;
    let log = crate::service::log(&database).await;
    let (late, stepped) = (task(&handler).await, task(&handler).await);
    due(&handler, late, day(-1)).await;
    steps(&handler, stepped, 2).await;
    for _ in 0..3 {
        let mut running = Running::start_from(&database, Some(0)).await;
        comes(&log, "tasks.TaskDueDayPassed", 1).await;
        comes(&log, "tasks.TaskCompletionSuggested", 1).await;
        let head = i64::try_from(recorded(&log).await.len()).unwrap();
        running.has_answered(head).await;
        until_jobs(&database, <[Entry]>::is_empty).await;
        running.end().await;
        sqlx::query("delete from work.reactions")
            .execute(&mut owner(&database).await)
            .await
            .unwrap();
    }
    assert_eq!(comes(&log, "tasks.TaskDueDayPassed", 1).await.len(), 1);
    assert_eq!(
        comes(&log, "tasks.TaskCompletionSuggested", 1).await.len(),
        1
    );
}

/// The id of what a reaction orders because of an event, for ever.
fn order_id(reaction: &str, event: Uuid) -> Uuid {
    let namespace = Uuid::from_u128(0x8d0e_0b1c_93f5_4e0a_b8de_51c7_2f64_0c2e);
    Uuid::new_v5(&namespace, format!("{reaction}/{event}").as_bytes())
}

/// Ends the sessions that hold the lead, again and again, while two workers work and events come.
#[tokio::test]
async fn two_workers_one_leader_and_nothing_is_missed_or_doubled_while_leads_are_lost() {
    const TASKS: usize = 40;
    let database = database().await;
    let handler = handler(&database).await;
    let log = crate::service::log(&database).await;
    let mut tasks = Vec::new();
    for _ in 0..TASKS {
        tasks.push(task(&handler).await);
    }
    let mut workers = [
        Running::start_from(&database, Some(0)).await,
        Running::start_from(&database, Some(0)).await,
    ];
    let [one, other] = &mut workers;
    let leads = async {
        tokio::select! {
            () = one.leads() => {}
            () = other.leads() => {}
        }
    };
    leads.await;
    let mut leads_ended = 0;
    let mut owner = owner(&database).await;
    for (n, task) in tasks.iter().enumerate() {
        due(&handler, *task, day(-1)).await;
        if n % 10 == 0 {
            let ended: Vec<bool> = sqlx::query_scalar(
                "select pg_terminate_backend(pid)
                 from pg_locks
                 where locktype = 'advisory'
                   and objid = 2003792491
                   and database = (select oid from pg_database where datname = current_database())",
            )
            .fetch_all(&mut owner)
            .await
            .unwrap();
            assert!(ended.len() <= 1, "{ended:?}");
            leads_ended += ended.len();
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
    assert!(leads_ended > 0);
    let said = comes(&log, "tasks.TaskDueDayPassed", TASKS).await;
    let mut of: Vec<Uuid> = said.iter().filter_map(Recorded::aggregate).collect();
    of.sort_unstable();
    tasks.sort_unstable();
    assert_eq!(of, tasks);
    until_jobs(&database, <[Entry]>::is_empty).await;
    // Who lost the lead notices when it wants to write.
    let settles = async {
        let leads = |running: &&Running| running.status.borrow().leader;
        while workers.iter().filter(leads).count() != 1 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, settles).await.unwrap();
    // The one that does not has tried again by then.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let leads = |running: &&Running| running.status.borrow().leader;
    assert_eq!(workers.iter().filter(leads).count(), 1);
    for running in workers {
        running.end().await;
    }
}

/// An event that only a newer build can read is waited at, not passed over.
#[tokio::test]
async fn an_event_that_cannot_be_read_is_waited_at() {
    let database = database().await;
    let handler = handler(&database).await;
    let log = crate::service::log(&database).await;
    let (late, after) = (task(&handler).await, task(&handler).await);
    due(&handler, late, day(-1)).await;
    due(&handler, after, day(-1)).await;
    let newer = "update log.events set schema_version = 99 where type = 'tasks.TaskDueDateSet' and stream = $1";
    let mut owner = owner(&database).await;
    sqlx::query(newer)
        .bind(format!("task-{late}"))
        .execute(&mut owner)
        .await
        .unwrap();
    let mut running = Running::start_from(&database, Some(0)).await;
    let waits = running.status.wait_for(|status| status.failure.is_some());
    let why = tokio::time::timeout(PATIENCE, waits)
        .await
        .unwrap()
        .unwrap()
        .failure
        .clone();
    assert!(why.unwrap().contains("newer build"));
    assert!(until_jobs(&database, <[Entry]>::is_empty).await.is_empty());

    sqlx::query("update log.events set schema_version = 1 where schema_version = 99")
        .execute(&mut owner)
        .await
        .unwrap();
    let said = comes(&log, "tasks.TaskDueDayPassed", 2).await;
    let of: Vec<Option<Uuid>> = said.iter().map(Recorded::aggregate).collect();
    assert_eq!(of.len(), 2);
    running.end().await;
}
