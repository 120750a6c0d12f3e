//! `task_dashboard`: how many tasks a project or an assignee has, how their hours compare with the estimates, and on which
//! days they are created, completed and due.
//!
//! Each task's contribution is kept, so that a change adds only the difference to the partial rows of its owners; partial
//! rows are never read here. What a task adds is in [`sums`], how rows are read and written in [`rows`].

mod rows;
mod sums;

use std::collections::BTreeMap;

use chrono::NaiveDate;
use foldline_events::{
    Event, Hours, Partition, Position, Tenant,
    tasks::{TaskCreated, TaskEvent},
};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    Build, Error, Folded,
    keys::{Key, Keys},
    tasks::{Status, priority_name},
    view::Table,
};
use rows::Past;
use sums::{Days, Sums};

pub(crate) const PROJECTION: i32 = 3;
pub(crate) const DDL: &str = include_str!("task_dashboard.sql");
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "task_dashboard",
        of: None,
        key: &["owner", "owner_id", "partition"],
        is_only_added: false,
    },
    Table {
        name: "task_dashboard_day",
        of: None,
        key: &["owner", "owner_id", "day", "partition"],
        is_only_added: false,
    },
    Table {
        name: "task_dashboard_task",
        of: Some("task_id"),
        key: &[],
        is_only_added: false,
    },
    Table {
        name: "task_dashboard_task_past",
        of: Some("task_id"),
        key: &["position"],
        is_only_added: true,
    },
];

/// What one task adds to the sums of its owners.
#[derive(Debug, Clone)]
struct Contribution {
    project_id: Uuid,
    assignee_id: Option<Uuid>,
    status: Status,
    priority: String,
    estimated_hundredths: Option<i64>,
    actual_hundredths: Option<i64>,
    due_date: Option<NaiveDate>,
    created_on: NaiveDate,
    completed_on: Option<NaiveDate>,
    deleted: bool,
    position: Position,
    partition: Partition,
}

type Contributions<'a> = BTreeMap<Key<'a>, Contribution>;

/// Whose tasks are summed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Owner {
    Assignee(Uuid),
    Project(Uuid),
}

/// The key of a partial row, sorted like the keys of the table.
type Partial<'a> = (&'a Tenant, Owner, Partition);

/// What is to be added to partial rows, and up to which position. A row that an event touches is here even if a later one
/// of the same delivery takes all of it back: so rows and positions are the same, however events are cut into deliveries.
#[derive(Default)]
struct Differences<'a> {
    sums: BTreeMap<Partial<'a>, (Sums, Position)>,
    days: BTreeMap<(Partial<'a>, NaiveDate), (Days, Position)>,
}

