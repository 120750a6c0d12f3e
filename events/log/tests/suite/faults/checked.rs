//! The check of these faults is itself seen to complain, of what cannot be.

use foldline_events::Recorded;
use foldline_log::{Error, Expected, MemoryLog, Service, Verdict, Write};
use std::time::Duration;
use uuid::Uuid;

use super::{
    check::{complaints, disagreements},
    load::{Sent, guard},
    server::execute,
};
use crate::store::{append, appended, at, database, event, one, open, owner};

fn unavailable() -> Error {
    Error::Unavailable {
        waited_ms: 4_000,
        is_unknown: true,
        source: sqlx::Error::WorkerCrashed,
    }
}

/// An append of two events to two streams, one that was not answered, and one that was never stored.
struct History {
    sent: Vec<Sent>,
    log: Vec<Recorded>,
    epoch: Uuid,
}

impl History {
    fn new() -> Self {
        let log = MemoryLog::new(Uuid::now_v7(), at);
        let events = || vec![event("load.Written", &["shared:1", "all:1"])];
        let mut two = append("own-1", Expected::NoStream, events());
        two.writes
            .push(Write::to("shared-1", Expected::Any, events()));
        let mut unanswered = append("own-2", Expected::NoStream, events());
        unanswered.writes[0].events.extend(events());
        let lost = append("own-3", Expected::NoStream, events());
        let of = |append, answer, retried| Sent {
            append,
            answer,
            retried,
            waited: Duration::ZERO,
        };
        let told = log.append(&two);
        let receipt = appended(log.append(&unanswered).unwrap());
        let sent = vec![
            of(two, told, None),
            of(
                unanswered,
                Err(unavailable()),
                Some(Verdict::Known(receipt)),
            ),
            of(lost, Err(unavailable()), Some(Verdict::Guarded { by: 1 })),
        ];
        Self {
            sent,
            log: log.read(0, 10).unwrap(),
            epoch: log.epoch(),
        }
    }

    fn complaints(&self) -> Vec<String> {
        complaints(&self.sent, &self.log, &self.log, self.epoch)
    }

    fn complains(&self, of: &str) {
        let complaints = self.complaints();
        assert!(
            complaints.iter().any(|it| it.contains(of)),
            "{of}: {complaints:#?}"
        );
    }
}

fn history() -> History {
    let mut history = History::new();
    // Never stored, and in the end not allowed either.
    history.sent[2].append.guards = vec![guard(&["shared:1"], &["load.Written"], 0)];
    history
}

#[test]
fn what_is_right_is_not_complained_of() {
    assert_eq!(history().complaints(), [""; 0]);
}

#[test]
fn what_was_acknowledged_and_is_lost_halved_doubled_or_elsewhere_is_complained_of() {
    let mut lost = history();
    lost.log.drain(..2);
    lost.complains("was acknowledged, and is not there");
    let mut halved = history();
    halved.log.remove(1);
    halved.complains("has 1 events of 2");
    let mut doubled = history();
    let again = doubled.log[..2].to_vec();
    doubled.log.extend(again);
    doubled.complains("has 4 events of 2");
    doubled.complains("is there twice");
    let mut elsewhere = history();
    if let Ok(Verdict::Appended(receipt)) = &mut elsewhere.sent[0].answer {
        receipt.cursor.position += 1;
    }
    elsewhere.complains("is not where its receipt says");
    let mut altered = history();
    altered.log[0].payload.push(' ');
    altered.complains("otherwise than it was sent");
}

#[test]
fn half_of_what_was_not_answered_and_a_wrong_answer_to_its_retry_are_complained_of() {
    let mut halved = history();
    halved.log.pop();
    halved.complains("has 1 events of 2");
    let mut denied = history();
    denied.sent[1].retried = Some(Verdict::Guarded { by: 1 });
    denied.complains("was guarded off, and is there");
    let mut conflict = history();
    conflict.sent[1].retried = Some(Verdict::Conflict {
        stream: "own-2".to_owned(),
        version: 2,
    });
    conflict.complains("met a conflict where nobody else writes");
    let mut allowed = history();
    allowed.sent[2].append.guards.clear();
    allowed.complains("which it allows");
    let mut never = history();
    never.sent[2].retried = None;
    never.complains("never got an answer");
    let mut refused = history();
    refused.sent[1].answer = Err(Error::Refused(sqlx::Error::WorkerCrashed));
    refused.complains("was said not to be recorded, and was");
}

