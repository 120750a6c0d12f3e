//! Which tasks a list holds.
//!
//! Every condition is spelled with operators that are leakproof (equality and order of text in the collation `C`, of
//! integers, instants, days and UUIDs): under row-level security only those may use an index. Labels and free-form facts are
//! looked up by their marks, because containment is not one of them.

use async_graphql::{ID, InputObject, Json};
use chrono::{DateTime, NaiveDate, Utc};
use foldline_events::tasks::{Metadata, label_mark, metadata_mark};
use serde_json::Value;
use sqlx::{Postgres, QueryBuilder};
use uuid::Uuid;

use super::{TaskPriority, TaskStatus};
use crate::{
    error::Error,
    node::NodeKind,
    read::Scope,
    scalars::{Day, known_instant},
};

/// How many labels and free-form facts one filter may name together.
pub const MARKS_PER_FILTER_MAX: usize = 20;
/// How many statuses, and how many priorities, one filter may name: enough for each of them.
const CHOICES_PER_FILTER_MAX: usize = 10;

/// What a task without a due date has in `due_rank`: a day after all due dates.
const NEVER_DUE: NaiveDate = NaiveDate::from_ymd_opt(9999, 12, 31).expect("a day of the calendar");

/// Which tasks: those for which everything holds that is given. Deleted ones are left out unless they are asked for.
#[derive(Debug, Default, InputObject)]
#[graphql(name = "TaskFilter")]
pub struct FilterInput {
    /// Only those of this project: its node id or its plain UUID.
    project_id: Option<ID>,
    /// Only those in one of these statuses; none, when the list is empty.
    status: Option<Vec<TaskStatus>>,
    /// Only those of one of these priorities; none, when the list is empty.
    priority: Option<Vec<TaskPriority>>,
    /// Only those that this person is responsible for.
    assignee_id: Option<Uuid>,
    /// True: only those that nobody is responsible for; false: only those that somebody is.
    unassigned: Option<bool>,
    /// Only those that have every one of these labels: at most 20, together with `metadata`.
    labels: Option<Vec<String>>,
    /// Only those that have all of these free-form facts: an object of names to strings, numbers or booleans.
    metadata: Option<Json<Metadata>>,
    /// Only the one with this key, exactly as it is spelled.
    key: Option<String>,
    /// Only those that are due before this day.
    due_before: Option<Day>,
    /// Only those that are due after this day.
    due_after: Option<Day>,
    /// Only those that are overdue at this instant: open, in progress or blocked, and due on an earlier UTC day.
    overdue_at: Option<DateTime<Utc>>,
    /// Only those that were created before this instant of business time.
    created_before: Option<DateTime<Utc>>,
    /// Only those that were created after this instant of business time.
    created_after: Option<DateTime<Utc>>,
    /// Only those that last changed before this instant of business time.
    updated_before: Option<DateTime<Utc>>,
    /// Only those that last changed after this instant of business time.
    updated_after: Option<DateTime<Utc>>,
    /// Only those that are completed, and were so before this instant of business time.
    completed_before: Option<DateTime<Utc>>,
    /// Only those that are completed, and were so after this instant of business time.
    completed_after: Option<DateTime<Utc>>,
    /// Only those that wait for a review by an AI, or only those that do not.
    ai_review_needed: Option<bool>,
    /// True: only deleted ones.
    deleted: Option<bool>,
}

/// The same, checked and ready to be asked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct TaskFilter {
    project: Option<Uuid>,
    statuses: Option<Vec<&'static str>>,
    priorities: Option<Vec<i16>>,
    assignee: Option<Uuid>,
    unassigned: Option<bool>,
    marks: Vec<Uuid>,
    key: Option<String>,
    due_before: Option<NaiveDate>,
    due_after: Option<NaiveDate>,
    overdue_on: Option<NaiveDate>,
    times: Vec<(&'static str, DateTime<Utc>)>,
    review_needed: Option<bool>,
    deleted: bool,
}

fn bad(problem: String) -> Error {
    Error::BadInput { problem }
}

impl FilterInput {
    /// Checks it; what contradicts itself or is too much is an error, never silently something else.
    pub fn checked(self) -> Result<TaskFilter, Error> {
        if self.assignee_id.is_some() && self.unassigned == Some(true) {
            return Err(bad("give assigneeId or unassigned, not both".to_owned()));
        }
        if self.key.as_deref().is_some_and(|key| key.contains('\0')) {
            return Err(bad("key must not contain NUL (\\u0000)".to_owned()));
        }
        let statuses = self.status.map(|statuses| {
            let names: Vec<&str> = statuses.into_iter().map(TaskStatus::name).collect();
            few(names, "status")
        });
        let priorities = self.priority.map(|priorities| {
            let ranks: Vec<i16> = priorities.into_iter().map(TaskPriority::rank).collect();
            few(ranks, "priority")
        });
        let project = self.project_id.map(|id| NodeKind::Project.uuid(&id));
        let overdue_at = self.overdue_at.map(|at| known_instant("overdueAt", at));
        Ok(TaskFilter {
            project: project.transpose()?,
            statuses: statuses.transpose()?,
            priorities: priorities.transpose()?,
            assignee: self.assignee_id,
            unassigned: self.unassigned,
            marks: marks(&self.labels, &self.metadata)?,
            key: self.key,
            due_before: self.due_before.map(|day| day.0),
            due_after: self.due_after.map(|day| day.0),
            overdue_on: overdue_at.transpose()?.map(|at| at.date_naive()),
            times: times([
                ("created_at <", "createdBefore", self.created_before),
                ("created_at >", "createdAfter", self.created_after),
                ("updated_at <", "updatedBefore", self.updated_before),
                ("updated_at >", "updatedAfter", self.updated_after),
                ("completed_at <", "completedBefore", self.completed_before),
                ("completed_at >", "completedAfter", self.completed_after),
            ])?,
            review_needed: self.ai_review_needed,
            deleted: self.deleted == Some(true),
        })
    }
}

