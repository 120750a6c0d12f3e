//! The worker as a process that dies again and again: every event is answered once, whatever became of whoever answered it.

use std::{collections::BTreeMap, time::Duration};

use chrono::{Days, Utc};
use serde_json::json;
use uuid::Uuid;

use crate::{
    client::{Client, new_id},
    faults::aborted_and_started_again,
    processes::{Role, Stack, finished, foldline, is_soak, until},
    stored,
};

/// Where a worker can be told to abort, and how often it gets past before: what it finds in the log it orders together.
const POINTS: [(&str, u32); 4] = [
    ("worker_before_orders", 0),
    ("worker_after_orders", 0),
    ("worker_before_done", 2),
    ("command_after_append", 1),
];

#[expect(clippy::disallowed_methods, reason = "a test is an edge")]
fn yesterday() -> String {
    (Utc::now().date_naive() - Days::new(1)).to_string()
}

/// A task that was due yesterday, all of whose steps are done.
async fn late_task(client: &Client, project: Uuid) -> Uuid {
    let (task, step) = (new_id(), new_id());
    let item = |kind: &str, data: serde_json::Value| json!({"id": new_id(), "type": format!("tasks.{kind}"), "aggregate": task, "data": data});
    let commands = json!([
        item(
            "create_task",
            json!({"projectId": project, "title": "T", "priority": "low", "dueDate": yesterday()})
        ),
        item("add_step", json!({"stepId": step, "content": "burn"})),
        item("complete_step", json!({"stepId": step})),
    ]);
    let verdicts = client.accepted("/commands", &commands).await;
    assert_eq!(verdicts["accepted"], 3, "{verdicts}");
    task
}

/// How often each type of event stands in each task's stream.
async fn said(url: &str, event_type: &str) -> BTreeMap<String, usize> {
    let streams: Vec<String> =
        sqlx::query_scalar("select stream from log.events where type = $1 order by position")
            .bind(event_type)
            .fetch_all(&mut stored::connect(url).await)
            .await
            .unwrap();
    let mut counted = BTreeMap::new();
    for stream in streams {
        *counted.entry(stream).or_default() += 1;
    }
    counted
}

#[tokio::test]
async fn a_worker_killed_again_and_again_answers_everything_once() {
    let rounds = if is_soak() { 10 } else { 1 } * POINTS.len();
    let mut stack = Stack::started().await;
    stack.start(Role::Worker).await;
    let client = stack.client().await;
    let url = stack.database.url.clone();
    let project = new_id();
    let created = json!({"id": project, "name": "Moon"});
    client.accepted("/projects", &created).await;
    let mut wanted = BTreeMap::new();
    for round in 0..rounds {
        let (point, passes) = POINTS[round % POINTS.len()];
        stack.kill(Role::Worker).await;
        stack
            .start_with(Role::Worker, &format!("{point}={passes}*off->return"))
            .await;
        for _ in 0..5 {
            let task = late_task(&client, project).await;
            wanted.insert(format!("task-{task}"), 1);
        }
        aborted_and_started_again(&mut stack, &[(Role::Worker, point)]).await;
    }
    for event_type in ["tasks.TaskDueDayPassed", "tasks.TaskCompletionSuggested"] {
        until("every task to be answered", async || {
            (said(&url, event_type).await.len() == wanted.len()).then_some(())
        })
        .await;
    }
    // What was begun by one that died is begun again, and does nothing.
    until("no job to be left", async || {
        let mut list = foldline();
        list.args(["jobs", "list", "--json"])
            .env("DATABASE_URL", &url);
        let (status, jobs) = finished(list).await;
        assert!(status.success(), "{jobs}");
        jobs.is_empty().then_some(())
    })
    .await;
    for event_type in ["tasks.TaskDueDayPassed", "tasks.TaskCompletionSuggested"] {
        assert_eq!(said(&url, event_type).await, wanted, "{event_type}");
    }
    stack.stop(Role::Worker).await;
}

/// A stopped leader's session ends after 20 s of silence, and another leads.
#[tokio::test]
async fn a_worker_that_stands_still_leaves_the_lead_to_another() {
    let mut stack = Stack::started().await;
    stack.start(Role::Worker).await;
    let client = stack.client().await;
    let url = stack.database.url.clone();
    let project = new_id();
    let created = json!({"id": project, "name": "Moon"});
    client.accepted("/projects", &created).await;
    late_task(&client, project).await;
    until("the first to lead", async || {
        (said(&url, "tasks.TaskDueDayPassed").await.len() == 1).then_some(())
    })
    .await;
    let other = stack.start_another(Role::Worker).await;
    stack.signal(Role::Worker, nix::sys::signal::Signal::SIGSTOP);
    late_task(&client, project).await;
    until("the other to lead", async || {
        (said(&url, "tasks.TaskDueDayPassed").await.len() == 2).then_some(())
    })
    .await;
    stack.signal(Role::Worker, nix::sys::signal::Signal::SIGCONT);
    late_task(&client, project).await;
    until("one of them to lead", async || {
        (said(&url, "tasks.TaskDueDayPassed").await.len() == 3).then_some(())
    })
    .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    for event_type in ["tasks.TaskDueDayPassed", "tasks.TaskCompletionSuggested"] {
        let said = said(&url, event_type).await;
        assert!(said.values().all(|times| *times == 1), "{said:?}");
    }
    stack.stop(Role::Worker).await;
    drop(other);
}
