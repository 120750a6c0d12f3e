//! `task_view`: one row per task, with its labels and steps.
//!
//! This page folds; how rows are read and written stands in [`rows`].

mod rows;

use foldline_events::{
    Event,
    tasks::{TaskCreated, TaskEvent},
};
use sqlx::PgConnection;

use super::must_follow;
use crate::{Error, Folded, View, keys::Keys};
use rows::{Row, Status, Step};

pub(crate) const VERSION: i32 = 1;
pub(crate) const DDL: &str = include_str!("task_view.sql");

const VIEW: View = View::TaskView;

pub(crate) async fn fold(
    connection: &mut PgConnection,
    events: &[Folded<'_>],
) -> Result<(), Error> {
    let mut of_tasks = Vec::new();
    for folded in events {
        match folded.event {
            Event::Task(event) => of_tasks.push((folded, folded.aggregate()?, event)),
            Event::Project(_) => {}
        }
    }
    if of_tasks.is_empty() {
        return Ok(());
    }

    // A stream that begins in this delivery has no row yet.
    let begun: Keys = of_tasks
        .iter()
        .filter(|(folded, ..)| folded.recorded.version > 1)
        .map(|(folded, task, _)| (&folded.recorded.tenant, *task))
        .collect();
    let mut rows = rows::load(connection, &begun).await?;

    for (folded, task, event) in of_tasks {
        let key = (&folded.recorded.tenant, task);
        if let TaskEvent::Created(created) = event {
            rows.entry(key)
                .or_insert_with(|| created_row(folded, created));
        }
        let row = rows
            .get_mut(&key)
            .ok_or_else(|| folded.unfoldable(format!("task {task} has no row")))?;
        must_follow(folded, row.version)?;
        evolve(row, folded, event)?;
    }
    rows::store(connection, &rows).await
}

fn created_row(folded: &Folded<'_>, created: &TaskCreated) -> Row {
    let at = folded.recorded.occurred_at;
    Row {
        project_id: created.project_id,
        title: created.title.clone(),
        priority: rows::priority(created.priority).to_owned(),
        status: Status::Open,
        estimated_hundredths: created.estimated_hours.map(|hours| hours.hundredths()),
        actual_hundredths: None,
        assignee_id: None,
        labels: Vec::new(),
        metadata: created.metadata.clone(),
        steps: Vec::new(),
        created_at: at,
        started_at: None,
        completed_at: None,
        cancelled_at: None,
        updated_at: at,
        version: 0,
        position: 0,
        partition: folded.recorded.partition,
    }
}

fn evolve(row: &mut Row, folded: &Folded<'_>, event: &TaskEvent) -> Result<(), Error> {
    let at = folded.recorded.occurred_at;
    match event {
        // The row was made from it just now.
        TaskEvent::Created(_) => {}
        TaskEvent::Assigned(assigned) => row.assignee_id = Some(assigned.assignee_id),
        TaskEvent::LabelAdded(added) => row.labels.push(added.label.clone()),
        TaskEvent::Started(_) => {
            row.status = Status::InProgress;
            row.started_at = Some(at);
        }
        TaskEvent::StepAdded(added) => row.steps.push(Step {
            id: added.step_id,
            content: added.content.clone(),
            completed_at: None,
        }),
        TaskEvent::StepCompleted(completed) => {
            let step = row
                .steps
                .iter_mut()
                .find(|step| step.id == completed.step_id);
            let step = step.ok_or_else(|| {
                folded.unfoldable(format!("its task has no step {}", completed.step_id))
            })?;
            step.completed_at = Some(at);
        }
        TaskEvent::Completed(completed) => {
            row.status = Status::Completed;
            row.actual_hundredths = completed.actual_hours.map(|hours| hours.hundredths());
            row.completed_at = Some(at);
        }
        // What the completion said holds no longer; when work first began is still true.
        TaskEvent::Reopened(_) => {
            row.status = Status::Open;
            row.actual_hundredths = None;
            row.completed_at = None;
            row.cancelled_at = None;
        }
        TaskEvent::Cancelled(_) => {
            row.status = Status::Cancelled;
            row.cancelled_at = Some(at);
        }
    }
    row.updated_at = at;
    row.version = folded.recorded.version;
    row.position = folded.recorded.position;
    Ok(())
}
