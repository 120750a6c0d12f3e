//! Nobody sees another tenant's rows, even if a statement forgets its filter.

use foldline_gate::Role;
use foldline_query::{Commands, Limits, QueryOptions, QueryState, Wakes, as_reader};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::support::{Fixture, fixture, gate, token};

const TABLES: [&str; 3] = ["project_view", "task_view", "project_dashboard"];

async fn two_tenants() -> Fixture {
    let fixture = fixture().await;
    for (n, tenant) in [(1, "acme"), (2, "globex")] {
        let project = Uuid::from_u128(n);
        fixture.project(tenant, project, tenant, 10, 1).await;
        fixture
            .task(tenant, Uuid::from_u128(n + 10), project, 10, 1)
            .await;
        fixture.dashboard(tenant, project, 0, 1).await;
    }
    fixture
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
    let fixture = two_tenants().await;
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
    let fixture = two_tenants().await;
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
    let fixture = two_tenants().await;
    let query = "query($project: ID!, $task: ID!) {
        project(id: $project) { name } task(id: $task) { title } projectDashboard(projectId: $project) { total }
        projects { totalCount nodes { name } } tasks(projectId: $project) { totalCount }
    }";
    let variables = json!({"project": Uuid::from_u128(2), "task": Uuid::from_u128(12)});
    assert_eq!(
        fixture.data(query, variables.clone()).await,
        json!({
            "project": null, "task": null, "projectDashboard": null,
            "projects": {"totalCount": 1, "nodes": [{"name": "acme"}]}, "tasks": {"totalCount": 0}
        })
    );
    let theirs = fixture.ask_as(&token("globex"), query, variables).await;
    assert_eq!(theirs["data"]["project"], json!({"name": "globex"}));
    assert_ne!(theirs["data"]["projectDashboard"], Value::Null);
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
