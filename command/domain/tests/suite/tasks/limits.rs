use chrono::NaiveDate;
use foldline_domain::tasks::{
    CreateTask, Rejection, Task, TaskCommand, TextFault,
    limits::{DUE_DATES, HOURS_MAX, METADATA_KEYS_MAX},
};
use foldline_events::{
    Hours,
    tasks::{Metadata, ReviewStatus},
};
use serde_json::{Value, json};

use super::{
    commands::{
        add_label, add_step, block, cancel_because, comment, complete, creation, describe,
        estimate, note, rename, reopen_because, review, set_due_date,
    },
    events::{completed, created, created_as, due_date_set, estimated, noted, review_requested},
    in_project, no_task, task, task_of,
};
use crate::specification::Given;

fn titled(title: &str) -> TaskCommand {
    TaskCommand::Create(CreateTask {
        title: title.into(),
        ..creation()
    })
}

fn created_described(description: &str) -> TaskCommand {
    TaskCommand::Create(CreateTask {
        description: Some(description.into()),
        ..creation()
    })
}

fn noting(metadata: Metadata) -> TaskCommand {
    TaskCommand::Create(CreateTask {
        metadata,
        ..creation()
    })
}

fn noting_one(name: &str, value: Value) -> TaskCommand {
    noting(Metadata::from([(name.to_owned(), value)]))
}

#[test]
fn texts_are_readable_and_have_their_lengths() {
    let (new, open) = (no_task(), task([review_requested()]));
    let closed = task([completed(None)]);
    type Command<'a> = &'a dyn Fn(&str) -> TaskCommand;
    let cases: [(&Given<Task>, &str, usize, Command); 11] = [
        (&new, "title", 255, &titled),
        (&open, "title", 255, &rename),
        (&new, "description", 10_000, &created_described),
        (&open, "description", 10_000, &|text| describe(Some(text))),
        (&open, "label", 50, &add_label),
        (&open, "content", 1_000, &|text| add_step(1, text)),
        (&open, "text", 5_000, &|text| comment(1, text)),
        (&open, "reason", 500, &block),
        (&open, "reason", 500, &cancel_because),
        (&closed, "reason", 500, &reopen_because),
        (&open, "summary", 5_000, &|text| {
            review(ReviewStatus::Approved, Some(text))
        }),
    ];
    for (given, field, chars_max, command) in cases {
        let refused = |fault| Rejection::Text { field, fault };
        for blank in ["", " ", "\u{2003}\n\t"] {
            given
                .when(command(blank))
                .then_rejected(refused(TextFault::Blank));
        }
        given
            .when(command("a\0b"))
            .then_rejected(refused(TextFault::Nul));
        given
            .when(command(&"ä".repeat(chars_max + 1)))
            .then_rejected(refused(TextFault::TooLong { chars_max }));
        // Characters are counted, not bytes.
        assert_eq!(
            given
                .when(command(&"ä".repeat(chars_max)))
                .0
                .map(|events| events.len()),
            Ok(1),
            "{field}"
        );
    }
}

#[test]
fn hours_are_from_nothing_to_the_limit() {
    let most = HOURS_MAX.hundredths();
    let refused = |field| Rejection::HoursOutOfRange { field };
    for bad in [i64::MIN, -1, most + 1, i64::MAX] {
        let bad = Some(Hours::from_hundredths(bad));
        let create = TaskCommand::Create(CreateTask {
            estimated_hours: bad,
            ..creation()
        });
        no_task()
            .when(create)
            .then_rejected(refused("estimatedHours"));
        task([])
            .when(estimate(bad))
            .then_rejected(refused("estimatedHours"));
        task([])
            .when(complete(bad))
            .then_rejected(refused("actualHours"));
    }
    for good in [0, 1, most] {
        let good = Some(Hours::from_hundredths(good));
        task([]).when(complete(good)).then(completed(good));
        task([]).when(estimate(good)).then(estimated(good));
    }
}

#[test]
fn a_due_date_lies_within_the_years_that_are_meant() {
    let (first, last) = DUE_DATES;
    for bad in [
        first.pred_opt(),
        last.succ_opt(),
        Some(NaiveDate::MIN),
        Some(NaiveDate::MAX),
    ] {
        task([])
            .when(set_due_date(bad))
            .then_rejected(Rejection::DueDateOutOfRange);
        let create = TaskCommand::Create(CreateTask {
            due_date: bad,
            ..creation()
        });
        no_task()
            .when(create)
            .then_rejected(Rejection::DueDateOutOfRange);
    }
    for good in [first, last] {
        task([])
            .when(set_due_date(Some(good)))
            .then(due_date_set(Some(good)));
    }
}

#[test]
fn metadata_names_are_short_text() {
    let longest = "ä".repeat(100);
    for good in ["a", " ", "a/b~c", &longest] {
        task([])
            .when(note(good, json!(1)))
            .then(noted(good, json!(1)));
    }
    let too_long = "ä".repeat(101);
    for bad in ["", "a\0", &too_long] {
        no_task()
            .when(noting_one(bad, json!(1)))
            .then_rejected(Rejection::MetadataKey {
                pointer: "/metadata",
            });
        task([])
            .when(note(bad, json!(1)))
            .then_rejected(Rejection::MetadataKey { pointer: "/name" });
    }
}

#[test]
fn metadata_values_are_plain() {
    for good in [
        json!(0),
        json!(-1.5e300),
        json!(u64::MAX),
        json!(true),
        json!(""),
        json!("x".repeat(1_000)),
    ] {
        task([])
            .when(note("a", good.clone()))
            .then(noted("a", good));
    }
    for bad in [
        json!(null),
        json!([1]),
        json!({"a": 1}),
        json!("\0"),
        json!("x".repeat(1_001)),
    ] {
        let refused = |pointer: &str| Rejection::MetadataValue {
            pointer: pointer.to_owned(),
        };
        no_task()
            .when(noting_one("a/b~c", bad.clone()))
            .then_rejected(refused("/metadata/a~1b~0c"));
        task([])
            .when(note("a", bad))
            .then_rejected(refused("/value"));
    }
}

#[test]
fn a_new_task_has_no_more_facts_than_the_limit() {
    let facts =
        |count: usize| -> Metadata { (0..count).map(|n| (n.to_string(), json!(n))).collect() };
    let most = CreateTask {
        metadata: facts(METADATA_KEYS_MAX),
        ..creation()
    };
    no_task()
        .when(TaskCommand::Create(most.clone()))
        .then(created_as(most));
    no_task()
        .when(noting(facts(METADATA_KEYS_MAX + 1)))
        .then_rejected(Rejection::TooManyMetadataKeys {
            pointer: "/metadata",
        });
}

/// A "no" about the command's own values comes first, so that it does not depend on what happened meanwhile.
#[test]
fn what_is_wrong_whatever_the_task_is_like_is_said_first() {
    let blank = Rejection::Text {
        field: "title",
        fault: TextFault::Blank,
    };
    task_of([]).when(rename("")).then_rejected(blank.clone());
    task_of([]).when(titled("")).then_rejected(blank.clone());
    task_of([created()])
        .knowing(in_project(true))
        .when(titled(""))
        .then_rejected(blank);
}
