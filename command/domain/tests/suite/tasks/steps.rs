use foldline_domain::tasks::{Rejection, limits::STEPS_PER_TASK_MAX};

use super::{
    commands::{add_step, complete_step, remove_step},
    events::{
        blocked, cancelled, completed, created, started, step_added, step_done, step_removed,
    },
    task, task_of,
};

#[test]
fn a_step_is_added_once_and_keeps_its_content() {
    task([])
        .when(add_step(1, "burn"))
        .then(step_added(1, "burn"));
    let with_step = task([step_added(1, "burn")]);
    with_step.when(add_step(1, "burn")).then_nothing();
    with_step
        .when(add_step(1, "coast"))
        .then_rejected(Rejection::StepDiffers);
    with_step
        .when(add_step(2, "burn"))
        .then(step_added(2, "burn"));
}

#[test]
fn a_done_step_that_is_added_again_stays_done() {
    task([step_added(1, "burn"), step_done(1)])
        .when(add_step(1, "burn"))
        .then_nothing();
}

#[test]
fn a_step_is_completed_once() {
    task([step_added(1, "burn")])
        .when(complete_step(1))
        .then(step_done(1));
    task([step_added(1, "burn"), step_done(1)])
        .when(complete_step(1))
        .then_nothing();
    task([step_added(1, "burn")])
        .when(complete_step(2))
        .then_rejected(Rejection::UnknownStep);
}

#[test]
fn a_step_is_removed_done_or_not_and_then_unknown() {
    let burn = || step_added(1, "burn");
    task([burn()]).when(remove_step(1)).then(step_removed(1));
    task([burn(), step_done(1)])
        .when(remove_step(1))
        .then(step_removed(1));
    let gone = task([burn(), step_removed(1)]);
    gone.when(remove_step(1))
        .then_rejected(Rejection::UnknownStep);
    gone.when(complete_step(1))
        .then_rejected(Rejection::UnknownStep);
    // Its id is free again, and the new step is not done.
    task([
        burn(),
        step_done(1),
        step_removed(1),
        step_added(1, "coast"),
    ])
    .when(complete_step(1))
    .then(step_done(1));
}

#[test]
fn steps_go_on_while_a_task_is_in_progress_or_blocked() {
    for status in [started(), blocked("No fuel")] {
        let with_step = task([step_added(1, "burn"), status]);
        with_step
            .when(add_step(2, "coast"))
            .then(step_added(2, "coast"));
        with_step.when(complete_step(1)).then(step_done(1));
        with_step.when(remove_step(1)).then(step_removed(1));
    }
}

#[test]
fn a_completed_or_cancelled_task_keeps_its_steps_as_they_are() {
    for (closed, rejection) in [
        (completed(None), Rejection::TaskCompleted),
        (cancelled(), Rejection::TaskCancelled),
    ] {
        let with_step = task([step_added(1, "burn"), closed]);
        for command in [add_step(2, "coast"), complete_step(1), remove_step(1)] {
            with_step.when(command).then_rejected(rejection.clone());
        }
        // It has this one already.
        with_step.when(add_step(1, "burn")).then_nothing();
    }
}

#[test]
fn a_task_has_no_more_steps_than_the_limit() {
    let count = u128::try_from(STEPS_PER_TASK_MAX).unwrap();
    let steps = (0..count).map(|n| step_added(n, "burn"));
    let events: Vec<_> = [created()].into_iter().chain(steps).collect();
    let full = task_of(events.clone());
    full.when(add_step(count, "burn"))
        .then_rejected(Rejection::TooManySteps);
    full.when(add_step(0, "burn")).then_nothing();
    task_of(events.into_iter().chain([step_removed(0)]))
        .when(add_step(count, "burn"))
        .then(step_added(count, "burn"));
}
