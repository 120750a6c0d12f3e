//! The rules of tasks, by theme; `events` and `commands` are the words in which the specifications are written.

mod commands;
mod creating;
mod describing;
mod events;
mod keys;
mod limits;
mod moving;
mod reactions;
mod review;
mod standing;
mod statuses;
mod steps;

use foldline_domain::tasks::{Facts, KeyFacts, ProjectFacts, Task};
use foldline_events::{Hours, tasks::TaskEvent};
use uuid::Uuid;

use self::events::created;
use crate::specification::{Given, given};

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn hours(n: i64) -> Hours {
    Hours::from_hundredths(n * 100)
}

fn task_of(events: impl IntoIterator<Item = TaskEvent>) -> Given<Task> {
    given(events)
}

/// A task to which this happened after it was created.
fn task<const N: usize>(events: [TaskEvent; N]) -> Given<Task> {
    task_of([created()].into_iter().chain(events))
}

fn no_task() -> Given<Task> {
    task_of([]).knowing(in_project(false))
}

/// The project that the command would put the task into exists.
fn in_project(archived: bool) -> Facts {
    Facts {
        project: Some(ProjectFacts { archived }),
        key: KeyFacts::default(),
    }
}

/// It exists and is open, and the key is another task's.
fn key_taken() -> Facts {
    Facts {
        key: KeyFacts {
            holder: Some(id(9)),
            version: 1,
        },
        ..in_project(false)
    }
}
