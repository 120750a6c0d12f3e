//! A stream of 100,000 events: what the first command on it costs in a process that has just started, with a snapshot and
//! without, beside the first command on a short one. Commands go the whole way of the service except HTTP; the one sent
//! here finds that nothing is to be done, so that the stream stays as it is.

use std::time::{Duration, Instant};

use anyhow::Context;
use foldline_command::{Handler, Options, Outcome, Request};
use foldline_domain::Command;
use foldline_events::{
    Event, Tenant, Version,
    tasks::{
        Priority, TaskCreated, TaskDescribed, TaskEvent, TaskLabelAdded, TaskLabelRemoved,
        TaskPrioritySet, TaskRenamed, TaskStarted, task_stream,
    },
};
use foldline_gate::{Caller, Role, Secret};
use foldline_log::{EVENTS_PER_APPEND_MAX, Log};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::{
    database::{self, Database},
    report::Figure,
    sample,
};

/// How long the first load's snapshot may take until it is there.
const KEPT_SECONDS_MAX: u64 = 60;
const PAUSE_MS: u64 = 5;
/// How often a command of some milliseconds is sent in a run; the median counts.
const REPETITIONS: usize = 21;

pub struct Long {
    database: Database,
    log: Log,
    short: Uuid,
    long: Uuid,
    events: Version,
}

/// Milliseconds of the first command in a fresh process.
pub struct Run {
    pub short: f64,
    pub replayed: f64,
    pub by_snapshot: f64,
}

impl Long {
    /// A log with a short stream and one of so many events.
    #[expect(clippy::disallowed_methods, reason = "a benchmark is an edge")]
    pub async fn fill(events: usize) -> anyhow::Result<Self> {
        let database = Database::with_log().await?;
        let log = database::open(&database.url()).await?;
        let (short, long) = (Uuid::now_v7(), Uuid::now_v7());
        fill(&log, short, 10).await?;
        fill(&log, long, events).await?;
        database.tidy().await?;
        Ok(Self {
            database,
            log,
            short,
            long,
            events: Version::try_from(events)?,
        })
    }

    pub async fn run(&self) -> anyhow::Result<Run> {
        let mut owner = PgConnection::connect(&self.database.url()).await?;
        sqlx::raw_sql("delete from log.snapshots")
            .execute(&mut owner)
            .await?;
        let replayed = self.first_command(self.long).await?;
        let until = Instant::now() + Duration::from_secs(KEPT_SECONDS_MAX);
        loop {
            let kept = sqlx::query("select from log.snapshots where version = $1")
                .bind(self.events)
                .fetch_optional(&mut owner)
                .await?;
            if kept.is_some() {
                break;
            }
            anyhow::ensure!(Instant::now() < until, "no snapshot was kept");
            tokio::time::sleep(Duration::from_millis(PAUSE_MS)).await;
        }
        owner.close().await?;
        Ok(Run {
            replayed,
            by_snapshot: self.median_of_first_commands(self.long).await?,
            short: self.median_of_first_commands(self.short).await?,
        })
    }

    pub async fn drop(self) -> anyhow::Result<()> {
        drop(self.log);
        self.database.drop().await
    }

    async fn median_of_first_commands(&self, task: Uuid) -> anyhow::Result<f64> {
        let mut took = Vec::new();
        for _ in 0..REPETITIONS {
            took.push(self.first_command(task).await?);
        }
        took.sort_by(f64::total_cmp);
        Ok(took[took.len() / 2])
    }

    /// By a handler of its own, whose cache is empty.
    #[expect(clippy::disallowed_methods, reason = "a benchmark is an edge")]
    async fn first_command(&self, task: Uuid) -> anyhow::Result<f64> {
        let secret = Secret::from_bytes(vec![7; 32])?;
        let handler = Handler::new(self.log.clone(), &secret, &Options::default());
        let caller = Caller {
            tenant: tenant(),
            actor: "bench".to_owned(),
            role: Role::Member,
            expires_at: chrono::Utc::now() + Duration::from_secs(3_600),
        };
        let request = Request {
            id: Uuid::now_v7(),
            command: Command::parse("tasks.start_task", "{}")?,
            aggregate: task,
            at: None,
            expected_version: None,
            trace_context: None,
            correlation_id: None,
            causation_id: None,
        };
        let began = Instant::now();
        let accepted = handler.handle(&caller, request).await?;
        let took = began.elapsed().as_secs_f64() * 1_000.0;
        anyhow::ensure!(accepted.outcome == Outcome::Unchanged, "{accepted:?}");
        Ok(took)
    }
}

/// What comes out, of several runs.
pub fn figures(events: usize, runs: &[Run]) -> [Figure; 3] {
    let of = |name: &str, took: fn(&Run) -> f64| {
        Figure::new(name, "ms", runs.iter().map(took).collect())
    };
    let short = of("first command, stream of 10 events", |run| run.short);
    let mut by_snapshot = of(&format!("… of {events}, by its snapshot"), |run| {
        run.by_snapshot
    });
    let mut replayed = of(&format!("… of {events}, replayed"), |run| run.replayed);
    by_snapshot.against("short", short.median);
    replayed.against("by snapshot", by_snapshot.median);
    [short, by_snapshot, replayed]
}

fn tenant() -> Tenant {
    Tenant::parse("bench").expect("a valid tenant")
}

/// A task that was created and started, and then much that leaves it so.
async fn fill(log: &Log, task: Uuid, events: usize) -> anyhow::Result<()> {
    let created = TaskEvent::Created(TaskCreated {
        project_id: task,
        title: "Land".to_owned(),
        description: None,
        priority: Priority::High,
        estimated_hours: None,
        due_date: None,
        key: None,
        metadata: std::collections::BTreeMap::new(),
    });
    let before = [created, TaskEvent::Started(TaskStarted {})];
    let all: Vec<TaskEvent> = (before.into_iter())
        .chain((0..).map(happened))
        .take(events)
        .collect();
    for events in all.chunks(EVENTS_PER_APPEND_MAX) {
        let mut append = sample::append();
        append.tenant = tenant();
        let write = &mut append.writes[0];
        write.stream = task_stream(task);
        write.expected = foldline_log::Expected::Any;
        let template = write.events.remove(0);
        for event in events {
            let mut new = template.clone();
            new.id = new_id();
            new.encoded = Event::Task(event.clone()).encode(task);
            write.events.push(new);
        }
        log.append(append).await.context("filling the stream")?;
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "a benchmark is an edge")]
fn new_id() -> Uuid {
    Uuid::now_v7()
}

fn happened(n: usize) -> TaskEvent {
    let label = || format!("label {}", n / 5 % 20);
    match n % 5 {
        0 => TaskEvent::Renamed(TaskRenamed {
            title: format!("Land, for the {n}th time"),
        }),
        1 => TaskEvent::LabelAdded(TaskLabelAdded { label: label() }),
        2 => TaskEvent::Described(TaskDescribed {
            description: Some(format!("{n} {}", "x".repeat(150))),
        }),
        3 => TaskEvent::LabelRemoved(TaskLabelRemoved { label: label() }),
        _ => TaskEvent::PrioritySet(TaskPrioritySet {
            priority: [Priority::Low, Priority::Medium][n / 5 % 2],
        }),
    }
}
