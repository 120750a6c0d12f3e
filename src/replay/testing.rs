//! Events, and logs in memory, for tests of what is made of them.

use std::sync::atomic::{AtomicI64, Ordering};

use chrono::{DateTime, Utc};
use foldline_events::{
    Event, Recorded, Tenant,
    tasks::{
        Priority, ProjectCreated, ProjectEvent, TaskCreated, TaskEvent, TaskLabelAdded,
        TaskRenamed, project_stream, task_stream,
    },
};
use foldline_log::{AnyLog, Append, Expected, MemoryLog, NewEvent, Write};
use uuid::Uuid;

use super::source::Source;

pub(super) fn tenant() -> Tenant {
    Tenant::parse("acme").expect("a tenant")
}

/// Every call is a second later.
fn clock() -> DateTime<Utc> {
    static SECONDS: AtomicI64 = AtomicI64::new(1_772_323_200);
    let seconds = SECONDS.fetch_add(1, Ordering::Relaxed);
    DateTime::from_timestamp(seconds, 0).expect("a time")
}

pub(super) fn log() -> MemoryLog {
    MemoryLog::new(Uuid::from_u128(1), clock)
}

/// A source that reads few events at a time.
pub(super) fn source(log: &MemoryLog, stream: Option<&str>) -> Source {
    Source {
        log: AnyLog::Memory(log.clone()),
        tenant: tenant(),
        stream: stream.map(str::to_owned),
        page_events: 3,
    }
}

pub(super) fn project_created(name: &str) -> Event {
    Event::Project(ProjectEvent::Created(ProjectCreated {
        name: name.to_owned(),
        description: None,
    }))
}

pub(super) fn task_created(title: &str) -> Event {
    Event::Task(TaskEvent::Created(TaskCreated {
        project_id: Uuid::from_u128(1),
        title: title.to_owned(),
        description: None,
        priority: Priority::Low,
        estimated_hours: None,
        due_date: None,
        key: None,
        metadata: std::collections::BTreeMap::new(),
    }))
}

pub(super) fn task_renamed(title: &str) -> Event {
    Event::Task(TaskEvent::Renamed(TaskRenamed {
        title: title.to_owned(),
    }))
}

pub(super) fn label_added(label: &str) -> Event {
    Event::Task(TaskEvent::LabelAdded(TaskLabelAdded {
        label: label.to_owned(),
    }))
}

/// One command that records these, done.
pub(super) fn append(log: &MemoryLog, tenant: &Tenant, number: u128, events: Vec<Event>) {
    log.append(&command(tenant, number, events))
        .expect("it is stored");
}

/// One command that records these.
pub(super) fn command(tenant: &Tenant, number: u128, events: Vec<Event>) -> Append {
    static IDS: AtomicI64 = AtomicI64::new(1_000_000);
    let id = || {
        Uuid::from_u128(u128::from(
            IDS.fetch_add(1, Ordering::Relaxed).unsigned_abs(),
        ))
    };
    let aggregate = Uuid::from_u128(number);
    let stream = match events.first() {
        Some(Event::Project(_)) => project_stream(aggregate),
        Some(Event::Task(_) | Event::TaskKey(_)) | None => task_stream(aggregate),
    };
    let events = events
        .iter()
        .map(|event| NewEvent::new(id(), clock(), event.encode(aggregate)));
    let write = Write::to(stream, Expected::Any, events.collect());
    Append::new(tenant.clone(), id(), "ada", vec![write])
}

/// A tenant's project and tasks in turns, and between them those of another tenant: so many commands.
pub(super) fn busy_log(commands: u128) -> MemoryLog {
    let log = log();
    let other = Tenant::parse("other").expect("a tenant");
    for n in 0..commands {
        let task = 10 + n % 5;
        match n {
            0 => append(&log, &tenant(), 1, vec![project_created("Garden")]),
            1..=5 => append(
                &log,
                &tenant(),
                task,
                vec![task_created("Dig"), label_added("spring")],
            ),
            _ if n % 4 == 0 => append(&log, &other, task, vec![task_created("Not ours")]),
            _ if n % 7 == 0 => append(&log, &tenant(), task, vec![label_added(&format!("l{n}"))]),
            _ => append(
                &log,
                &tenant(),
                task,
                vec![task_renamed(&format!("Dig {n}"))],
            ),
        }
    }
    log
}

/// An event that no build of ours can read, with its position as its id.
pub(super) fn recorded(position: i64, stream: &str, version: i64) -> Recorded {
    let id = Uuid::from_u128(u128::from(position.unsigned_abs()));
    let at = DateTime::from_timestamp(1_772_323_200 + position, 0).expect("a time");
    Recorded {
        position,
        partition: 0,
        id,
        tenant: Tenant::parse("acme").expect("a tenant"),
        stream: stream.to_owned(),
        version,
        event_type: "test.Happened".to_owned(),
        schema_version: 1,
        payload: "{}".to_owned(),
        tags: vec![],
        actor: "ada".to_owned(),
        command_id: id,
        correlation_id: id,
        causation_id: id,
        trace_context: None,
        occurred_at: at,
        recorded_at: at,
    }
}
