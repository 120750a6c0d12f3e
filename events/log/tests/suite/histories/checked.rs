//! The model is itself seen to complain, of histories that cannot be.

use foldline_events::Recorded;
use foldline_log::{Expected, Guard, MemoryLog, Verdict, Write};
use uuid::Uuid;

use super::{Call, TYPES, check::complaint};
use crate::store::{append, at, event};

/// Three appends over the model itself: one stored, one refused, one repeated.
fn true_history() -> (Vec<Recorded>, Vec<Call>, Uuid) {
    let log = MemoryLog::new(Uuid::now_v7(), at);
    let happened = |expected| append("task-1", expected, vec![event("test.Happened", &[])]);
    let first = happened(Expected::NoStream);
    let calls = [first.clone(), happened(Expected::NoStream), first];
    let calls = calls.map(|append| Call {
        before: log.head().position,
        answer: log.append(&append),
        after: log.head().position,
        append,
    });
    (log.read(0, 10).unwrap(), calls.into(), log.epoch())
}

#[test]
fn the_model_complains_of_a_history_that_cannot_be() {
    let (history, calls, epoch) = true_history();
    assert_eq!(complaint(&history, &calls, epoch, 0), None);

    // Told, but not there.
    assert!(complaint(&[], &calls, epoch, 0).is_some());
    // Twice.
    let twice = [history.clone(), history.clone()].concat();
    assert!(complaint(&twice, &calls, epoch, 0).is_some());
    // Nobody sent it.
    assert!(complaint(&history, &calls[1..2], epoch, 0).is_some());
    // Not what was sent.
    let mut other = history.clone();
    other[0].payload = "{}".to_owned();
    assert!(complaint(&other, &calls, epoch, 0).is_some());
    // A conflict with a version that the stream never had, and one before there was anything to conflict with.
    let (history, mut calls, epoch) = true_history();
    calls[1].answer = Ok(Verdict::Conflict {
        stream: "task-1".to_owned(),
        version: 2,
    });
    assert!(complaint(&history, &calls, epoch, 0).is_some());
    let (history, mut calls, epoch) = true_history();
    (calls[1].before, calls[1].after) = (0, 0);
    assert!(complaint(&history, &calls, epoch, 0).is_some());
    // Stored twice, as its callers were told.
    let (history, mut calls, epoch) = true_history();
    calls[2].answer = Ok(match &calls[0].answer {
        Ok(verdict) => verdict.clone(),
        Err(error) => panic!("{error}"),
    });
    assert!(complaint(&history, &calls, epoch, 0).is_some());
}

/// Two appends: one that is stored, and one to another stream, which only checks the first and is guarded by tags and
/// types that are on no event together.
fn checked_and_guarded() -> (Vec<Recorded>, Vec<Call>, Uuid) {
    let log = MemoryLog::new(Uuid::now_v7(), at);
    let tagged = |tag| vec![event("test.Happened", &[tag])];
    let mut first = append("task-1", Expected::NoStream, tagged("tag:1"));
    first.writes[0].events.extend(tagged("tag:2"));
    let mut second = append("task-2", Expected::NoStream, tagged("tag:3"));
    let check = Write::check("task-1", Expected::Exactly(2));
    second.writes.push(check);
    second.guards = vec![Guard {
        tags: vec!["tag:1".to_owned(), "tag:2".to_owned()],
        event_types: TYPES.map(str::to_owned).into(),
        after: 0,
    }];
    let calls = [first, second].map(|append| Call {
        before: log.head().position,
        answer: log.append(&append),
        after: log.head().position,
        append,
    });
    (log.read(0, 10).unwrap(), calls.into(), log.epoch())
}

#[test]
fn the_model_complains_of_what_a_check_or_a_guard_of_several_tags_and_types_should_have_stopped() {
    let (history, calls, epoch) = checked_and_guarded();
    assert_eq!(complaint(&history, &calls, epoch, 0), None);

    for expected in [
        Expected::NoStream,
        Expected::Exactly(1),
        Expected::Exactly(3),
    ] {
        let (history, mut calls, epoch) = checked_and_guarded();
        calls[1].append.writes[1].expected = expected;
        let found = complaint(&history, &calls, epoch, 0).unwrap();
        assert!(found.contains("the model says Ok(Conflict"), "{found}");
    }
    // Written to where it should only have been checked.
    let (history, mut calls, epoch) = checked_and_guarded();
    let written = calls[1].append.writes[0].events.clone();
    calls[1].append.writes[0].events =
        std::mem::replace(&mut calls[1].append.writes[1].events, written);
    assert!(complaint(&history, &calls, epoch, 0).is_some());

    for tags in [&["tag:1"][..], &["tag:2"], &["tag:2", "tag:2"]] {
        let (history, mut calls, epoch) = checked_and_guarded();
        calls[1].append.guards[0].tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let found = complaint(&history, &calls, epoch, 0).unwrap();
        assert!(found.contains("the model says Ok(Guarded"), "{found}");
        // Of the other type there is none.
        calls[1].append.guards[0].event_types = vec![TYPES[1].to_owned()];
        assert_eq!(complaint(&history, &calls, epoch, 0), None);
    }
}