fn few<T>(choices: Vec<T>, field: &str) -> Result<Vec<T>, Error> {
    if choices.len() > CHOICES_PER_FILTER_MAX {
        return Err(bad(format!(
            "{field} names at most {CHOICES_PER_FILTER_MAX}"
        )));
    }
    Ok(choices)
}

fn marks(
    labels: &Option<Vec<String>>,
    metadata: &Option<Json<Metadata>>,
) -> Result<Vec<Uuid>, Error> {
    let labels = labels.as_deref().unwrap_or_default();
    let facts = metadata.iter().flat_map(|metadata| metadata.0.iter());
    let mut marks: Vec<Uuid> = labels.iter().map(|label| label_mark(label)).collect();
    for (name, value) in facts {
        match value {
            Value::String(_) | Value::Number(_) | Value::Bool(_) => {
                marks.push(metadata_mark(name, value));
            }
            Value::Null | Value::Array(_) | Value::Object(_) => {
                return Err(bad(format!(
                    "metadata is compared with strings, numbers and booleans; {name:?} is none of them"
                )));
            }
        }
    }
    if marks.len() > MARKS_PER_FILTER_MAX {
        return Err(bad(format!(
            "a filter names at most {MARKS_PER_FILTER_MAX} labels and free-form facts"
        )));
    }
    Ok(marks)
}

/// Of each condition its SQL, the field for errors, and the instant.
fn times(
    given: [(&'static str, &str, Option<DateTime<Utc>>); 6],
) -> Result<Vec<(&'static str, DateTime<Utc>)>, Error> {
    let mut times = Vec::new();
    for (condition, field, at) in given {
        if let Some(at) = at {
            times.push((condition, known_instant(field, at)?));
        }
    }
    Ok(times)
}

impl TaskFilter {
    /// Appends `from … where …`. What is compared with a constant is spelled out: partial indexes are made for it.
    pub fn push_from(&self, scope: Scope<'_>, query: &mut QueryBuilder<Postgres>) {
        query.push(format!(
            " from {} as task where tenant = ",
            scope.view("task_view")
        ));
        query.push_bind(scope.tenant.to_owned());
        query.push(if self.deleted {
            " and deleted_at is not null"
        } else {
            " and deleted_at is null"
        });
        if let Some(project) = self.project {
            query.push(" and project_id = ").push_bind(project);
        }
        if let Some(statuses) = &self.statuses {
            push_any(query, "status", statuses.clone());
        }
        if let Some(priorities) = &self.priorities {
            push_any(query, "priority_rank", priorities.clone());
        }
        self.push_assignee(query);
        self.push_due(query);
        for (condition, at) in &self.times {
            query.push(format!(" and {condition} ")).push_bind(*at);
        }
        match self.review_needed {
            Some(true) => query.push(" and review_needed"),
            Some(false) => query.push(" and not review_needed"),
            None => query,
        };
        if let Some(key) = &self.key {
            push_key(scope, key, query);
        }
        for mark in &self.marks {
            query.push(format!(
                " and exists (select from {} as mark where mark.tenant = ",
                scope.view("task_mark")
            ));
            query.push_bind(scope.tenant.to_owned());
            query.push(" and mark.task_id = task.task_id and mark.mark = ");
            query.push_bind(*mark).push(")");
        }
    }

    fn push_assignee(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(assignee) = self.assignee {
            query.push(" and assignee_id = ").push_bind(assignee);
        }
        match self.unassigned {
            Some(true) => query.push(" and assignee_id is null"),
            Some(false) => query.push(" and assignee_id is not null"),
            None => query,
        };
    }

    fn push_due(&self, query: &mut QueryBuilder<Postgres>) {
        if let Some(day) = self.due_before {
            // Lest a day after all due dates finds those that have none.
            query.push(" and due_rank < ").push_bind(day.min(NEVER_DUE));
        }
        if let Some(day) = self.due_after {
            query.push(" and due_rank > ").push_bind(day);
            query.push(" and due_rank < ").push_bind(NEVER_DUE);
        }
        if let Some(day) = self.overdue_on {
            query.push(" and status in ('open', 'in_progress', 'blocked') and due_rank < ");
            query.push_bind(day.min(NEVER_DUE));
        }
    }
}

fn push_any<T>(query: &mut QueryBuilder<Postgres>, column: &str, values: Vec<T>)
where
    Vec<T>: sqlx::Encode<'static, Postgres> + sqlx::Type<Postgres> + 'static,
{
    query.push(format!(" and {column} = any("));
    query.push_bind(values).push(")");
}

/// While one task gives a key back and another takes it, both rows may have it for a moment: the later one is right.
fn push_key(scope: Scope<'_>, key: &str, query: &mut QueryBuilder<Postgres>) {
    query.push(" and key = ").push_bind(key.to_owned());
    query.push(format!(
        " and not exists (select from {} as later where later.tenant = ",
        scope.view("task_view")
    ));
    query.push_bind(scope.tenant.to_owned());
    query.push(" and later.key = ").push_bind(key.to_owned());
    query.push(" and later.position > task.position)");
}
