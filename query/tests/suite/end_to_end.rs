//! A mutation, the log, the projector, and a read that waits for it: all of it real.

use std::time::Duration;

use foldline_log::{Feed, Log, LogOptions, Service, feed::PostgresFeed};
use foldline_projector::{Projector, ProjectorOptions};
use serde_json::json;
use sqlx::postgres::PgPoolOptions;

use crate::support::{Fixture, fixture};

async fn project(fixture: &Fixture) {
    let log = Log::open(LogOptions {
        url: fixture.database.clone(),
        direct: None,
        service: Service::Projector,
        connections_max: 2,
    })
    .await
    .unwrap();
    let role = fixture
        .database
        .clone()
        .options([("role", "foldline_projector")]);
    let views = PgPoolOptions::new().connect_with(role).await.unwrap();
    let feed = Feed::Postgres(PostgresFeed::unassigned(log.clone()));
    let options = ProjectorOptions {
        direct: fixture.database.clone(),
        moved: fixture.wake.clone(),
        stall_retry: Duration::from_secs(1),
    };
    tokio::spawn(Projector::new(views, feed, log, options).run(fixture.closed.clone()));
}

#[tokio::test]
async fn a_read_with_a_mutations_cursor_sees_what_it_did() {
    let fixture = fixture().await;
    project(&fixture).await;
    for round in 0..20 {
        let name = format!("Garden {round}");
        let created = fixture
            .data(
                "mutation($n: String!) { createProject(input: {name: $n}) { id version cursor } }",
                json!({"n": name}),
            )
            .await["createProject"]
            .clone();
        let read = "query($id: ID!, $c: String) {
            project(id: $id, atLeast: $c) { name version }
            projectDashboard(projectId: $id, atLeast: $c) { total }
        }";
        let seen = fixture
            .data(read, json!({"id": created["id"], "c": created["cursor"]}))
            .await;
        assert_eq!(
            seen,
            json!({"project": {"name": name, "version": created["version"]}, "projectDashboard": {"total": 0}})
        );
    }
}

#[tokio::test]
async fn a_completed_task_is_counted() {
    let fixture = fixture().await;
    project(&fixture).await;
    let create = "mutation { createProject(input: {name: \"Garden\"}) { id } }";
    let project = fixture.data(create, json!({})).await["createProject"]["id"].clone();
    let create = "mutation($p: ID!) { createTask(input: {projectId: $p, title: \"Dig\", priority: LOW, estimatedHours: 2}) { id } }";
    let task = fixture.data(create, json!({"p": project})).await["createTask"]["id"].clone();
    let complete = "mutation($t: ID!) { completeTask(input: {id: $t, actualHours: 3}) { cursor } }";
    let cursor = fixture.data(complete, json!({"t": task})).await["completeTask"]["cursor"].clone();
    let read = "query($p: ID!, $c: String) { projectDashboard(projectId: $p, atLeast: $c) {
        total completed byStatus { completed } estimatedHours actualHours averageEfficiency
    } }";
    assert_eq!(
        fixture.data(read, json!({"p": project, "c": cursor})).await["projectDashboard"],
        json!({"total": 1, "completed": 1, "byStatus": {"completed": 1}, "estimatedHours": 2.0, "actualHours": 3.0, "averageEfficiency": 1.5})
    );
}
