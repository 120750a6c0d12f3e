//! `task_view`: one row per task, with its labels and steps; its comments; and the marks by which it is found.
//!
//! This page folds; how rows are read and written stands in [`rows`], [`comments`] and [`marks`].

mod comments;
mod marks;
mod rows;

use foldline_events::{
    Event,
    tasks::{ReviewStatus, TaskEvent},
};
use sqlx::PgConnection;

use super::{Status, must_follow, priority_name};
use crate::{Build, Error, Folded, keys::Keys, view::Table};
use comments::Comment;
use marks::Changes;
use rows::{Past, Row, Step};

pub(crate) const PROJECTION: i32 = 4;
pub(crate) const DDL: &str = include_str!("task_view.sql");
pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "task_view",
        of: Some("task_id"),
        key: &[],
        is_only_added: false,
    },
    Table {
        name: "task_view_past",
        of: Some("task_id"),
        key: &["position"],
        is_only_added: true,
    },
    Table {
        name: "task_view_comment",
        of: Some("task_id"),
        key: &["version"],
        is_only_added: true,
    },
    Table {
        name: "task_view_mark",
        of: Some("task_id"),
        key: &["mark"],
        is_only_added: false,
    },
    Table {
        name: "task_view_mark_past",
        of: Some("task_id"),
        key: &["mark", "position"],
        is_only_added: true,
    },
];

