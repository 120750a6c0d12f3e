//! Histories of tasks, folded by the projector's own writer, and beside each the plain tasks that they lead to: what
//! queries answer is compared with those.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use foldline_events::{
    Event, Hours, PARTITIONS, Partition, Position, Recorded, partition_of,
    tasks::{
        Priority, ProjectCreated, ProjectEvent, ReviewStatus, TaskAiReviewRecorded,
        TaskAiReviewRequested, TaskAssigned, TaskBlocked, TaskCancelled, TaskCommentAdded,
        TaskCompleted, TaskCreated, TaskDeleted, TaskEvent, TaskLabelAdded, TaskStarted,
        project_stream, task_stream,
    },
};
use foldline_log::{Mark, Slice};
use foldline_projector::{Builds, Writer};
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::support::{EPOCH, Fixture, tenant};

pub fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub fn day(text: &str) -> NaiveDate {
    text.parse().unwrap()
}

pub fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

/// A task as its events leave it, as far as filters and sums go.
#[derive(Debug, Clone)]
pub struct Plain {
    pub id: Uuid,
    pub project: Uuid,
    pub key: Option<String>,
    pub status: &'static str,
    pub priority: Priority,
    pub estimate: Option<Hours>,
    pub actual: Option<Hours>,
    pub due: Option<NaiveDate>,
    pub assignee: Option<Uuid>,
    pub labels: BTreeSet<String>,
    pub metadata: BTreeMap<String, Value>,
    pub review_needed: bool,
    pub created_at: DateTime<Utc>,
    pub updated_at: DateTime<Utc>,
    pub completed_at: Option<DateTime<Utc>>,
    pub deleted: bool,
}

#[derive(Default)]
pub struct Story {
    pub events: Vec<Recorded>,
    versions: HashMap<(String, String), i64>,
    /// By tenant.
    pub tasks: BTreeMap<String, BTreeMap<Uuid, Plain>>,
    pub now: DateTime<Utc>,
    folded: Position,
}

impl Story {
    pub fn project(&mut self, of: &str, project: Uuid) {
        let event = ProjectEvent::Created(ProjectCreated {
            name: format!("project {}", project.as_u128()),
            description: Some("What it is about".to_owned()),
        });
        let stream = project_stream(project);
        self.record(of, stream, &Event::Project(event), project);
    }

    pub fn task(&mut self, of: &str, task: Uuid, event: TaskEvent) {
        self.plainly(of, task, &event);
        self.record(of, task_stream(task), &Event::Task(event), task);
    }

    /// Without a plain meaning.
    pub fn record(&mut self, of: &str, stream: String, event: &Event, aggregate: Uuid) {
        let tenant = tenant(of);
        let encoded = event.encode(aggregate);
        let version = self
            .versions
            .entry((of.to_owned(), stream.clone()))
            .or_default();
        *version += 1;
        let position = i64::try_from(self.events.len()).unwrap() + 1;
        let id = id(0xe000_0000_0000 + u128::try_from(position).unwrap());
        self.events.push(Recorded {
            position,
            partition: partition_of(&tenant, &stream),
            id,
            tenant,
            stream,
            version: *version,
            event_type: encoded.event_type.to_owned(),
            schema_version: encoded.schema_version,
            payload: encoded.payload,
            tags: encoded.tags,
            actor: "ada".to_owned(),
            command_id: id,
            correlation_id: id,
            causation_id: id,
            trace_context: None,
            occurred_at: self.now,
            recorded_at: instant("2026-01-01T00:00:00Z") + TimeDelta::seconds(position),
        });
    }

