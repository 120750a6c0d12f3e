//! What follows from events of tasks.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, Utc};
use foldline_domain::{
    Command,
    tasks::{NoteDueDayPassed, SuggestCompletion, TaskCommand},
};
use foldline_events::{Recorded, tasks::TaskEvent};
use uuid::Uuid;

use super::Ordered;

/// After these a task may be overdue, now or one day.
pub(super) const DUE: [&str; 4] = [
    "tasks.TaskCreated",
    "tasks.TaskDueDateSet",
    "tasks.TaskReopened",
    "tasks.TaskRestored",
];

pub(super) const STEPS: [&str; 1] = ["tasks.TaskStepCompleted"];

/// Says that the due day has passed once it has; or, of a task that is to be done again, whether it has passed meanwhile.
pub(super) fn due(recorded: &Recorded, event: &TaskEvent, aggregate: Uuid) -> Option<Ordered> {
    let due_date = if let TaskEvent::Created(created) = event {
        created.due_date
    } else if let TaskEvent::DueDateSet(set) = event {
        set.due_date
    } else {
        // It need not be read when it is due: if that is still to come, it was ordered then.
        let today = recorded.recorded_at.date_naive();
        return Some(ordered(aggregate, today, None));
    };
    let next = due_date?.checked_add_days(Days::new(1))?;
    Some(ordered(aggregate, next, Some(midnight(next))))
}

fn ordered(aggregate: Uuid, today: NaiveDate, not_before: Option<DateTime<Utc>>) -> Ordered {
    Ordered {
        command: Command::Task(TaskCommand::NoteDueDayPassed(NoteDueDayPassed { today })),
        aggregate,
        not_before,
    }
}

/// With which a UTC day begins.
fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_time(NaiveTime::MIN).and_utc()
}

/// Whether it was the last one is for the task to say.
pub(super) fn step_completed(event: &TaskEvent, aggregate: Uuid) -> Option<Ordered> {
    let TaskEvent::StepCompleted(_) = event else {
        return None;
    };
    Some(Ordered {
        command: Command::Task(TaskCommand::SuggestCompletion(SuggestCompletion {})),
        aggregate,
        not_before: None,
    })
}
