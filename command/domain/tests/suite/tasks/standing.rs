use foldline_domain::tasks::Rejection;
use foldline_events::tasks::ResumedStatus;

use super::{
    commands::{
        block, cancel, cancel_because, complete, complete_step, reopen, reopen_because, start,
        unblock,
    },
    events::{
        blocked, cancelled, completed, reopened, started, step_added, step_done, step_removed,
        unblocked,
    },
    hours, task,
};

#[test]
fn an_open_task_is_started_once() {
    task([]).when(start()).then(started());
    task([started()]).when(start()).then_nothing();
}

#[test]
fn a_blocked_task_goes_on_where_it_stood() {
    task([blocked("No fuel")])
        .when(unblock())
        .then(unblocked(ResumedStatus::Open));
    task([started(), blocked("No fuel")])
        .when(unblock())
        .then(unblocked(ResumedStatus::InProgress));
    task([started(), blocked("No fuel"), blocked("No crew")])
        .when(unblock())
        .then(unblocked(ResumedStatus::InProgress));
    task([started(), completed(None), reopened(), blocked("No fuel")])
        .when(unblock())
        .then(unblocked(ResumedStatus::Open));
}

#[test]
fn an_unblocked_task_is_as_if_nothing_had_been_in_its_way() {
    let resumed = |status| task([blocked("No fuel"), unblocked(status)]);
    resumed(ResumedStatus::Open).when(start()).then(started());
    resumed(ResumedStatus::InProgress)
        .when(start())
        .then_nothing();
    for status in [ResumedStatus::Open, ResumedStatus::InProgress] {
        resumed(status).when(unblock()).then_nothing();
        resumed(status).when(complete(None)).then(completed(None));
    }
}

#[test]
fn a_task_is_blocked_once_for_a_reason_and_again_for_another() {
    task([]).when(block("No fuel")).then(blocked("No fuel"));
    task([blocked("No fuel")])
        .when(block("No fuel"))
        .then_nothing();
    task([blocked("No fuel")])
        .when(block("No crew"))
        .then(blocked("No crew"));
}

#[test]
fn a_blocked_task_is_neither_started_nor_completed() {
    task([blocked("No fuel")])
        .when(start())
        .then_rejected(Rejection::TaskBlocked);
    task([started(), blocked("No fuel")])
        .when(complete(None))
        .then_rejected(Rejection::TaskBlocked);
}

#[test]
fn a_blocked_task_may_be_given_up_and_is_open_when_it_is_taken_up_again() {
    task([blocked("No fuel")]).when(cancel()).then(cancelled());
    let again = task([started(), blocked("No fuel"), cancelled(), reopened()]);
    again.when(start()).then(started());
    again.when(unblock()).then_nothing();
}

#[test]
fn a_task_is_completed_from_open_or_in_progress() {
    let two = Some(hours(2));
    task([]).when(complete(two)).then(completed(two));
    task([started()]).when(complete(None)).then(completed(None));
}

#[test]
fn a_task_with_open_steps_cannot_be_completed() {
    let steps = [step_added(1, "burn"), step_added(2, "coast"), step_done(1)];
    task(steps.clone())
        .when(complete(None))
        .then_rejected(Rejection::OpenSteps { open: 1 });
    let [one, two, done] = steps;
    task([one, two, done, step_removed(2)])
        .when(complete(None))
        .then(completed(None));
}

#[test]
fn completing_a_completed_task_changes_nothing_and_not_its_hours() {
    let done = task([completed(Some(hours(2)))]);
    done.when(complete(Some(hours(2)))).then_nothing();
    done.when(complete(Some(hours(3))))
        .then_rejected(Rejection::CompletedDifferently);
    done.when(complete(None))
        .then_rejected(Rejection::CompletedDifferently);
    task([completed(None)]).when(complete(None)).then_nothing();
}

#[test]
fn a_task_taken_up_again_may_take_other_hours() {
    let three = Some(hours(3));
    task([completed(Some(hours(2))), reopened()])
        .when(complete(three))
        .then(completed(three));
}

#[test]
fn only_a_completed_or_cancelled_task_is_reopened() {
    for closed in [completed(None), cancelled()] {
        task([closed]).when(reopen()).then(reopened());
    }
    for not_closed in [
        task([]),
        task([started()]),
        task([blocked("No fuel")]),
        task([completed(None), reopened()]),
    ] {
        not_closed
            .when(reopen_because("why"))
            .then_rejected(Rejection::TaskNotClosed);
    }
}

#[test]
fn a_reopened_task_is_open_and_its_done_steps_stay_done() {
    let again = task([
        started(),
        step_added(1, "burn"),
        step_done(1),
        completed(None),
        reopened(),
    ]);
    again.when(start()).then(started());
    again.when(cancel()).then(cancelled());
    again.when(complete(None)).then(completed(None));
    again.when(complete_step(1)).then_nothing();
}

#[test]
fn a_task_is_cancelled_once_whatever_the_second_reason() {
    task([]).when(cancel()).then(cancelled());
    task([started(), step_added(1, "burn")])
        .when(cancel())
        .then(cancelled());
    task([cancelled()]).when(cancel()).then_nothing();
    task([cancelled()])
        .when(cancel_because("Others were faster"))
        .then_nothing();
}

#[test]
fn what_is_completed_is_not_given_up_unsaid() {
    task([completed(None)])
        .when(cancel())
        .then_rejected(Rejection::TaskCompleted);
    task([completed(None), reopened()])
        .when(cancel())
        .then(cancelled());
}