    /// The plain meaning of the events that [`Story::seeded`] tells.
    fn plainly(&mut self, of: &str, id: Uuid, event: &TaskEvent) {
        let now = self.now;
        let tasks = self.tasks.entry(of.to_owned()).or_default();
        if let TaskEvent::Created(event) = event {
            tasks.insert(id, Plain::new(id, event, now));
            return;
        }
        let Some(task) = tasks.get_mut(&id) else {
            return;
        };
        task.updated_at = now;
        if let TaskEvent::Assigned(event) = event {
            task.assignee = Some(event.assignee_id);
        } else if let TaskEvent::LabelAdded(event) = event {
            task.labels.insert(event.label.clone());
        } else if let TaskEvent::Started(_) = event {
            task.status = "IN_PROGRESS";
        } else if let TaskEvent::Blocked(_) = event {
            task.status = "BLOCKED";
        } else if let TaskEvent::Completed(event) = event {
            task.status = "COMPLETED";
            task.actual = event.actual_hours;
            task.completed_at = Some(now);
        } else if let TaskEvent::Cancelled(_) = event {
            task.status = "CANCELLED";
        } else if let TaskEvent::Deleted(_) = event {
            task.deleted = true;
        } else if let TaskEvent::AiReviewRequested(_) = event {
            task.review_needed = true;
        } else if let TaskEvent::AiReviewRecorded(event) = event {
            task.review_needed = match event.status {
                ReviewStatus::InProgress | ReviewStatus::Failed => true,
                ReviewStatus::Approved | ReviewStatus::ChangesWanted => false,
            };
        }
        // Nobody reviews what was given up; none of these tasks is reopened.
        task.review_needed &= task.status != "CANCELLED";
    }

    /// Tasks of many sorts in five projects of each tenant, always the same.
    pub fn seeded(tenants: &[(&str, u64)]) -> Self {
        let mut story = Self {
            now: instant("2026-02-27T22:00:00Z"),
            ..Self::default()
        };
        let mut dice = Dice(7);
        for (of, count) in tenants {
            for n in 1..=5 {
                story.project(of, id(n));
            }
            for n in 0..*count {
                // Some are created at the same moment: the id breaks the tie.
                story.now += TimeDelta::minutes(i64::from(dice.below(3) > 0) * 17);
                let task = Uuid::new_v5(&id(9), format!("{of}/{n}").as_bytes());
                story.one(of, task, n, &mut dice);
            }
        }
        story
    }

    fn one(&mut self, of: &str, task: Uuid, n: u64, dice: &mut Dice) {
        let began = self.now;
        let priorities = [
            Priority::Low,
            Priority::Medium,
            Priority::High,
            Priority::Critical,
        ];
        let due = day("2026-02-26") + TimeDelta::days(dice.below(6));
        let metadata = [
            ("team", json!("red")),
            ("size", json!(2)),
            ("done", json!(true)),
        ];
        let created = TaskCreated {
            project_id: id(u128::from(n % 5) + 1),
            title: format!("Task {n}"),
            description: None,
            priority: priorities[usize::try_from(dice.below(4)).unwrap()],
            estimated_hours: (dice.below(3) > 0).then(|| Hours::from_hundredths(dice.below(900))),
            due_date: (dice.below(4) > 0).then_some(due),
            key: (dice.below(5) == 0).then(|| format!("T-{n}")),
            metadata: metadata
                .into_iter()
                .filter(|_| dice.below(2) == 0)
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        };
        self.task(of, task, TaskEvent::Created(created));
        for label in ["green", "blue", "späť"] {
            if dice.below(3) == 0 {
                let label = label.to_owned();
                self.task(of, task, TaskEvent::LabelAdded(TaskLabelAdded { label }));
            }
        }
        if dice.below(3) > 0 {
            let assignee_id = id(100 + u128::try_from(dice.below(3)).unwrap());
            self.now += TimeDelta::minutes(dice.below(100));
            self.task(of, task, TaskEvent::Assigned(TaskAssigned { assignee_id }));
        }
        if dice.below(3) == 0 {
            self.task(
                of,
                task,
                TaskEvent::AiReviewRequested(TaskAiReviewRequested {}),
            );
            let statuses = [ReviewStatus::Approved, ReviewStatus::Failed];
            if let Some(status) = statuses.get(usize::try_from(dice.below(3)).unwrap()) {
                let recorded = TaskAiReviewRecorded {
                    status: *status,
                    summary: None,
                };
                self.task(of, task, TaskEvent::AiReviewRecorded(recorded));
            }
        }
        for n in 0..dice.below(3) {
            let said = TaskCommentAdded {
                comment_id: id(u128::try_from(n).unwrap()),
                text: format!("comment {n}"),
            };
            self.task(of, task, TaskEvent::CommentAdded(said));
        }
        self.now += TimeDelta::minutes(dice.below(2_000));
        if let Some(event) = self.ends(dice) {
            self.task(of, task, event);
        }
        if dice.below(8) == 0 {
            self.task(of, task, TaskEvent::Deleted(TaskDeleted {}));
        }
        self.now = began;
    }

