//! Histories to fold: events as the log would have recorded them, made by hand or from a seed.

use chrono::{DateTime, Utc};
use foldline_events::{
    Event, Hours, PARTITIONS, Partition, Position, Recorded, Tenant, partition_of,
    tasks::{
        Metadata, Priority, ProjectArchived, ProjectCreated, ProjectEvent, ProjectRenamed,
        TaskAssigned, TaskCancelled, TaskCompleted, TaskCreated, TaskEvent, TaskLabelAdded,
        TaskReopened, TaskStarted, TaskStepAdded, TaskStepCompleted, project_stream, task_stream,
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

    fn record(&mut self, tenant: &str, stream: String, event: &Event, aggregate: Uuid) -> Position {
        let tenant = Tenant::parse(tenant).unwrap();
        let encoded = event.encode(aggregate);
        let position = self.head() + 1;
        let same_stream = |event: &&Recorded| event.stream == stream && event.tenant == tenant;
        let version = self.events.iter().filter(same_stream).count() + 1;
        let at = time(position);
        self.events.push(Recorded {
            position,
            partition: partition_of(&tenant, &stream),
            id: Uuid::from_u128(0xe000_0000 + u128::try_from(position).unwrap()),
            tenant,
            stream,
            version: i64::try_from(version).unwrap(),
            event_type: encoded.event_type.to_owned(),
            schema_version: encoded.schema_version,
            payload: encoded.payload,
            tags: encoded.tags,
            actor: "tester".to_owned(),
            command_id: Uuid::nil(),
            correlation_id: Uuid::nil(),
            causation_id: Uuid::nil(),
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
    })
}

pub fn task_created(project_id: Uuid, title: &str, estimated: Option<i64>) -> TaskEvent {
    TaskEvent::Created(TaskCreated {
        project_id,
        title: title.to_owned(),
        priority: Priority::Medium,
        estimated_hours: estimated.map(Hours::from_hundredths),
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

/// Numbers that depend on nothing but their seed: Steele, Lea and Flood, "Fast splittable pseudorandom number
/// generators" (SplitMix64).
pub struct Random(pub u64);

impl Random {
    pub fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        usize::try_from(mixed % u64::try_from(bound).unwrap()).unwrap()
    }

    fn hundredths(&mut self) -> Option<i64> {
        (self.below(4) > 0).then(|| i64::try_from(self.below(1_000)).unwrap())
    }
}

/// Two tenants, a few projects, many tasks in every state.
pub fn seeded(seed: u64, events: usize) -> History {
    let mut random = Random(seed);
    let mut history = History::default();
    let tenants = ["acme", "zeta"];
    for n in 0..6 {
        let (tenant, project) = (tenants[n % 2], project_id(n));
        history.project(tenant, project, project_created(&format!("project {n}")));
    }
    let mut tasks: Vec<Vec<Uuid>> = Vec::new();
    while history.events.len() < events {
        let n = random.below(tasks.len() + 1);
        let tenant = tenants[n % 2];
        if n == tasks.len() || random.below(6) == 0 {
            let task = Uuid::from_u128(0x7000 + u128::try_from(tasks.len()).unwrap());
            let tenant = tenants[tasks.len() % 2];
            let project = project_id(2 * random.below(3) + tasks.len() % 2);
            let estimated = random.hundredths();
            history.task(
                tenant,
                task,
                task_created(project, &format!("task {n} \"ä\""), estimated),
            );
            tasks.push(vec![task]);
        } else {
            let event = any_change(&mut random, &mut tasks[n]);
            history.task(tenant, tasks[n][0], event);
        }
        if random.below(20) == 0 {
            let n = random.below(6);
            let event = match random.below(2) {
                0 => ProjectEvent::Archived(ProjectArchived {}),
                _ => ProjectEvent::Renamed(ProjectRenamed {
                    name: format!("renamed at {}", history.head()),
                }),
            };
            history.project(tenants[n % 2], project_id(n), event);
        }
    }
    history
}

fn project_id(n: usize) -> Uuid {
    Uuid::from_u128(0x1000 + u128::try_from(n).unwrap())
}

/// `task` is the task's id, followed by those of its steps. Views fold what was decided, sensible or not.
fn any_change(random: &mut Random, task: &mut Vec<Uuid>) -> TaskEvent {
    match random.below(8) {
        0 => TaskEvent::Assigned(TaskAssigned {
            assignee_id: Uuid::from_u128(0x2000 + u128::try_from(random.below(5)).unwrap()),
        }),
        1 => TaskEvent::LabelAdded(TaskLabelAdded {
            label: format!("{{label}}, \\ {}", random.below(1_000)),
        }),
        2 => TaskEvent::Started(TaskStarted {}),
        3 => {
            let step_id =
                Uuid::from_u128(task[0].as_u128() << 32 | u128::try_from(task.len()).unwrap());
            task.push(step_id);
            TaskEvent::StepAdded(TaskStepAdded {
                step_id,
                content: format!("step {}", task.len()),
            })
        }
        4 if task.len() > 1 => TaskEvent::StepCompleted(TaskStepCompleted {
            step_id: task[1 + random.below(task.len() - 1)],
        }),
        4 | 5 => completed(random.hundredths()),
        6 => reopened(),
        _ => cancelled(),
    }
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