#[test]
fn what_was_stored_although_a_guard_excludes_what_is_between_is_complained_of() {
    let both = ["load.Closed", "load.Written"];
    // Before the append that is guarded are 1 and 2, after its first event another of its own.
    for (tags, types, after, excluded) in [
        (&["shared:1"][..], &both[1..], 0, Some(1)),
        (&["shared:1"], &both[1..], 1, Some(2)),
        (&["shared:1"], &both, 1, Some(2)),
        (&["all:1", "shared:1"], &both, 1, Some(2)),
        (&["shared:1"], &both[1..], 2, None),
        (&["shared:1"], &both[..1], 0, None),
        (&["shared:1", "shared:2"], &both, 0, None),
    ] {
        // Of one that its sender was told of, and of one that it only knows from asking again.
        for is_told in [true, false] {
            let mut history = history();
            let guarded = &mut history.sent[1];
            guarded.append.guards = vec![guard(&["nobody:1"], &both, 0), guard(tags, types, after)];
            if is_told && let Some(Verdict::Known(receipt)) = guarded.retried.take() {
                guarded.answer = Ok(Verdict::Appended(receipt));
            }
            let complaints = history.complaints();
            match excluded {
                None => assert_eq!(complaints, [""; 0]),
                Some(by) => {
                    history.complains(&format!("is at 3, and its guards exclude {by}"));
                }
            }
        }
    }
}

#[test]
fn what_nobody_sent_and_what_is_out_of_order_is_complained_of() {
    let mut unsent = history();
    unsent.sent.remove(0);
    unsent.complains("nobody sent it");
    let mut gap = history();
    gap.log[3].position += 1;
    gap.complains("position 5 where 4 was due");
    let mut version = history();
    version.log[3].version += 1;
    version.complains("has version 3 where 2 was due");
    let mut late = history();
    late.log[0].recorded_at += chrono::TimeDelta::hours(1);
    late.complains("was recorded before its predecessor");
    let history = history();
    let vanished = complaints(
        &history.sent,
        &history.log,
        &history.log[..2],
        history.epoch,
    );
    assert!(
        vanished.iter().any(|it| it.contains("not there as it was")),
        "{vanished:?}"
    );
}

#[tokio::test]
async fn tables_that_disagree_with_the_events_are_complained_of() {
    for (table, spoil) in [
        (
            "streams",
            "update log.streams set version = version + 1 where stream = 'task-1'",
        ),
        ("streams", "delete from log.streams where stream = 'task-1'"),
        (
            "commands",
            "update log.commands set position = position + 1 where stream = 'task-1'",
        ),
        (
            "commands",
            "delete from log.commands where stream = 'task-2'",
        ),
        ("tags", "delete from log.tags where position = 2"),
        (
            "tags",
            "insert into log.tags values ('acme', 'b:2', 'test.Happened', 1)",
        ),
        ("batches", "delete from log.batches where last_position = 2"),
        ("batches", "insert into log.batches values (3, now())"),
    ] {
        let database = database().await;
        let log = open(&database, Service::Command).await;
        appended(log.append(one("task-1")).await.unwrap());
        let tagged = append(
            "task-2",
            Expected::Any,
            vec![event("test.Happened", &["a:1"])],
        );
        appended(log.append(tagged).await.unwrap());
        let mut owner = owner(&database).await;
        assert_eq!(disagreements(&mut owner).await, [""; 0]);
        execute(&mut owner, spoil).await;
        let found = disagreements(&mut owner).await;
        let wanted = format!("log.{table}");
        assert!(
            found.iter().any(|it| it.contains(&wanted)),
            "{spoil}: {found:?}"
        );
    }
}
