//! A mutation, the log, the projector, and a read that waits for it: all of it real.

use std::time::Duration;

use foldline_events::Cursor;
use foldline_log::{Feed, Log, LogOptions, Service, feed::PostgresFeed};
use foldline_projector::{Projector, ProjectorOptions, Retention};
use foldline_query::Limits;
use serde_json::json;
use sqlx::postgres::PgPoolOptions;

use crate::support::{Fixture, VIEWS, fixture, fixture_with};

/// A projector of its own, as in another process: several share the partitions.
pub async fn project(fixture: &Fixture) {
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
        long_log_events: ProjectorOptions::LONG_LOG_EVENTS,
        retention: Retention::new(),
        retention_interval: ProjectorOptions::RETENTION_INTERVAL,
        proof_pause: None,
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

#[tokio::test]
async fn a_cursor_of_what_the_log_does_not_hold_is_told_so() {
    let limits = Limits {
        at_least_wait_ms_max: 3_000,
        ..Limits::default()
    };
    let fixture = fixture_with(limits).await;
    project(&fixture).await;
    let create = "mutation { createProject(input: {name: \"Garden\"}) { cursor } }";
    let created = fixture.data(create, json!({})).await["createProject"]["cursor"].clone();
    let mut made_up: Cursor = created.as_str().unwrap().parse().unwrap();
    made_up.position = 99;
    let read = "query($c: String) { projects(atLeast: $c) { totalCount } }";
    let seen = fixture.data(read, json!({"c": created})).await;
    assert_eq!(seen["projects"]["totalCount"], 1);
    let code = fixture.code(read, json!({"c": made_up.to_string()})).await;
    assert_eq!(code, "CURSOR_BEYOND_HEAD");
}

const PROJECTION: &str = "{ projection { epoch head completedPrefix views {
    name version completedPrefix lagEvents lagSeconds
    partitions { partition position movedAt lagEvents lagSeconds stalled { since reason position } } } } }";

#[tokio::test]
async fn a_reader_learns_how_far_every_partition_of_every_view_is_and_when_nobody_folds_it() {
    let fixture = fixture().await;
    let nobody = fixture.data(PROJECTION, json!({})).await["projection"].clone();
    assert_eq!(nobody["head"], json!(null), "nothing was folded yet");
    assert_eq!(nobody["completedPrefix"], "0");

    project(&fixture).await;
    let create = "mutation { createProject(input: {name: \"Garden\"}) { cursor } }";
    fixture.data(create, json!({})).await;
    let folded = async {
        loop {
            let said = fixture.data(PROJECTION, json!({})).await["projection"].clone();
            // The head is told before the lags are.
            let views = said["views"].as_array().unwrap();
            let is_told = views.iter().all(|view| view["lagEvents"] == json!(0));
            if said["head"] == "1" && said["completedPrefix"] == "1" && is_told {
                return said;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let said = tokio::time::timeout(Duration::from_secs(30), folded)
        .await
        .unwrap();
    let views = said["views"].as_array().unwrap();
    assert_eq!(views.len(), VIEWS.len());
    for view in views {
        assert_eq!(
            (&view["lagEvents"], &view["lagSeconds"]),
            (&json!(0), &json!(0.0))
        );
        assert_eq!(view["partitions"].as_array().unwrap().len(), 32);
        assert_eq!(view["partitions"][31]["stalled"], json!(null));
    }

    for plant in [
        "update views.lag set events = 7, seconds = 90, stalled_since = now(), stalled_at = 41
         where view = 'task_view' and partition = 3",
        "update views.lag set told_at = now() - interval '2 minutes'
         where view = 'project_view' and partition = 4",
        "update views.lag set stalled_since = now(), stalled_reason = 'failing'
         where view = 'task_view' and partition = 5",
    ] {
        sqlx::query(plant).execute(&fixture.owner).await.unwrap();
    }
    let said = fixture.data(PROJECTION, json!({})).await["projection"].clone();
    let view = |name: &str| {
        let views = said["views"].as_array().unwrap();
        views
            .iter()
            .find(|view| view["name"] == name)
            .unwrap()
            .clone()
    };
    let tasks = view("task_view");
    assert_eq!(
        (&tasks["lagEvents"], &tasks["lagSeconds"]),
        (&json!(7), &json!(90.0))
    );
    let stalled = &tasks["partitions"][3]["stalled"];
    assert_eq!(stalled["reason"], "TOO_MANY_PARKED");
    assert_eq!(stalled["position"], "41");
    let failing = &tasks["partitions"][5]["stalled"];
    assert_eq!(failing["reason"], "FAILING");
    // Told too long ago: that partition is nobody's any more.
    let projects = view("project_view");
    assert_eq!(projects["lagEvents"], json!(null));
    assert_eq!(projects["partitions"][4]["lagEvents"], json!(null));
}
