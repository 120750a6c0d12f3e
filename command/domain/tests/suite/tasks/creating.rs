use foldline_domain::tasks::{CreateTask, Rejection, TaskCommand};
use foldline_events::tasks::{Metadata, Priority};

use super::{
    commands::{create, creation},
    events::{created, created_as, deleted},
    in_project, key_taken, no_task,
    statuses::every_change,
    task, task_of,
};

#[test]
fn a_task_is_created_with_all_that_is_said_of_it() {
    no_task().when(create()).then(created());
}

#[test]
fn a_task_needs_no_more_than_a_project_a_title_and_a_priority() {
    let bare = || CreateTask {
        description: None,
        priority: Priority::Low,
        estimated_hours: None,
        due_date: None,
        key: None,
        metadata: Metadata::new(),
        ..creation()
    };
    no_task()
        .when(TaskCommand::Create(bare()))
        .then(created_as(bare()));
}

#[test]
fn a_task_is_created_once_and_a_deleted_one_is_still_there() {
    for there in [task([]), task([deleted()])] {
        there
            .knowing(in_project(false))
            .when(create())
            .then_rejected(Rejection::TaskExists);
    }
}

#[test]
fn a_task_needs_a_project_that_exists_and_is_not_archived() {
    task_of([])
        .when(create())
        .then_rejected(Rejection::UnknownProject);
    no_task()
        .knowing(in_project(true))
        .when(create())
        .then_rejected(Rejection::ProjectArchived);
}

#[test]
fn a_task_gets_no_key_that_another_has() {
    let known = no_task().knowing(key_taken());
    known
        .when(create())
        .then_rejected(Rejection::KeyTaken { by: super::id(9) });
    let without = || CreateTask {
        key: None,
        ..creation()
    };
    known
        .when(TaskCommand::Create(without()))
        .then(created_as(without()));
}

#[test]
fn nothing_can_be_done_to_an_unknown_task() {
    for command in every_change() {
        no_task()
            .when(command)
            .then_rejected(Rejection::UnknownTask);
    }
}
