//! A read with the cursor of a write sees what was written, at once and every time; or it says that it waited in vain.

use futures_util::future::join_all;
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    client::{Client, new_id},
    processes::{Role, Stack, Up, is_soak},
};

/// How many clients write and read at the same time.
const CLIENTS: usize = 8;

const READ: &str = "query($task: ID!, $project: ID!, $c: String) {
    task(id: $task, atLeast: $c) { title }
    projectDashboard(projectId: $project, atLeast: $c) { total } }";

fn writes() -> usize {
    if is_soak() { 10_000 } else { 240 }
}

async fn create_task(client: &Client, project: &Value, title: &str) -> Value {
    let task = json!({"projectId": project, "title": title, "priority": "low"});
    client.accepted("/tasks", &task).await
}

/// Writes a task and reads it at once, again and again, in a project of its own.
async fn reads_what_it_writes(client: &Client, times: usize) {
    let created = json!({"id": new_id(), "name": "Mine"});
    let project = client.accepted("/projects", &created).await["id"].clone();
    for number in 1..=times {
        let title = format!("No. {number}");
        let created = create_task(client, &project, &title).await;
        let variables = json!({"task": created["id"], "project": project, "c": created["cursor"]});
        let read = client.ask(READ, variables).await;
        assert_eq!(read["task"]["title"], json!(title));
        assert_eq!(read["projectDashboard"]["total"], json!(number));
    }
}

async fn all_read_what_they_write(client: &Client) {
    let clients = (0..CLIENTS).map(|_| reads_what_it_writes(client, writes() / CLIENTS));
    join_all(clients).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_reads_it_at_once_by_the_feed_from_postgres() {
    let folder = foldline_local::temporary_folder().unwrap();
    let up = Up::start(folder.path(), None).await;
    all_read_what_they_write(&up.client).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_writes_reads_it_at_once_by_the_feed_from_kafka_and_with_no_projector_is_told_so() {
    let stack = Stack::started().await;
    let client = stack.client().await;
    all_read_what_they_write(&client).await;

    let created = json!({"id": new_id(), "name": "Mine"});
    let project = client.accepted("/projects", &created).await["id"].clone();
    stack.signal(Role::Projector, Signal::SIGSTOP);
    let created = create_task(&client, &project, "unseen").await;
    let variables = json!({"task": created["id"], "project": project, "c": created["cursor"]});
    let answer = client.answer(READ, variables.clone()).await;
    let errors = answer["errors"].as_array().unwrap();
    assert!(!errors.is_empty());
    for error in errors {
        assert_eq!(error["extensions"]["code"], "AT_LEAST_TIMEOUT", "{answer}");
    }
    assert_eq!(answer["data"]["task"], json!(null));
    stack.signal(Role::Projector, Signal::SIGCONT);
    let read = client.ask(READ, variables).await;
    assert_eq!(read["task"]["title"], "unseen");
}