pub(crate) async fn fold(
    connection: &mut PgConnection,
    build: Build,
    events: &[Folded<'_>],
) -> Result<(), Error> {
    let mut of_tasks = Vec::new();
    for folded in events {
        match folded.event {
            Event::Task(event) => of_tasks.push((folded, folded.aggregate()?, event)),
            Event::Project(_) | Event::TaskKey(_) => {}
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
    let mut rows = rows::load(connection, build, &begun).await?;
    let mut past = rows::ended(build);
    let (mut comments, mut marks) = (Vec::new(), Changes::default());

    for (folded, task, event) in of_tasks {
        let key = (&folded.recorded.tenant, task);
        if let TaskEvent::Created(created) = event {
            rows.entry(key)
                .or_insert_with(|| Row::created(folded, created));
        }
        let row = rows
            .get_mut(&key)
            .ok_or_else(|| folded.unfoldable(format!("task {task} has no row")))?;
        must_follow(folded, row.version)?;
        if row.version > 0 {
            let ended = Past {
                key,
                row: row.clone(),
                until: folded.recorded.position,
            };
            past.push(connection, ended, row.bytes()).await?;
        }
        let marked = if changes_marks(event) {
            Some(marks::before(row))
        } else {
            None
        };
        evolve(row, folded, event)?;
        if let Some(before) = marked {
            marks.add(key, &before, row);
        }
        if let TaskEvent::CommentAdded(added) = event {
            comments.push(Comment::added(folded, task, added));
        }
    }
    past.write(connection).await?;
    rows::store(connection, build, &rows).await?;
    comments::store(connection, build, &comments).await?;
    marks::store(connection, build, &marks).await
}

/// Whether by such an event a task is found by something else.
fn changes_marks(event: &TaskEvent) -> bool {
    match event {
        TaskEvent::Created(_)
        | TaskEvent::LabelAdded(_)
        | TaskEvent::LabelRemoved(_)
        | TaskEvent::MetadataSet(_)
        | TaskEvent::MetadataRemoved(_) => true,
        TaskEvent::Renamed(_)
        | TaskEvent::Described(_)
        | TaskEvent::PrioritySet(_)
        | TaskEvent::Estimated(_)
        | TaskEvent::DueDateSet(_)
        | TaskEvent::KeySet(_)
        | TaskEvent::Assigned(_)
        | TaskEvent::Unassigned(_)
        | TaskEvent::CommentAdded(_)
        | TaskEvent::StepAdded(_)
        | TaskEvent::StepCompleted(_)
        | TaskEvent::StepRemoved(_)
        | TaskEvent::Started(_)
        | TaskEvent::Blocked(_)
        | TaskEvent::Unblocked(_)
        | TaskEvent::Completed(_)
        | TaskEvent::Reopened(_)
        | TaskEvent::Cancelled(_)
        | TaskEvent::Deleted(_)
        | TaskEvent::Restored(_)
        | TaskEvent::Moved(_)
        | TaskEvent::AiReviewRequested(_)
        | TaskEvent::AiReviewRecorded(_)
        | TaskEvent::DueDayPassed(_)
        | TaskEvent::CompletionSuggested(_) => false,
    }
}

fn evolve(row: &mut Row, folded: &Folded<'_>, event: &TaskEvent) -> Result<(), Error> {
    let at = folded.recorded.occurred_at;
    match event {
        TaskEvent::Created(_) => {} // The row was made of it.
        TaskEvent::Renamed(renamed) => row.title.clone_from(&renamed.title),
        TaskEvent::Described(described) => row.description.clone_from(&described.description),
        TaskEvent::PrioritySet(set) => row.priority = priority_name(set.priority).to_owned(),
        TaskEvent::Estimated(estimated) => row.estimate(estimated.estimated_hours),
        TaskEvent::DueDateSet(set) => row.due_date = set.due_date,
        TaskEvent::KeySet(set) => row.key.clone_from(&set.key),
        TaskEvent::Assigned(assigned) => row.assignee_id = Some(assigned.assignee_id),
        TaskEvent::Unassigned(_) => row.assignee_id = None,
        TaskEvent::LabelAdded(added) => row.labels.push(added.label.clone()),
        TaskEvent::LabelRemoved(removed) => row.labels.retain(|label| *label != removed.label),
        TaskEvent::MetadataSet(set) => {
            row.metadata.insert(set.name.clone(), set.value.clone());
        }
        TaskEvent::MetadataRemoved(removed) => {
            row.metadata.remove(&removed.name);
        }
        TaskEvent::CommentAdded(_) => row.comments_total += 1,
        TaskEvent::StepAdded(_) | TaskEvent::StepCompleted(_) | TaskEvent::StepRemoved(_) => {
            evolve_steps(row, folded, event)?;
        }
        TaskEvent::Started(_)
        | TaskEvent::Blocked(_)
        | TaskEvent::Unblocked(_)
        | TaskEvent::Completed(_)
        | TaskEvent::Reopened(_)
        | TaskEvent::Cancelled(_) => evolve_status(row, folded, event),
        TaskEvent::Deleted(_) => row.deleted_at = Some(at),
        TaskEvent::Restored(_) => row.deleted_at = None,
        TaskEvent::Moved(moved) => row.project_id = moved.project_id,
        TaskEvent::AiReviewRequested(_) => row.review("requested", None, at),
        TaskEvent::AiReviewRecorded(recorded) => {
            let status = review_status(recorded.status);
            row.review(status, recorded.summary.clone(), at);
        }
        // They say what is known: that it is overdue is computed for the instant asked, and the steps say that they are done.
        TaskEvent::DueDayPassed(_) | TaskEvent::CompletionSuggested(_) => {}
    }
    row.review_needed = needs_review(row);
    row.updated_at = at;
    row.version = folded.recorded.version;
    row.position = folded.recorded.position;
    // Another projection than the one that readers see, for tests that compare the two.
    fail::fail_point!("projector_changed", |_| {
        row.title.push('*');
        Ok(())
    });
    Ok(())
}

fn evolve_steps(row: &mut Row, folded: &Folded<'_>, event: &TaskEvent) -> Result<(), Error> {
    if let TaskEvent::StepAdded(added) = event {
        row.steps.push(Step {
            id: added.step_id,
            content: added.content.clone(),
            completed_at: None,
        });
    } else if let TaskEvent::StepRemoved(removed) = event {
        row.steps.retain(|step| step.id != removed.step_id);
    } else if let TaskEvent::StepCompleted(completed) = event {
        let done = |step: &&mut Step| step.id == completed.step_id;
        let step = row.steps.iter_mut().find(done).ok_or_else(|| {
            folded.unfoldable(format!("its task has no step {}", completed.step_id))
        })?;
        step.completed_at = Some(folded.recorded.occurred_at);
    }
    Ok(())
}

/// Each status has its time; what belongs to the status before goes with it, but when work last began is still true.
fn evolve_status(row: &mut Row, folded: &Folded<'_>, event: &TaskEvent) {
    let at = folded.recorded.occurred_at;
    row.blocked_at = None;
    row.blocked_reason = None;
    row.actual_hundredths = None;
    row.completed_at = None;
    row.cancelled_at = None;
    if let TaskEvent::Started(_) = event {
        row.status = Status::InProgress;
        row.started_at = Some(at);
    } else if let TaskEvent::Blocked(blocked) = event {
        row.status = Status::Blocked;
        row.blocked_at = Some(at);
        row.blocked_reason = Some(blocked.reason.clone());
    } else if let TaskEvent::Unblocked(unblocked) = event {
        row.status = unblocked.status.into();
    } else if let TaskEvent::Completed(completed) = event {
        row.status = Status::Completed;
        row.actual_hundredths = completed.actual_hours.map(|hours| hours.hundredths());
        row.completed_at = Some(at);
    } else if let TaskEvent::Cancelled(_) = event {
        row.status = Status::Cancelled;
        row.cancelled_at = Some(at);
    } else if let TaskEvent::Reopened(_) = event {
        row.status = Status::Open;
    }
}

/// Whether a review is still to be done. Nobody reviews what was given up.
fn needs_review(row: &Row) -> bool {
    let no_verdict = ["requested", "in_progress", "failed"].contains(&row.review_status.as_str());
    no_verdict && row.status != Status::Cancelled
}

/// As a column holds it.
fn review_status(status: ReviewStatus) -> &'static str {
    match status {
        ReviewStatus::InProgress => "in_progress",
        ReviewStatus::Approved => "approved",
        ReviewStatus::ChangesWanted => "changes_wanted",
        ReviewStatus::Failed => "failed",
    }
}
