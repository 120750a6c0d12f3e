//! What reactions ask of a task: it is never refused, because it may come late or twice.

use chrono::NaiveDate;
use foldline_domain::tasks::Rejection;

use super::{
    commands::{note_due_day_passed, suggest_completion},
    events::{
        blocked, cancelled, completed, completion_suggested, deleted, due_date_set, due_day_passed,
        reopened, restored, started, step_added, step_done, step_removed,
    },
    no_task, task,
};

fn day(day: u32) -> NaiveDate {
    NaiveDate::from_ymd_opt(2026, 3, day).unwrap()
}

fn due(on: u32) -> foldline_events::tasks::TaskEvent {
    due_date_set(Some(day(on)))
}

#[test]
fn a_due_day_has_passed_when_the_next_has_begun() {
    let task = task([due(10)]);
    task.when(note_due_day_passed(day(10))).then_nothing();
    task.when(note_due_day_passed(day(11)))
        .then(due_day_passed(day(10)));
    task.when(note_due_day_passed(day(31)))
        .then(due_day_passed(day(10)));
}

#[test]
fn that_a_due_day_passed_is_said_once_for_each_due_date() {
    let said = due_day_passed(day(10));
    task([due(10), said.clone()])
        .when(note_due_day_passed(day(12)))
        .then_nothing();
    let put_off = task([due(10), said, due(11)]);
    put_off.when(note_due_day_passed(day(11))).then_nothing();
    put_off
        .when(note_due_day_passed(day(12)))
        .then(due_day_passed(day(11)));
}

#[test]
fn no_due_day_passes_of_a_task_that_is_done_or_given_up_or_away_or_not_due() {
    for not_to_be_done in [
        task([due(10), completed(None)]),
        task([due(10), cancelled()]),
        task([due(10), deleted()]),
        task([due(10), due_date_set(None)]),
    ] {
        not_to_be_done
            .when(note_due_day_passed(day(11)))
            .then_nothing();
    }
    for to_be_done in [
        task([due(10), started()]),
        task([due(10), blocked("rain")]),
        task([due(10), completed(None), reopened()]),
        task([due(10), deleted(), restored()]),
    ] {
        to_be_done
            .when(note_due_day_passed(day(11)))
            .then(due_day_passed(day(10)));
    }
}

#[test]
fn completion_is_suggested_when_every_step_is_done() {
    let all_done = task([step_added(1, "burn"), step_done(1)]);
    all_done
        .when(suggest_completion())
        .then(completion_suggested());
    for not_all_done in [
        task([]),
        task([step_added(1, "burn")]),
        task([step_added(1, "burn"), step_added(2, "coast"), step_done(1)]),
        task([step_added(1, "burn"), step_done(1), step_removed(1)]),
    ] {
        not_all_done.when(suggest_completion()).then_nothing();
    }
}

#[test]
fn completion_is_suggested_again_only_after_a_step_was_added_or_the_task_reopened() {
    let suggested = || [step_added(1, "burn"), step_done(1), completion_suggested()];
    let [added, done, said] = suggested();
    task([added, done, said])
        .when(suggest_completion())
        .then_nothing();
    let [added, done, said] = suggested();
    task([added, done, said, step_added(2, "coast"), step_done(2)])
        .when(suggest_completion())
        .then(completion_suggested());
    let [added, done, said] = suggested();
    task([added, done, said, completed(None), reopened()])
        .when(suggest_completion())
        .then(completion_suggested());
}

#[test]
fn completion_is_not_suggested_of_a_task_that_cannot_be_completed() {
    for way in [blocked("rain"), completed(None), cancelled(), deleted()] {
        task([step_added(1, "burn"), step_done(1), way])
            .when(suggest_completion())
            .then_nothing();
    }
}

#[test]
fn nothing_is_said_of_a_task_that_never_was() {
    for command in [note_due_day_passed(day(1)), suggest_completion()] {
        no_task()
            .when(command)
            .then_rejected(Rejection::UnknownTask);
    }
}