    fn ends(&self, dice: &mut Dice) -> Option<TaskEvent> {
        let reason = "because".to_owned();
        match dice.below(6) {
            0 => None,
            1 => Some(TaskEvent::Started(TaskStarted {})),
            2 => Some(TaskEvent::Blocked(TaskBlocked { reason })),
            3 => Some(TaskEvent::Cancelled(TaskCancelled { reason })),
            _ => {
                let hours = Hours::from_hundredths(dice.below(1_200));
                let actual_hours = (dice.below(4) > 0).then_some(hours);
                Some(TaskEvent::Completed(TaskCompleted { actual_hours }))
            }
        }
    }

    /// Folds what was told since the last time.
    pub async fn fold(&mut self, fixture: &Fixture) {
        let last = self.events.last().expect("something was told").position;
        self.fold_between(fixture, self.folded, last).await;
        self.folded = last;
    }

    /// Folds what lies behind one position, up to another.
    pub async fn fold_between(&self, fixture: &Fixture, after: Position, through: Position) {
        let role = [("role", "foldline_projector")];
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .connect_with(fixture.database.clone().options(role))
            .await
            .unwrap();
        let builds = Builds::shown(&pool).await.unwrap();
        let mut writer = Writer::new(pool, EPOCH, builds);
        let partitions: Vec<Partition> = (0..PARTITIONS).collect();
        writer.take(&partitions).await.unwrap();
        let last = &self.events[usize::try_from(through - 1).unwrap()];
        let through = Mark {
            position: last.position,
            event_id: last.id,
        };
        let lies_there =
            |event: &&Recorded| (after + 1..=through.position).contains(&event.position);
        let slice = |partition: &Partition| Slice {
            partition: *partition,
            events: (self.events.iter())
                .filter(|event| event.partition == *partition)
                .filter(lies_there)
                .cloned()
                .collect(),
            through,
            offset: None,
        };
        let slices = partitions.iter().map(slice).collect();
        let applied = writer.apply(slices).await.unwrap();
        assert_eq!(applied.poisoned, []);
        assert_eq!(applied.parked, []);
        fixture.wake.send_modify(|count| *count += 1);
    }

    pub fn of(&self, tenant: &str) -> Vec<Plain> {
        let tasks = self.tasks.get(tenant);
        tasks.map_or_else(Vec::new, |tasks| tasks.values().cloned().collect())
    }
}

impl Plain {
    fn new(id: Uuid, event: &TaskCreated, now: DateTime<Utc>) -> Self {
        Self {
            id,
            project: event.project_id,
            key: event.key.clone(),
            status: "OPEN",
            priority: event.priority,
            estimate: event.estimated_hours,
            actual: None,
            due: event.due_date,
            assignee: None,
            labels: BTreeSet::new(),
            metadata: event.metadata.clone(),
            review_needed: false,
            created_at: now,
            updated_at: now,
            completed_at: None,
            deleted: false,
        }
    }

    pub fn is_overdue(&self, at: DateTime<Utc>) -> bool {
        let may_be = ["OPEN", "IN_PROGRESS", "BLOCKED"].contains(&self.status);
        may_be && self.due.is_some_and(|due| due < at.date_naive())
    }
}

/// Numbers that look thrown, the same every time (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, sides: i64) -> i64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        i64::try_from((z ^ (z >> 31)) % sides.unsigned_abs()).unwrap()
    }
}
