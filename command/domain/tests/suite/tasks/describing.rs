use chrono::NaiveDate;
use foldline_domain::tasks::{
    Rejection,
    limits::{COMMENTS_PER_TASK_MAX, LABELS_PER_TASK_MAX, METADATA_KEYS_MAX},
};
use foldline_events::tasks::Priority;
use serde_json::json;

use super::{
    commands::{
        add_label, assign, comment, describe, estimate, note, remove_label, remove_note, rename,
        set_due_date, set_priority, unassign,
    },
    events::{
        assigned, commented, created, described, due_date_set, estimated, label_removed, labelled,
        note_removed, noted, priority_set, renamed, unassigned,
    },
    hours, task, task_of,
};

#[test]
fn a_task_is_renamed_to_another_title() {
    task([]).when(rename("Orbit")).then(renamed("Orbit"));
    task([]).when(rename("Land")).then_nothing();
    task([renamed("Orbit")])
        .when(rename("Orbit"))
        .then_nothing();
    task([renamed("Orbit")])
        .when(rename("Land"))
        .then(renamed("Land"));
}

#[test]
fn a_task_is_described_anew_or_not_at_all() {
    let harder = Some("Harder");
    task([]).when(describe(harder)).then(described(harder));
    task([]).when(describe(None)).then(described(None));
    task([]).when(describe(Some("Softly"))).then_nothing();
    task([described(None)]).when(describe(None)).then_nothing();
}

#[test]
fn a_task_becomes_more_or_less_urgent() {
    task([])
        .when(set_priority(Priority::Critical))
        .then(priority_set(Priority::Critical));
    task([]).when(set_priority(Priority::High)).then_nothing();
    task([priority_set(Priority::Low)])
        .when(set_priority(Priority::Low))
        .then_nothing();
}

#[test]
fn an_estimate_is_made_anew_or_taken_back() {
    let two = Some(hours(2));
    task([]).when(estimate(two)).then(estimated(two));
    task([]).when(estimate(None)).then(estimated(None));
    task([]).when(estimate(Some(hours(8)))).then_nothing();
    task([estimated(None)]).when(estimate(None)).then_nothing();
    // That it takes no time is something else than that nobody knows.
    task([estimated(None)])
        .when(estimate(Some(hours(0))))
        .then(estimated(Some(hours(0))));
}

#[test]
fn a_due_date_is_set_and_taken_away() {
    let day = NaiveDate::from_ymd_opt(2026, 2, 28);
    task([]).when(set_due_date(day)).then(due_date_set(day));
    task([]).when(set_due_date(None)).then(due_date_set(None));
    task([due_date_set(day)])
        .when(set_due_date(day))
        .then_nothing();
    task([due_date_set(None)])
        .when(set_due_date(None))
        .then_nothing();
}

#[test]
fn a_task_is_assigned_to_another_and_to_nobody() {
    task([]).when(assign(1)).then(assigned(1));
    task([assigned(1)]).when(assign(2)).then(assigned(2));
    task([assigned(1)]).when(assign(1)).then_nothing();
    task([assigned(1)]).when(unassign()).then(unassigned());
    task([]).when(unassign()).then_nothing();
    task([assigned(1), unassigned()])
        .when(assign(1))
        .then(assigned(1));
}

#[test]
fn a_task_has_a_label_once() {
    task([]).when(add_label("red")).then(labelled("red"));
    task([labelled("red")])
        .when(add_label("red"))
        .then_nothing();
    // Labels are as they are written.
    task([labelled("red")])
        .when(add_label("Red"))
        .then(labelled("Red"));
}

#[test]
fn a_label_is_removed_where_it_is() {
    task([labelled("red")])
        .when(remove_label("red"))
        .then(label_removed("red"));
    task([labelled("red")])
        .when(remove_label("blue"))
        .then_nothing();
    task([labelled("red"), label_removed("red")])
        .when(add_label("red"))
        .then(labelled("red"));
}

#[test]
fn a_task_has_no_more_labels_than_the_limit() {
    let labels = (0..LABELS_PER_TASK_MAX).map(|n| labelled(&n.to_string()));
    let events: Vec<_> = [created()].into_iter().chain(labels).collect();
    let full = task_of(events.clone());
    full.when(add_label("red"))
        .then_rejected(Rejection::TooManyLabels);
    full.when(add_label("0")).then_nothing();
    let room_again = events.into_iter().chain([label_removed("0")]);
    task_of(room_again)
        .when(add_label("red"))
        .then(labelled("red"));
}

#[test]
fn a_fact_is_noted_changed_and_removed() {
    task([])
        .when(note("pad", json!("39A")))
        .then(noted("pad", json!("39A")));
    task([])
        .when(note("crew", json!(2)))
        .then(noted("crew", json!(2)));
    task([]).when(note("crew", json!(3))).then_nothing();
    // Text is no number, however much it looks like one.
    task([])
        .when(note("crew", json!("3")))
        .then(noted("crew", json!("3")));
    task([])
        .when(remove_note("crew"))
        .then(note_removed("crew"));
    task([]).when(remove_note("pad")).then_nothing();
    task([note_removed("crew")])
        .when(note("crew", json!(3)))
        .then(noted("crew", json!(3)));
}

#[test]
fn a_task_has_no_more_facts_than_the_limit() {
    let facts = (1..METADATA_KEYS_MAX).map(|n| noted(&n.to_string(), json!(n)));
    let events: Vec<_> = [created()].into_iter().chain(facts).collect();
    let full = task_of(events.clone());
    full.when(note("pad", json!("39A")))
        .then_rejected(Rejection::TooManyMetadataKeys { pointer: "/name" });
    full.when(note("1", json!(false)))
        .then(noted("1", json!(false)));
    full.when(note("1", json!(1))).then_nothing();
    task_of(events.into_iter().chain([note_removed("1")]))
        .when(note("pad", json!("39A")))
        .then(noted("pad", json!("39A")));
}

#[test]
fn a_comment_is_made_once_under_its_id() {
    task([]).when(comment(1, "Go")).then(commented(1, "Go"));
    task([commented(1, "Go")])
        .when(comment(2, "Go"))
        .then(commented(2, "Go"));
    for text in ["Go", "No go"] {
        task([commented(1, "Go")])
            .when(comment(1, text))
            .then_rejected(Rejection::CommentExists);
    }
}

#[test]
fn a_task_has_no_more_comments_than_the_limit() {
    let count = u128::try_from(COMMENTS_PER_TASK_MAX).unwrap();
    let but_one = (1..count).map(|n| commented(n, "Go"));
    let events: Vec<_> = [created()].into_iter().chain(but_one).collect();
    task_of(events.clone())
        .when(comment(count, "Go"))
        .then(commented(count, "Go"));
    task_of(events.into_iter().chain([commented(count, "Go")]))
        .when(comment(count + 1, "Go"))
        .then_rejected(Rejection::TooManyComments);
}
