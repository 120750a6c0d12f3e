//! Every command in every status: one table.

use std::collections::BTreeSet;

use foldline_domain::tasks::{COMMAND_TYPES, Rejection, TaskCommand};
use foldline_events::tasks::{Priority, ReviewStatus, TaskEvent};
use serde_json::json;

use super::{
    commands::{
        add_label, add_step, assign, block, cancel, comment, complete, complete_step, create,
        delete, describe, estimate, move_to, note, remove_label, remove_note, remove_step, rename,
        reopen, request_review, restore, review, set_due_date, set_key, set_priority, start,
        unassign, unblock,
    },
    events::{
        assigned, blocked, cancelled, completed, created, deleted, labelled, started, step_added,
        step_done,
    },
    in_project, task_of,
};
use crate::specification::Outcome;

/// What comes of a command.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Comes {
    /// Something happens.
    Event,
    /// It is so already.
    Nothing,
    No(No),
}

/// The rejections that statuses give.
#[derive(Debug, Clone, Copy, PartialEq)]
enum No {
    Exists,
    Blocked,
    Completed,
    Cancelled,
    Deleted,
    NotClosed,
    NotRequested,
}

use Comes::{Event, Nothing};

const BLOCKED: Comes = Comes::No(No::Blocked);
const COMPLETED: Comes = Comes::No(No::Completed);
const CANCELLED: Comes = Comes::No(No::Cancelled);
const DELETED: Comes = Comes::No(No::Deleted);
const EXISTS: Comes = Comes::No(No::Exists);
const OPEN: Comes = Comes::No(No::NotClosed);
const UNASKED: Comes = Comes::No(No::NotRequested);

/// Open, in progress, blocked, completed, cancelled, deleted; of a task that is assigned, has a label, a fact, a key
/// and a done step.
fn statuses() -> [Vec<TaskEvent>; 6] {
    [
        vec![],
        vec![started()],
        vec![blocked("No fuel")],
        vec![completed(None)],
        vec![cancelled()],
        vec![deleted()],
    ]
}

/// What describes a task changes whatever its status; what says how far it is does not.
#[rustfmt::skip]
fn table() -> Vec<(TaskCommand, [Comes; 6])> {
    let always = [Event, Event, Event, Event, Event, DELETED];
    let not_closed = [Event, Event, Event, COMPLETED, CANCELLED, DELETED];
    vec![
        (create(), [EXISTS; 6]),
        (rename("Orbit"), always),
        (describe(None), always),
        (set_priority(Priority::Low), always),
        (estimate(None), always),
        (set_due_date(None), always),
        (set_key(None), always),
        (assign(2), always),
        (unassign(), always),
        (add_label("blue"), always),
        (remove_label("red"), always),
        (note("pad", json!("39A")), always),
        (remove_note("crew"), always),
        (comment(1, "Go"), always),
        (move_to(2), always),
        (start(), [Event, Nothing, BLOCKED, COMPLETED, CANCELLED, DELETED]),
        (block("No crew"), not_closed),
        (unblock(), [Nothing, Nothing, Event, COMPLETED, CANCELLED, DELETED]),
        (add_step(2, "coast"), not_closed),
        (complete_step(1), [Nothing, Nothing, Nothing, Nothing, Nothing, DELETED]),
        (remove_step(1), not_closed),
        (complete(None), [Event, Event, BLOCKED, Nothing, CANCELLED, DELETED]),
        (reopen(), [OPEN, OPEN, OPEN, Event, Event, DELETED]),
        (cancel(), [Event, Event, Event, COMPLETED, Nothing, DELETED]),
        (delete(), [Event, Event, Event, Event, Event, Nothing]),
        (restore(), [Nothing, Nothing, Nothing, Nothing, Nothing, Event]),
        (request_review(), [Event, Event, Event, Event, CANCELLED, DELETED]),
        (review(ReviewStatus::Approved, None), [UNASKED, UNASKED, UNASKED, UNASKED, UNASKED, DELETED]),
    ]
}

/// One of every command on a task that is there.
pub(super) fn every_change() -> impl Iterator<Item = TaskCommand> {
    let commands = table().into_iter().map(|(command, _)| command);
    commands.filter(|command| !matches!(command, TaskCommand::Create(_)))
}

fn comes<D>(outcome: Outcome<D>) -> Comes
where
    D: foldline_domain::Decider<Rejection = Rejection>,
{
    match outcome.0 {
        Ok(events) if events.is_empty() => Nothing,
        Ok(_) => Event,
        Err(Rejection::TaskExists) => EXISTS,
        Err(Rejection::TaskBlocked) => BLOCKED,
        Err(Rejection::TaskCompleted) => COMPLETED,
        Err(Rejection::TaskCancelled) => CANCELLED,
        Err(Rejection::TaskDeleted) => DELETED,
        Err(Rejection::TaskNotClosed) => OPEN,
        Err(Rejection::ReviewNotRequested) => UNASKED,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn each_command_does_in_each_status_what_the_table_says() {
    let before = [
        created(),
        assigned(1),
        labelled("red"),
        step_added(1, "burn"),
        step_done(1),
    ];
    for (command, expected) in table() {
        for (status, expected) in statuses().into_iter().zip(expected) {
            let shown = format!("{command:?} after {status:?}");
            let given = task_of(before.clone().into_iter().chain(status));
            let outcome = given.knowing(in_project(false)).when(command.clone());
            assert_eq!(comes(outcome), expected, "{shown}");
        }
    }
}

#[test]
fn the_table_has_every_command_on_tasks_once() {
    let commands: Vec<&str> = table()
        .iter()
        .map(|(command, _)| command.context_type())
        .collect();
    let distinct: BTreeSet<&str> = commands.iter().copied().collect();
    assert_eq!(distinct.len(), commands.len());
    let of_tasks = COMMAND_TYPES
        .into_iter()
        .filter(|command_type| !command_type.ends_with("_project"));
    assert_eq!(distinct, of_tasks.collect());
}
