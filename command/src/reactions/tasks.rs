//! What follows from events of tasks.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
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

/// After these all steps may be done of a task that can be completed.
pub(super) const STEPS: [&str; 3] = [
    "tasks.TaskStepCompleted",
    "tasks.TaskUnblocked",
    "tasks.TaskRestored",
];

/// How long after midnight it is said that a day has passed. What was recorded before is decided by then.
const GRACE: TimeDelta = TimeDelta::minutes(1);

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
    Some(ordered(aggregate, next, Some(midnight(next) + GRACE)))
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

/// Whether all steps are done, and the task is not, is for the task to say.
pub(super) fn steps_may_be_done(aggregate: Uuid) -> Ordered {
    Ordered {
        command: Command::Task(TaskCommand::SuggestCompletion(SuggestCompletion {})),
        aggregate,
        not_before: None,
    }
}
