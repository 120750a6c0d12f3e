//! Nobody sees another tenant's rows, even if a statement forgets its filter.

use foldline_events::tasks::{
    Metadata, Priority, TaskAssigned, TaskCreated, TaskEvent, TaskLabelAdded,
};
use foldline_gate::Role;
use foldline_query::{Commands, Limits, QueryOptions, QueryState, Wakes, as_reader};
use serde_json::json;
use sqlx::{Connection, PgConnection};

use crate::{
    story::{Story, day, id},
    support::{Fixture, fixture, gate, token},
};

const TABLES: [&str; 9] = [
    "project_view",
    "task_view",
    "task_comment",
    "task_mark",
    "task_history",
    "project_dashboard",
    "project_dashboard_day",
    "assignee_dashboard",
    "assignee_dashboard_day",
];

/// Their projects have the same ids, their tasks have not.
async fn two_tenants() -> (Fixture, Story) {
    let fixture = fixture().await;
    let mut story = Story::seeded(&[("acme", 20), ("globex", 30)]);
    story.fold(&fixture).await;
    (fixture, story)
}

async fn tenants_seen(reader: &mut PgConnection, table: &str) -> Vec<String> {
    // Without any filter: what is left out is left out by the policy.
    sqlx::query_scalar(sqlx::AssertSqlSafe(format!(
        "select distinct tenant from views.{table}"
    )))
    .fetch_all(reader)
    .await
    .unwrap()
}

#[tokio::test]
async fn a_statement_without_a_filter_sees_its_own_tenant_alone() {
    let (fixture, _) = two_tenants().await;
    let mut reader = PgConnection::connect_with(&as_reader(fixture.database.clone()))
        .await
        .unwrap();
    for table in TABLES {
        let mut transaction = reader.begin().await.unwrap();
        sqlx::query("select set_config('foldline.tenant', 'globex', true)")
            .execute(&mut *transaction)
            .await
            .unwrap();
        assert_eq!(
            tenants_seen(&mut transaction, table).await,
            ["globex"],
            "{table}"
        );
        transaction.rollback().await.unwrap();
    }
}

#[tokio::test]
async fn a_statement_without_a_tenant_sees_nothing() {
    let (fixture, _) = two_tenants().await;
    let mut reader = PgConnection::connect_with(&as_reader(fixture.database.clone()))
        .await
        .unwrap();
    for table in TABLES {
        assert_eq!(
            tenants_seen(&mut reader, table).await,
            Vec::<String>::new(),
            "{table}"
        );
    }
}

#[tokio::test]
async fn no_query_reaches_across_tenants() {
    let (fixture, mut story) = two_tenants().await;
    // A project, a person and a key that only they have.
    let (project, person, task) = (id(77), id(78), id(79));
    story.project("globex", project);
    let created = TaskCreated {
        project_id: project,
        title: "theirs".to_owned(),
        description: None,
        priority: Priority::Low,
        estimated_hours: None,
        due_date: Some(day("2026-01-01")),
        key: Some("THEIRS-1".to_owned()),
        metadata: Metadata::new(),
    };
    let assigned = TaskAssigned {
        assignee_id: person,
    };
    let label = "theirs".to_owned();
    for event in [
        TaskEvent::Created(created),
        TaskEvent::Assigned(assigned),
        TaskEvent::LabelAdded(TaskLabelAdded { label }),
    ] {
        story.task("globex", task, event);
    }
    story.fold(&fixture).await;
    let query = "query($project: ID!, $task: ID!, $person: UUID!) {
        project(id: $project) { name } task(id: $task) { title } byKey: task(key: \"THEIRS-1\") { title }
        ofProject: tasks(filter: {projectId: $project}) { totalCount }
        ofPerson: tasks(filter: {assigneeId: $person}) { totalCount }
        labelled: tasks(filter: {labels: [\"theirs\"]}) { totalCount nodes { title } }
        taskHistory(id: $task) { totalCount nodes { summary } }
        projectDashboard(projectId: $project) { total }
        assigneeDashboard(assigneeId: $person) { total overdue dueDays(from: \"2026-01-01\", to: \"2026-01-01\") { tasks } }
    }";
    let variables = json!({"project": project, "task": task, "person": person});
    let empty = json!({"totalCount": 0});
    let nothing = json!({"totalCount": 0, "nodes": []});
    assert_eq!(
        fixture.data(query, variables.clone()).await,
        json!({
            "project": null, "task": null, "byKey": null, "ofProject": empty, "ofPerson": empty, "labelled": nothing,
            "taskHistory": nothing, "projectDashboard": null,
            "assigneeDashboard": {"total": 0, "overdue": 0, "dueDays": [{"tasks": 0}]}
        })
    );
    let theirs = fixture.ask_as(&token("globex"), query, variables).await["data"].clone();
    let one = json!({"totalCount": 1});
    assert_eq!(theirs["byKey"], json!({"title": "theirs"}));
    assert_eq!((&theirs["ofProject"], &theirs["ofPerson"]), (&one, &one));
    assert_eq!(theirs["labelled"]["totalCount"], 1);
    assert_eq!(theirs["taskHistory"]["totalCount"], 3);
    assert_eq!(theirs["projectDashboard"], json!({"total": 1}));
    let sums = json!({"total": 1, "overdue": 1, "dueDays": [{"tasks": 1}]});
    assert_eq!(theirs["assigneeDashboard"], sums);
}

#[tokio::test]
async fn each_tenant_lists_its_own_tasks_alone() {
    let (fixture, story) = two_tenants().await;
    let query = "{ tasks(first: 100) { totalCount } bin: tasks(filter: {deleted: true}) { totalCount } projects { totalCount } }";
    for of in ["acme", "globex"] {
        let seen = fixture.ask_as(&token(of), query, json!({})).await["data"].clone();
        let (bin, tasks): (Vec<_>, Vec<_>) =
            story.of(of).into_iter().partition(|task| task.deleted);
        assert_eq!(seen["tasks"]["totalCount"], tasks.len());
        assert_eq!(seen["bin"]["totalCount"], bin.len());
        assert_eq!(seen["projects"]["totalCount"], 5);
    }
}

#[tokio::test]
async fn a_viewer_reads_and_may_not_write() {
    let fixture = fixture().await;
    let viewer = crate::support::token_for("acme", Role::Viewer, chrono::TimeDelta::hours(1));
    let answer = fixture
        .ask_as(
            &viewer,
            "mutation { createProject(input: {name: \"x\"}) { version } }",
            json!({}),
        )
        .await;
    assert_eq!(
        answer["errors"][0]["extensions"]["code"], "FORBIDDEN",
        "{answer:#}"
    );
}

#[tokio::test]
async fn the_service_refuses_to_read_as_somebody_whom_the_policies_do_not_bind() {
    let fixture = fixture().await;
    let opened = QueryState::open(QueryOptions {
        views: fixture.owner.clone(),
        wakes: Wakes::Listen(fixture.database.clone()),
        gate: gate(),
        commands: Commands::InProcess(fixture.handler.clone()),
        limits: Limits::default(),
        closed: fixture.closed.clone(),
    })
    .await;
    assert!(opened.is_err_and(|error| error.to_string().contains("row-level security")));
}
