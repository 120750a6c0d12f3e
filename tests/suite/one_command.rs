//! The main thread of the product, end to end: a project is created over HTTP, seen at once through GraphQL, renamed,
//! and followed by a subscription. In one process with a Postgres of its own, and in four with Kafka in the middle.

use std::fs;

use foldline_schema::testing::TestDatabase;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::{
    client::Client,
    processes::{Process, Role, Stack, Up, foldline, setting, until},
    stored,
};

const PROJECT: &str = "query ($id: ID!, $atLeast: String) {
    project(id: $id, atLeast: $atLeast) { name version }
}";
const FOLLOWED: &str = "subscription ($id: ID!, $atLeast: String) {
    projectChanged(id: $id, atLeast: $atLeast) { name version }
}";

/// Creates a project, reads it, follows it and renames it; returns its id.
async fn create_read_follow_rename(client: &Client) -> String {
    let created = client
        .accepted("/projects", &json!({"name": "Before"}))
        .await;
    let id = created["id"].as_str().unwrap().to_owned();
    let variables = json!({"id": id, "atLeast": created["cursor"]});
    let seen = client.ask(PROJECT, variables.clone()).await;
    assert_eq!(
        seen["project"],
        json!({"name": "Before", "version": created["version"].to_string()})
    );

    let mut followed = client.follow(FOLLOWED, variables).await;
    assert_eq!(followed.next().await["projectChanged"]["name"], "Before");
    let renamed = client
        .accepted(&format!("/projects/{id}/rename"), &json!({"name": "After"}))
        .await;
    assert_eq!(followed.next().await["projectChanged"]["name"], "After");
    let variables = json!({"id": id, "atLeast": renamed["cursor"]});
    assert_eq!(
        client.ask(PROJECT, variables).await["project"]["name"],
        "After"
    );
    id
}

async fn name_of(client: &Client, id: &str) -> Value {
    let seen = client.ask(PROJECT, json!({"id": id})).await;
    seen["project"]["name"].clone()
}

#[tokio::test]
async fn one_command_starts_everything_and_keeps_the_data_through_ctrl_c_and_kill() {
    let folder = foldline_local::temporary_folder().unwrap();
    let mut up = Up::start(folder.path(), None).await;
    let sample = up
        .client
        .ask("{ projects { nodes { name } } }", json!({}))
        .await;
    assert_eq!(
        sample["projects"]["nodes"],
        json!([{"name": "Sample project"}])
    );
    let id = create_read_follow_rename(&up.client).await;

    up.process.signal(Signal::SIGINT);
    assert_eq!(up.process.ended().await.code(), Some(0));
    let mut up = Up::start(folder.path(), None).await;
    assert_eq!(name_of(&up.client, &id).await, "After");

    up.process.signal(Signal::SIGKILL);
    up.process.ended().await;
    // Dropping it would stop the Postgres that it left running; the next start has to deal with that.
    std::mem::forget(up);
    let up = Up::start(folder.path(), None).await;
    assert_eq!(name_of(&up.client, &id).await, "After");
    let projects = up
        .client
        .ask("{ projects { totalCount } }", json!({}))
        .await;
    assert_eq!(
        projects["projects"]["totalCount"], 2,
        "the sample is made once"
    );
}

#[tokio::test]
async fn a_killed_postgres_is_started_again() {
    let folder = foldline_local::temporary_folder().unwrap();
    let up = Up::start(folder.path(), None).await;
    let killed = up.postgres().unwrap();
    kill(killed, Signal::SIGKILL).unwrap();
    until("another Postgres", async || {
        up.postgres().filter(|running| *running != killed)
    })
    .await;
    until("commands to be taken again", async || {
        let body = json!({"name": "After"});
        up.client
            .try_post("/projects", &body)
            .await
            .filter(|(status, _)| *status == 201)
    })
    .await;
}

#[tokio::test]
async fn two_may_run_side_by_side() {
    let folders = [
        foldline_local::temporary_folder().unwrap(),
        foldline_local::temporary_folder().unwrap(),
    ];
    let one = Up::start(folders[0].path(), None).await;
    let other = Up::start(folders[1].path(), None).await;
    let id = create_read_follow_rename(&one.client).await;
    assert_eq!(name_of(&other.client, &id).await, Value::Null);
    create_read_follow_rename(&other.client).await;
}

#[tokio::test]
async fn four_processes_with_kafka_in_the_middle_do_the_same() {
    let stack = Stack::started().await;
    let client = stack.client().await;
    let id = create_read_follow_rename(&client).await;
    let records = stored::records(&stack.topic).await;
    let keys: Vec<&str> = records.iter().map(|record| record.key.as_str()).collect();
    let key = format!("acme/project-{id}");
    assert_eq!(
        keys,
        [key.as_str(), key.as_str()],
        "what was seen came through Kafka"
    );
}

#[tokio::test]
async fn every_connection_says_whose_it_is() {
    let mut stack = Stack::started().await;
    stack.start(Role::Worker).await;
    let names: Vec<String> = sqlx::query_scalar(
        "select distinct application_name
         from pg_stat_activity
         where datname = current_database()
             and backend_type = 'client backend'
             and pid <> pg_backend_pid()
         order by application_name",
    )
    .fetch_all(&mut stored::connect(&stack.database.url).await)
    .await
    .unwrap();
    let roles = ["command", "projector", "query", "relay", "worker"];
    assert_eq!(names, roles.map(|role| format!("foldline {role}")));
}

#[tokio::test]
async fn killing_whoever_started_the_roles_ends_them_too() {
    let database = TestDatabase::empty().await;
    let folder = foldline_local::temporary_folder().unwrap();
    let mut command = foldline();
    command
        .args(["up-kafka", "--json", "--port", "0", "--data"])
        .arg(folder.path().join("data"))
        .env("DATABASE_URL", &database.url)
        .env("KAFKA_BROKERS", setting("KAFKA_BROKERS"));
    let mut process = Process::start(command, folder.path());
    process.ready_line().await;
    let roles = process.children();
    assert_eq!(roles.len(), 5);

    process.signal(Signal::SIGKILL);
    process.ended().await;
    until("the roles to end", async || {
        let is_gone = |role: &Pid| !fs::exists(format!("/proc/{role}")).unwrap();
        roles.iter().all(is_gone).then_some(())
    })
    .await;
}
