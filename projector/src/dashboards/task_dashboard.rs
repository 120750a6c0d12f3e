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
    Error, Folded, View,
    keys::{Key, Keys},
    tasks::{Status, priority_name},
};
use sums::{Days, Sums};

pub(crate) const VERSION: i32 = 1;
pub(crate) const DDL: &str = include_str!("task_dashboard.sql");

const VIEW: View = View::TaskDashboard;

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

/// What is to be added to partial rows, and up to which position.
#[derive(Default)]
struct Differences<'a> {
    sums: BTreeMap<Partial<'a>, (Sums, Position)>,
    days: BTreeMap<(Partial<'a>, NaiveDate), (Days, Position)>,
}

pub(crate) async fn fold(
    connection: &mut PgConnection,
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
    let before = rows::load(connection, &begun).await?;
    let mut after = before.clone();
    for (folded, task, event) in changing {
        let key = (&folded.recorded.tenant, task);
        if let TaskEvent::Created(created) = event {
            after
                .entry(key)
                .or_insert_with(|| Contribution::created(folded, created));
        }
        let contribution = after
            .get_mut(&key)
            .ok_or_else(|| folded.unfoldable("its task was not created before"))?;
        contribution.evolve(folded, event);
    }
    // What was loaded was loaded to be changed, so all of it is stored.
    rows::store(connection, &after).await?;
    let differences = Differences::between(&before, &after);
    rows::add_sums(connection, &differences.sums).await?;
    rows::add_days(connection, &differences.days).await
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
        | TaskEvent::AiReviewRecorded(_) => false,
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
            | TaskEvent::AiReviewRecorded(_) => {}
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
    fn between(before: &Contributions<'a>, after: &Contributions<'a>) -> Self {
        let mut differences = Self::default();
        for (key @ (tenant, _), now) in after {
            if let Some(then) = before.get(key) {
                differences.add(tenant, then, now.position, -1);
            }
            differences.add(tenant, now, now.position, 1);
        }
        // What was taken out and put back has not changed.
        differences
            .sums
            .retain(|_, (sums, _)| *sums != Sums::default());
        differences
            .days
            .retain(|_, (days, _)| *days != Days::default());
        differences
    }

    /// Adds what a task contributes so many times.
    fn add(&mut self, tenant: &'a Tenant, task: &Contribution, at: Position, times: i128) {
        for owner in task.owners() {
            let partial = (tenant, owner, task.partition);
            let (sums, position) = self.sums.entry(partial).or_default();
            sums.add(&Sums::of(task), times);
            *position = at.max(*position);
            for (day, of_task) in Days::of(task) {
                let (days, position) = self.days.entry((partial, day)).or_default();
                days.add(&of_task, times);
                *position = at.max(*position);
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
