use foldline_domain::tasks::Rejection;
use foldline_events::tasks::ReviewStatus;

use super::{
    commands::{request_review, review},
    events::{cancelled, completed, reopened, review_requested, reviewed},
    task,
};

const RECORDED: [ReviewStatus; 4] = [
    ReviewStatus::InProgress,
    ReviewStatus::Approved,
    ReviewStatus::ChangesWanted,
    ReviewStatus::Failed,
];

#[test]
fn a_review_is_asked_for_once_until_it_is_over() {
    task([]).when(request_review()).then(review_requested());
    task([completed(None)])
        .when(request_review())
        .then(review_requested());
    task([review_requested()])
        .when(request_review())
        .then_nothing();
    task([review_requested(), reviewed(ReviewStatus::InProgress, None)])
        .when(request_review())
        .then_nothing();
    for over in [
        ReviewStatus::Approved,
        ReviewStatus::ChangesWanted,
        ReviewStatus::Failed,
    ] {
        task([review_requested(), reviewed(over, None)])
            .when(request_review())
            .then(review_requested());
    }
}

#[test]
fn nobody_asks_for_a_review_of_a_cancelled_task() {
    for requested in [task([cancelled()]), task([review_requested(), cancelled()])] {
        requested
            .when(request_review())
            .then_rejected(Rejection::TaskCancelled);
    }
    task([cancelled(), reopened()])
        .when(request_review())
        .then(review_requested());
}

#[test]
fn a_review_that_nobody_asked_for_is_not_recorded() {
    for status in RECORDED {
        task([])
            .when(review(status, None))
            .then_rejected(Rejection::ReviewNotRequested);
    }
}

#[test]
fn a_review_is_recorded_as_it_goes_and_once_each() {
    let summary = Some("The legs do not fold");
    for status in RECORDED {
        task([review_requested()])
            .when(review(status, summary))
            .then(reviewed(status, summary));
        let known = task([review_requested(), reviewed(status, summary)]);
        known.when(review(status, summary)).then_nothing();
    }
    for status in [ReviewStatus::InProgress, ReviewStatus::Failed] {
        let known = task([review_requested(), reviewed(status, summary)]);
        known
            .when(review(status, None))
            .then(reviewed(status, None));
        for other in RECORDED.into_iter().filter(|other| *other != status) {
            known
                .when(review(other, summary))
                .then(reviewed(other, summary));
        }
    }
}

#[test]
fn a_verdict_ends_a_review_and_another_has_to_be_asked_for() {
    for verdict in [ReviewStatus::Approved, ReviewStatus::ChangesWanted] {
        let known = task([review_requested(), reviewed(verdict, None)]);
        for other in RECORDED.into_iter().filter(|other| *other != verdict) {
            known
                .when(review(other, None))
                .then_rejected(Rejection::ReviewNotRequested);
        }
        known
            .when(review(verdict, Some("On second thoughts")))
            .then_rejected(Rejection::ReviewNotRequested);
    }
}

#[test]
fn a_review_that_was_asked_for_again_has_no_verdict_yet() {
    let approved = || reviewed(ReviewStatus::Approved, None);
    task([review_requested(), approved(), review_requested()])
        .when(review(ReviewStatus::Approved, None))
        .then(approved());
}

#[test]
fn a_verdict_may_come_when_the_task_is_closed() {
    for closed in [completed(None), cancelled()] {
        task([review_requested(), closed])
            .when(review(ReviewStatus::Approved, None))
            .then(reviewed(ReviewStatus::Approved, None));
    }
}
