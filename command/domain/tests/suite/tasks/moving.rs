use foldline_domain::tasks::Rejection;

use super::{
    commands::{delete, move_to, restore, start},
    events::{completed, deleted, moved, restored, started},
    in_project, task,
};

#[test]
fn a_task_is_moved_to_a_project_that_exists_and_is_not_archived() {
    task([])
        .knowing(in_project(false))
        .when(move_to(2))
        .then(moved(1, 2));
    task([])
        .when(move_to(2))
        .then_rejected(Rejection::UnknownProject);
    task([])
        .knowing(in_project(true))
        .when(move_to(2))
        .then_rejected(Rejection::ProjectArchived);
}

#[test]
fn a_task_moves_on_from_where_it_is_now() {
    task([moved(1, 2)])
        .knowing(in_project(false))
        .when(move_to(3))
        .then(moved(2, 3));
    task([moved(1, 2)])
        .knowing(in_project(false))
        .when(move_to(1))
        .then(moved(2, 1));
}

#[test]
fn moving_a_task_to_where_it_is_changes_nothing_even_if_that_is_archived() {
    task([])
        .knowing(in_project(true))
        .when(move_to(1))
        .then_nothing();
    task([moved(1, 2)]).when(move_to(2)).then_nothing();
}

#[test]
fn a_task_is_deleted_once_and_restored_once() {
    task([]).when(delete()).then(deleted());
    task([deleted()]).when(delete()).then_nothing();
    task([deleted()]).when(restore()).then(restored());
    task([]).when(restore()).then_nothing();
    task([deleted(), restored()]).when(restore()).then_nothing();
    task([deleted(), restored()]).when(delete()).then(deleted());
}

#[test]
fn a_restored_task_stands_where_it_stood() {
    task([started(), deleted(), restored()])
        .when(start())
        .then_nothing();
    task([completed(None), deleted(), restored()])
        .when(start())
        .then_rejected(Rejection::TaskCompleted);
}
