//! With `consistency: SNAPSHOT` all fields of a request show one moment, whatever moves meanwhile.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use foldline_events::{
    Cursor, Event, Hours, partition_of,
    tasks::{
        Priority, ProjectCreated, ProjectEvent, TaskCreated, TaskEstimated, TaskEvent,
        project_stream, task_stream,
    },
};
use foldline_log::{Append, Expected, Log, LogOptions, NewEvent, Service, Verdict, Write};
use foldline_query::Limits;
use serde_json::json;
use uuid::Uuid;

use crate::{
    end_to_end::project,
    story::{Story, id},
    support::{Fixture, fixture_with, new_id, now, sized, tenant},
};

/// How many pairs of tasks hours are moved between.
const PAIRS: u128 = 8;
/// How many hours the tasks of a pair have together.
const HOURS: i64 = 100;
/// How often hours are moved between a pair: some times in `make test`, thousands altogether in `make soak`.
const MOVES: i64 = 60;
const MOVES_SOAK: i64 = 1_000;

/// After so many nothing was seen that should have been.
const MOVES_MAX: i64 = 20_000;
/// So that there is time to read in between.
const MOVES_APART: Duration = Duration::from_millis(20);

/// The task of a pair that lies in the first project, and the one in the second.
fn pair(n: u128) -> [Uuid; 2] {
    [id(0x100 + 2 * n), id(0x101 + 2 * n)]
}

async fn open(fixture: &Fixture) -> Log {
    Log::open(LogOptions {
        url: fixture.database.clone(),
        direct: None,
        service: Service::Command,
        connections_max: 2,
    })
    .await
    .unwrap()
}

fn write(aggregate: Uuid, version: i64, event: Event) -> Write {
    let stream = match &event {
        Event::Project(_) => project_stream(aggregate),
        Event::Task(_) | Event::TaskKey(_) => task_stream(aggregate),
    };
    let new = NewEvent::new(new_id(), now(), event.encode(aggregate));
    Write::to(stream, Expected::Exactly(version - 1), vec![new])
}

async fn append(log: &Log, writes: Vec<Write>) -> Cursor {
    let append = Append::new(tenant("acme"), new_id(), "ada", writes);
    let verdict = log.append(append).await.unwrap();
    let Verdict::Appended(appended) = verdict else {
        panic!("{verdict:?}");
    };
    appended.cursor
}

/// Two projects, and pairs of tasks, one in each.
async fn prepare(log: &Log) -> Cursor {
    for n in 1..=2 {
        let created = ProjectCreated {
            name: format!("project {n}"),
            description: None,
        };
        let event = Event::Project(ProjectEvent::Created(created));
        append(log, vec![write(id(n), 1, event)]).await;
    }
    let mut cursor = None;
    for n in 0..PAIRS {
        let created = |project| {
            Event::Task(TaskEvent::Created(TaskCreated {
                project_id: id(project),
                title: "Dig".to_owned(),
                description: None,
                priority: Priority::Low,
                estimated_hours: Some(Hours::from_hundredths(HOURS * 50)),
                due_date: None,
                key: None,
                metadata: Default::default(),
            }))
        };
        let [one, other] = pair(n);
        let writes = vec![write(one, 1, created(1)), write(other, 1, created(2))];
        cursor = Some(append(log, writes).await);
    }
    cursor.unwrap()
}

/// Moves hours from one task of a pair to the other, in one append of two streams.
async fn move_hours(log: Log, n: u128, moves: i64, is_enough: Arc<AtomicBool>) {
    for version in 2..MOVES_MAX {
        if version > moves && is_enough.load(Ordering::Relaxed) {
            return;
        }
        let of_one = (version * 37 + i64::try_from(n).unwrap()) % HOURS;
        let estimated = |hours: i64| {
            Event::Task(TaskEvent::Estimated(TaskEstimated {
                estimated_hours: Some(Hours::from_hundredths(hours * 100)),
            }))
        };
        let [one, other] = pair(n);
        let writes = vec![
            write(one, version, estimated(of_one)),
            write(other, version, estimated(HOURS - of_one)),
        ];
        append(&log, writes).await;
        tokio::time::sleep(MOVES_APART).await;
    }
}

/// Lets one partition after the other wait, so that what was appended together is folded apart.
async fn hold_up(fixture: &Fixture, has_ended: &AtomicBool) {
    for n in (0..PAIRS).cycle() {
        if has_ended.load(Ordering::Relaxed) {
            return;
        }
        let mut transaction = fixture.owner.begin().await.unwrap();
        // One row of it is enough: the projector moves all of a partition together.
        sqlx::query(
            "select from views.checkpoints where view = 'task_view' and partition = $1 for update",
        )
        .bind(partition_of(&tenant("acme"), &task_stream(pair(n)[0])))
        .execute(&mut *transaction)
        .await
        .unwrap();
        tokio::time::sleep(Duration::from_millis(100)).await;
        transaction.rollback().await.unwrap();
    }
}

