//! What programs know a "no" by.

use std::collections::BTreeSet;

use foldline_domain::tasks::TextFault;
use foldline_domain::{Rejection, RejectionKind, tasks};

const CONFLICT: RejectionKind = RejectionKind::Conflict;
const INVALID: RejectionKind = RejectionKind::Invalid;
const UNKNOWN: RejectionKind = RejectionKind::Unknown;

#[rustfmt::skip]
fn table() -> Vec<(tasks::Rejection, &'static str, RejectionKind, Option<&'static str>)> {
    use tasks::Rejection as No;
    let text = |fault| No::Text { field: "title", fault };
    vec![
        (No::ProjectExists, "PROJECT_EXISTS", CONFLICT, None),
        (No::UnknownProject, "UNKNOWN_PROJECT", UNKNOWN, None),
        (No::ProjectArchived, "PROJECT_ARCHIVED", CONFLICT, None),
        (No::TaskExists, "TASK_EXISTS", CONFLICT, None),
        (No::UnknownTask, "UNKNOWN_TASK", UNKNOWN, None),
        (No::TaskCompleted, "TASK_COMPLETED", CONFLICT, None),
        (No::TaskCancelled, "TASK_CANCELLED", CONFLICT, None),
        (No::TaskDeleted, "TASK_DELETED", CONFLICT, None),
        (No::TaskBlocked, "TASK_BLOCKED", CONFLICT, None),
        (No::KeyTaken { by: uuid::Uuid::nil() }, "TASK_KEY_TAKEN", CONFLICT, Some("/key")),
        (No::KeyMalformed, "TASK_KEY_INVALID", INVALID, Some("/key")),
        (No::TaskNotClosed, "TASK_NOT_CLOSED", CONFLICT, None),
        (No::CompletedDifferently, "TASK_COMPLETED_DIFFERENTLY", CONFLICT, None),
        (No::OpenSteps { open: 2 }, "OPEN_STEPS", CONFLICT, None),
        (No::UnknownStep, "UNKNOWN_STEP", UNKNOWN, None),
        (No::StepDiffers, "STEP_DIFFERS", CONFLICT, None),
        (No::TooManySteps, "TOO_MANY_STEPS", CONFLICT, None),
        (No::TooManyLabels, "TOO_MANY_LABELS", CONFLICT, None),
        (No::CommentExists, "COMMENT_EXISTS", CONFLICT, None),
        (No::TooManyComments, "TOO_MANY_COMMENTS", CONFLICT, None),
        (No::ReviewNotRequested, "AI_REVIEW_NOT_REQUESTED", CONFLICT, None),
        (No::DueDateOutOfRange, "DUE_DATE_OUT_OF_RANGE", INVALID, Some("/dueDate")),
        (text(TextFault::Blank), "TEXT_BLANK", INVALID, Some("/title")),
        (text(TextFault::TooLong { chars_max: 255 }), "TEXT_TOO_LONG", INVALID, Some("/title")),
        (text(TextFault::Nul), "TEXT_WITH_NUL", INVALID, Some("/title")),
        (No::HoursOutOfRange { field: "actualHours" }, "HOURS_OUT_OF_RANGE", INVALID, Some("/actualHours")),
        (No::TooManyMetadataKeys { pointer: "/metadata" }, "TOO_MANY_METADATA_KEYS", INVALID, Some("/metadata")),
        (No::MetadataKey { pointer: "/name" }, "METADATA_KEY_INVALID", INVALID, Some("/name")),
        (No::MetadataValue { pointer: "/value".into() }, "METADATA_VALUE_INVALID", INVALID, Some("/value")),
    ]
}

#[test]
fn a_rejection_is_known_by_its_code_and_points_at_what_is_to_blame() {
    for (rejection, code, kind, pointer) in table() {
        let rejection = Rejection::from(rejection);
        assert_eq!(
            (rejection.code(), rejection.kind(), rejection.pointer()),
            (code, kind, pointer.map(str::to_owned))
        );
        assert!(!rejection.to_string().is_empty());
    }
}

#[test]
fn no_two_rejections_have_one_code() {
    let codes: BTreeSet<&str> = table().iter().map(|(_, code, ..)| *code).collect();
    assert_eq!(codes.len(), table().len());
}
