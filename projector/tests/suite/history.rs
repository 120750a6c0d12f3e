//! Histories to fold: events as the log would have recorded them, made by hand; [`crate::seeded`] makes them of a seed.

use chrono::{DateTime, Utc};
use foldline_events::{
    Event, Hours, PARTITIONS, Partition, Position, Recorded, Tenant, partition_of,
    tasks::{
        KeyEvent, Metadata, Priority, ProjectCreated, ProjectEvent, TaskCancelled, TaskCompleted,
        TaskCreated, TaskEvent, TaskKeyReserved, TaskReopened, key_stream, project_stream,
        task_stream,
    },
};
use foldline_log::{Mark, Slice};
use uuid::Uuid;

use crate::support::all_partitions;

/// Recorded events, the first at position 1.
#[derive(Default)]
pub struct History {
    pub events: Vec<Recorded>,
}

impl History {
    pub fn project(&mut self, tenant: &str, project: Uuid, event: ProjectEvent) -> Position {
        self.record(
            tenant,
            project_stream(project),
            &Event::Project(event),
            project,
        )
    }

    pub fn task(&mut self, tenant: &str, task: Uuid, event: TaskEvent) -> Position {
        self.record(tenant, task_stream(task), &Event::Task(event), task)
    }

    /// The first and only event of a task: without looking for earlier ones, which takes long in a long history.
    pub fn task_once(&mut self, tenant: &str, task: Uuid, event: TaskEvent) {
        let earlier = std::mem::take(&mut self.events);
        let position = i64::try_from(earlier.len()).unwrap() + 1;
        self.task(tenant, task, event);
        let mut only = std::mem::replace(&mut self.events, earlier).remove(0);
        only.position = position;
        only.id = Uuid::from_u128(0xe000_0000 + u128::try_from(position).unwrap());
        self.events.push(only);
    }

    /// Reserves a key for a task: an event that no view folds.
    pub fn key(&mut self, tenant: &str, key: Uuid, task_id: Uuid) -> Position {
        let event = Event::TaskKey(KeyEvent::Reserved(TaskKeyReserved { task_id }));
        self.record(tenant, key_stream(key), &event, key)
    }

    fn record(&mut self, tenant: &str, stream: String, event: &Event, aggregate: Uuid) -> Position {
        let tenant = Tenant::parse(tenant).unwrap();
        let encoded = event.encode(aggregate);
        let position = self.head() + 1;
        let same_stream = |event: &&Recorded| event.stream == stream && event.tenant == tenant;
        let version = self.events.iter().filter(same_stream).count() + 1;
        let at = time(position);
        let id = Uuid::from_u128(0xe000_0000 + u128::try_from(position).unwrap());
        self.events.push(Recorded {
            position,
            partition: partition_of(&tenant, &stream),
            id,
            tenant,
            stream,
            version: i64::try_from(version).unwrap(),
            event_type: encoded.event_type.to_owned(),
            schema_version: encoded.schema_version,
            payload: encoded.payload,
            tags: encoded.tags,
            actor: "tester".to_owned(),
            command_id: id,
            correlation_id: id,
            causation_id: id,
            trace_context: None,
            occurred_at: at,
            recorded_at: at,
        });
        position
    }

    pub fn head(&self) -> Position {
        i64::try_from(self.events.len()).unwrap()
    }

    pub fn partition_at(&self, position: Position) -> Partition {
        self.at(position).partition
    }

    pub fn at(&self, position: Position) -> &Recorded {
        &self.events[usize::try_from(position - 1).unwrap()]
    }

    fn mark(&self, position: Position) -> Mark {
        Mark {
            position,
            event_id: self.at(position).id,
        }
    }

    /// What lies in one partition after one position and up to another.
    pub fn slice(&self, partition: Partition, after: Position, through: Position) -> Slice {
        let within = |event: &&Recorded| {
            event.partition == partition && event.position > after && event.position <= through
        };
        Slice {
            partition,
            events: self.events.iter().filter(within).cloned().collect(),
            through: self.mark(through),
            offset: None,
        }
    }

    /// A delivery of every partition.
    pub fn slices(&self, after: Position, through: Position) -> Vec<Slice> {
        let slice = |partition| self.slice(partition, after, through);
        all_partitions().into_iter().map(slice).collect()
    }

    pub fn whole(&self) -> Vec<Slice> {
        self.slices(0, self.head())
    }
}

pub fn time(position: Position) -> DateTime<Utc> {
    DateTime::from_timestamp(1_700_000_000 + position, 0).unwrap()
}

pub fn project_created(name: &str) -> ProjectEvent {
    ProjectEvent::Created(ProjectCreated {
        name: name.to_owned(),
        description: None,
    })
}

pub fn task_created(project_id: Uuid, title: &str, estimated: Option<i64>) -> TaskEvent {
    TaskEvent::Created(TaskCreated {
        project_id,
        title: title.to_owned(),
        description: None,
        priority: Priority::Medium,
        estimated_hours: estimated.map(Hours::from_hundredths),
        due_date: None,
        key: None,
        metadata: Metadata::new(),
    })
}

pub fn completed(actual: Option<i64>) -> TaskEvent {
    TaskEvent::Completed(TaskCompleted {
        actual_hours: actual.map(Hours::from_hundredths),
    })
}

pub fn reopened() -> TaskEvent {
    TaskEvent::Reopened(TaskReopened {
        reason: "not done after all".to_owned(),
    })
}

pub fn cancelled() -> TaskEvent {
    TaskEvent::Cancelled(TaskCancelled {
        reason: "not wanted".to_owned(),
    })
}

/// How many partitions a history touches.
pub fn partitions_used(history: &History) -> usize {
    let used = |partition: &Partition| {
        history
            .events
            .iter()
            .any(|event| event.partition == *partition)
    };
    (0..PARTITIONS).filter(used).count()
}