const READ: &str = "query($a: ID!, $b: ID!, $c: String, $how: Consistency) {
    one: projectDashboard(projectId: $a, atLeast: $c, consistency: $how) { estimatedHours }
    other: projectDashboard(projectId: $b, atLeast: $c, consistency: $how) { estimatedHours }
    tasks(first: 100, atLeast: $c, consistency: $how) { nodes { estimatedHours project { dashboard { estimatedHours } } } }
}";

/// The hours of both projects by their dashboards, and by their tasks.
async fn sums(fixture: &Fixture, how: &str, cursor: Option<&str>) -> (f64, f64) {
    let asked = json!({"a": id(1), "b": id(2), "c": cursor, "how": how});
    let data = fixture.data(READ, asked).await;
    let hours = |of: &serde_json::Value| of["estimatedHours"].as_f64().unwrap();
    let tasks = data["tasks"]["nodes"].as_array().unwrap();
    (
        hours(&data["one"]) + hours(&data["other"]),
        tasks.iter().map(hours).sum(),
    )
}

#[tokio::test]
async fn hours_that_move_between_projects_are_never_seen_twice_nor_missing() {
    let moves = sized(MOVES, MOVES_SOAK);
    let limits = Limits {
        at_least_wait_ms_max: 60_000,
        ..Limits::default()
    };
    let fixture = fixture_with(limits).await;
    // Two that share the partitions, so that the tasks of a pair are folded apart.
    project(&fixture).await;
    project(&fixture).await;
    let log = open(&fixture).await;
    let prepared = prepare(&log).await.to_string();
    let constant = f64::from(i32::try_from(PAIRS).unwrap() * i32::try_from(HOURS).unwrap());
    assert_eq!(
        sums(&fixture, "SNAPSHOT", Some(&prepared)).await,
        (constant, constant)
    );

    let is_enough = Arc::new(AtomicBool::new(false));
    let moving =
        (0..PAIRS).map(|n| tokio::spawn(move_hours(log.clone(), n, moves, is_enough.clone())));
    let moving: Vec<_> = moving.collect();
    let has_ended = Arc::new(AtomicBool::new(false));
    let reading = async {
        let (mut reads, mut apart) = (0, 0);
        while !has_ended.load(Ordering::Relaxed) {
            let seen = sums(&fixture, "SNAPSHOT", None).await;
            assert_eq!(seen, (constant, constant), "after {reads} reads");
            reads += 1;
            apart += usize::from(sums(&fixture, "LATEST", None).await != (constant, constant));
            is_enough.store(reads > 10 && apart > 0, Ordering::Relaxed);
        }
        (reads, apart)
    };
    let holding_up = hold_up(&fixture, &has_ended);
    let ended = async {
        for one in moving {
            one.await.unwrap();
        }
        has_ended.store(true, Ordering::Relaxed);
    };
    let ((reads, apart), (), ()) = tokio::join!(reading, ended, holding_up);
    assert!(reads > 10, "{reads} reads were too few to see anything");
    assert!(apart > 0, "nothing moved between two reads, of {reads}");
}

#[tokio::test]
async fn a_snapshot_says_its_position_and_holds_what_its_cursor_stands_for() {
    let mut story = Story::seeded(&[("acme", 9)]);
    let limits = Limits {
        at_least_wait_ms_max: 1_000,
        ..Limits::default()
    };
    let fixture = fixture_with(limits).await;
    story.fold(&fixture).await;
    let last = story.events.last().unwrap();
    let read = "query($c: String) { tasks(atLeast: $c, consistency: SNAPSHOT) { totalCount } }";
    let cursor = Cursor {
        epoch: crate::support::EPOCH,
        position: last.position,
        partition: Some(last.partition),
    };
    let answer = fixture.ask(read, json!({"c": cursor.to_string()})).await;
    let said = &answer["extensions"]["foldline"]["snapshot"];
    assert_eq!(said, &json!(last.position.to_string()));

    // One partition of one view is behind: so is everything that a snapshot shows.
    fixture.fold("task_view", 3, 5).await;
    let seen = async {
        loop {
            let answer = fixture.ask(read, json!({})).await;
            if answer["extensions"]["foldline"]["snapshot"] == "5" {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let answer = tokio::time::timeout(Duration::from_secs(30), seen)
        .await
        .expect("it is seen that a partition is behind");
    // And a cursor of another partition, which has come so far, is waited for in vain.
    let other = Cursor {
        partition: Some(4),
        ..cursor
    };
    let code = fixture.code(read, json!({"c": other.to_string()})).await;
    assert_eq!(code, "AT_LEAST_TIMEOUT");
    let present = fixture.data("{ projects { totalCount } }", json!({})).await;
    assert_eq!(present["projects"]["totalCount"], 5);
    assert_eq!(answer["data"]["tasks"]["totalCount"], 0, "{answer:#}");
}
