//! As of a past position a command does what it did there.

use std::time::Duration;

use foldline_command::{Verdict, WhatIfVerdict};
use foldline_events::Position;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use super::{as_of, did, head, id_of, item, sent, would};
use crate::service::{Service, database, done, recorded, task};

/// How many commands a history has.
const COMMANDS: usize = 400;
/// How long a snapshot may take until it is written, at the very most.
const PATIENCE: Duration = Duration::from_secs(60);

/// Random numbers, always the same ones: xorshift, by Marsaglia.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len())]
    }
}

/// Any command on one of few tasks and projects, so that many are rejected and keys go from hand to hand.
fn any(dice: &mut Dice) -> Value {
    let project = Uuid::from_u128(dice.of(&[1, 2]));
    let task = Uuid::from_u128(dice.of(&[11, 12, 13]));
    let step = Uuid::from_u128(dice.of(&[21, 22]));
    let key = dice.of(&[Some("A"), Some("B"), None]);
    let title = dice.of(&["Land", "Land there"]);
    let (aggregate, command_type, data) = match dice.below(20) {
        0 => (project, "tasks.create_project", json!({"name": "Moon"})),
        1 => (project, "tasks.rename_project", json!({ "name": title })),
        2 => (project, "tasks.archive_project", json!({})),
        3 => (project, "tasks.restore_project", json!({})),
        4 | 5 => (
            task,
            "tasks.create_task",
            json!({"projectId": project, "title": title, "priority": "high", "key": key}),
        ),
        6 => (task, "tasks.move_task", json!({ "projectId": project })),
        7..=9 => (task, "tasks.set_key", json!({ "key": key })),
        10 => (
            task,
            "tasks.add_step",
            json!({"stepId": step, "content": "burn"}),
        ),
        11 => (task, "tasks.complete_step", json!({ "stepId": step })),
        12 => (task, "tasks.complete_task", json!({})),
        13 | 14 => (task, "tasks.reopen_task", json!({"reason": "A leg broke"})),
        15 => (task, "tasks.delete_task", json!({})),
        16..=18 => (task, "tasks.restore_task", json!({})),
        _ => (task, "tasks.rename_task", json!({ "title": title })),
    };
    item(aggregate, command_type, &data)
}

#[tokio::test]
async fn as_of_just_before_it_every_command_of_a_history_does_what_it_did_then() {
    let database = database().await;
    let service = Service::over(&database).await;
    let mut dice = Dice(0x5eed_f01d);
    let mut history = Vec::new();
    for _ in 0..COMMANDS {
        let item = any(&mut dice);
        let before = head(&service.log).await;
        let verdict = sent(&service, &item).await;
        history.push((item, before, verdict));
    }
    let events = recorded(&service.log).await;
    // One that has folded everything, and one that has folded nothing.
    let cold = Service::over(&database).await;
    let (mut recorded, mut keys, mut rejected) = (0, 0, 0);
    for (item, before, verdict) in &history {
        let did = did(&events, id_of(item));
        for service in [&service, &cold] {
            let answer = as_of(service, item, *before).await;
            assert_eq!(would(&answer), did, "{item} as of {before}");
            let expected = match verdict {
                Verdict::Accepted(_) if did.is_empty() => WhatIfVerdict::Unchanged,
                Verdict::Accepted(_) => WhatIfVerdict::Recorded,
                Verdict::Rejected { .. } => WhatIfVerdict::Rejected,
                Verdict::Known(_) => panic!("every id is new"),
            };
            assert_eq!(answer.verdict, expected, "{item} as of {before}");
            if let Verdict::Rejected { problem, .. } = verdict {
                assert_eq!(answer.problem.as_ref(), Some(problem));
            }
        }
        recorded += usize::from(!did.is_empty());
        keys += usize::from(did.len() > 2);
        rejected += usize::from(matches!(verdict, Verdict::Rejected { .. }));
    }
    // It is no history of one kind of thing: also of keys that were given back and taken at once.
    assert!(
        recorded > 50 && rejected > 50 && keys > 0,
        "{recorded} {rejected} {keys}"
    );
}

/// Longer than a page, and with a snapshot that is younger than most of the moments asked about.
#[tokio::test]
async fn a_long_stream_is_as_it_was_at_any_position_whatever_is_kept_of_it() {
    const RENAMINGS: Position = 530;
    let database = database().await;
    let service = Service::over(&database).await;
    let task = task(&service.handler).await;
    for n in 1..=RENAMINGS {
        let data = format!(r#"{{"title":"title {n}"}}"#);
        done(&service.handler, task, "tasks.rename_task", &data)
            .await
            .unwrap();
    }
    let mut owner = PgConnection::connect(&database.url).await.unwrap();
    let waiting = async {
        let kept = "select count(*) from log.snapshots";
        while sqlx::query_scalar::<_, i64>(kept)
            .fetch_one(&mut owner)
            .await
            .unwrap()
            == 0
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    let cold = Service::over(&database).await;
    // The project's creation, the task's, then the renamings.
    for position in [3, 101, 499, 500, 501, 502, 503, 520, RENAMINGS + 2] {
        for service in [&service, &cold] {
            let title = format!("title {}", position - 2);
            let mut same = item(task, "tasks.rename_task", &json!({ "title": title }));
            same["expectedVersion"] = json!(position - 1);
            let answer = as_of(service, &same, position).await;
            assert_eq!(answer.verdict, WhatIfVerdict::Unchanged, "{answer:?}");
            let other = item(task, "tasks.rename_task", &json!({"title": "Land"}));
            let answer = as_of(service, &other, position).await;
            assert_eq!(answer.events[0].version, position);
        }
    }
}