pub(crate) async fn fold(
    connection: &mut PgConnection,
    build: Build,
    events: &[Folded<'_>],
) -> Result<(), Error> {
    let mut changing = Vec::new();
    for folded in events {
        match folded.event {
            Event::Task(event) if changes(event) => {
                changing.push((folded, folded.aggregate()?, event));
            }
            Event::Task(_) | Event::Project(_) | Event::TaskKey(_) => {}
        }
    }
    if changing.is_empty() {
        return Ok(());
    }

    // A stream that begins in this delivery adds nothing yet.
    let begun: Keys = changing
        .iter()
        .filter(|(folded, ..)| folded.recorded.version > 1)
        .map(|(folded, task, _)| (&folded.recorded.tenant, *task))
        .collect();
    let mut tasks = rows::load(connection, build, &begun).await?;
    let (mut past, mut differences) = (Vec::new(), Differences::default());
    for (folded, task, event) in changing {
        let tenant = &folded.recorded.tenant;
        let before = tasks.get(&(tenant, task)).cloned();
        let mut after = match (&before, event) {
            (Some(before), _) => before.clone(),
            (None, TaskEvent::Created(created)) => Contribution::created(folded, created),
            (None, _) => return Err(folded.unfoldable("its task was not created before")),
        };
        after.evolve(folded, event);
        differences.change(tenant, before.as_ref(), &after);
        let key = (tenant, task);
        if let Some(before) = before {
            past.push(Past {
                key,
                task: before,
                until: folded.recorded.position,
            });
        }
        tasks.insert(key, after);
    }
    // What was loaded was loaded to be changed, so all of it is stored.
    rows::store(connection, build, &tasks, &past).await?;
    rows::add_sums(connection, build, &differences.sums).await?;
    rows::add_days(connection, build, &differences.days).await
}

/// Whether such an event changes what a task adds.
fn changes(event: &TaskEvent) -> bool {
    match event {
        TaskEvent::Created(_)
        | TaskEvent::PrioritySet(_)
        | TaskEvent::Estimated(_)
        | TaskEvent::DueDateSet(_)
        | TaskEvent::Assigned(_)
        | TaskEvent::Unassigned(_)
        | TaskEvent::Started(_)
        | TaskEvent::Blocked(_)
        | TaskEvent::Unblocked(_)
        | TaskEvent::Completed(_)
        | TaskEvent::Reopened(_)
        | TaskEvent::Cancelled(_)
        | TaskEvent::Deleted(_)
        | TaskEvent::Restored(_)
        | TaskEvent::Moved(_) => true,
        TaskEvent::Renamed(_)
        | TaskEvent::Described(_)
        | TaskEvent::KeySet(_)
        | TaskEvent::LabelAdded(_)
        | TaskEvent::LabelRemoved(_)
        | TaskEvent::MetadataSet(_)
        | TaskEvent::MetadataRemoved(_)
        | TaskEvent::CommentAdded(_)
        | TaskEvent::StepAdded(_)
        | TaskEvent::StepCompleted(_)
        | TaskEvent::StepRemoved(_)
        | TaskEvent::AiReviewRequested(_)
        | TaskEvent::AiReviewRecorded(_)
        | TaskEvent::DueDayPassed(_)
        | TaskEvent::CompletionSuggested(_) => false,
    }
}

impl Contribution {
    fn created(folded: &Folded<'_>, created: &TaskCreated) -> Self {
        Self {
            project_id: created.project_id,
            assignee_id: None,
            status: Status::Open,
            priority: priority_name(created.priority).to_owned(),
            estimated_hundredths: created.estimated_hours.map(Hours::hundredths),
            actual_hundredths: None,
            due_date: created.due_date,
            created_on: folded.recorded.occurred_at.date_naive(),
            completed_on: None,
            deleted: false,
            position: 0,
            partition: folded.recorded.partition,
        }
    }

    fn evolve(&mut self, folded: &Folded<'_>, event: &TaskEvent) {
        match event {
            TaskEvent::PrioritySet(set) => self.priority = priority_name(set.priority).to_owned(),
            TaskEvent::Estimated(estimated) => {
                self.estimated_hundredths = estimated.estimated_hours.map(Hours::hundredths);
            }
            TaskEvent::DueDateSet(set) => self.due_date = set.due_date,
            TaskEvent::Assigned(assigned) => self.assignee_id = Some(assigned.assignee_id),
            TaskEvent::Unassigned(_) => self.assignee_id = None,
            TaskEvent::Started(_) => self.stands(Status::InProgress),
            TaskEvent::Blocked(_) => self.stands(Status::Blocked),
            TaskEvent::Unblocked(unblocked) => self.stands(unblocked.status.into()),
            TaskEvent::Completed(completed) => {
                self.stands(Status::Completed);
                self.actual_hundredths = completed.actual_hours.map(Hours::hundredths);
                self.completed_on = Some(folded.recorded.occurred_at.date_naive());
            }
            TaskEvent::Reopened(_) => self.stands(Status::Open),
            TaskEvent::Cancelled(_) => self.stands(Status::Cancelled),
            TaskEvent::Deleted(_) => self.deleted = true,
            TaskEvent::Restored(_) => self.deleted = false,
            TaskEvent::Moved(moved) => self.project_id = moved.project_id,
            TaskEvent::Created(_)
            | TaskEvent::Renamed(_)
            | TaskEvent::Described(_)
            | TaskEvent::KeySet(_)
            | TaskEvent::LabelAdded(_)
            | TaskEvent::LabelRemoved(_)
            | TaskEvent::MetadataSet(_)
            | TaskEvent::MetadataRemoved(_)
            | TaskEvent::CommentAdded(_)
            | TaskEvent::StepAdded(_)
            | TaskEvent::StepCompleted(_)
            | TaskEvent::StepRemoved(_)
            | TaskEvent::AiReviewRequested(_)
            | TaskEvent::AiReviewRecorded(_)
            | TaskEvent::DueDayPassed(_)
            | TaskEvent::CompletionSuggested(_) => {}
        }
        self.position = folded.recorded.position;
    }

    /// What a completion said goes with it.
    fn stands(&mut self, status: Status) {
        self.status = status;
        self.actual_hundredths = None;
        self.completed_on = None;
    }

    fn owners(&self) -> impl Iterator<Item = Owner> {
        let assignee = self.assignee_id.map(Owner::Assignee);
        [Some(Owner::Project(self.project_id)), assignee]
            .into_iter()
            .flatten()
    }
}

impl<'a> Differences<'a> {
    /// Takes in what one event makes of what a task contributes.
    fn change(&mut self, tenant: &'a Tenant, before: Option<&Contribution>, after: &Contribution) {
        let mut change = Self::default();
        if let Some(before) = before {
            change.add(tenant, before, after.position, -1);
        }
        change.add(tenant, after, after.position, 1);
        for (partial, (added, at)) in change.sums {
            // Even of no difference to this owner: see decision 0017.
            let (sums, position) = self.sums.entry(partial).or_default();
            sums.add(&added, 1);
            *position = at.max(*position);
        }
        for (day, (added, at)) in change.days {
            if added != Days::default() {
                let (days, position) = self.days.entry(day).or_default();
                days.add(&added, 1);
                *position = at.max(*position);
            }
        }
    }

    /// Adds what a task contributes so many times.
    fn add(&mut self, tenant: &'a Tenant, task: &Contribution, at: Position, times: i128) {
        for owner in task.owners() {
            let partial = (tenant, owner, task.partition);
            let (sums, position) = self.sums.entry(partial).or_default();
            sums.add(&Sums::of(task), times);
            *position = at;
            for (day, of_task) in Days::of(task) {
                let (days, position) = self.days.entry((partial, day)).or_default();
                days.add(&of_task, times);
                *position = at;
            }
        }
    }
}

impl Owner {
    fn kind(self) -> &'static str {
        match self {
            Self::Project(_) => "project",
            Self::Assignee(_) => "assignee",
        }
    }

    fn id(self) -> Uuid {
        match self {
            Self::Project(id) | Self::Assignee(id) => id,
        }
    }
}
