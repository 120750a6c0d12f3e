//! Mutations, handled in this process and by another service.

use chrono::TimeDelta;
use foldline_gate::Role;
use foldline_query::{Commands, Limits, QueryOptions, QueryState, Wakes, as_reader, router};
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::support::{Fixture, fixture, gate, serve, token_for};

/// A query service of its own role, which forwards commands to `server`.
async fn forwarding(fixture: &Fixture, server: &str) -> String {
    let state = QueryState::open(QueryOptions {
        views: PgPoolOptions::new()
            .connect_with(as_reader(fixture.database.clone()))
            .await
            .unwrap(),
        wakes: Wakes::Listen(fixture.database.clone()),
        gate: gate(),
        commands: Commands::Http {
            client: reqwest::Client::new(),
            server: server.to_owned(),
        },
        limits: Limits::default(),
        closed: fixture.closed.clone(),
    })
    .await
    .unwrap();
    serve(router(state)).await
}

async fn ask(address: &str, query: &str, variables: Value) -> Value {
    let request = reqwest::Client::new()
        .post(format!("http://{address}/graphql"))
        .bearer_auth(token_for("acme", Role::Admin, TimeDelta::hours(1)));
    let sent = request
        .json(&json!({"query": query, "variables": variables}))
        .send()
        .await
        .unwrap();
    sent.json().await.unwrap()
}

/// Both ways of a command: the address of each.
async fn both(fixture: &Fixture) -> [String; 2] {
    let server = serve(foldline_command::router(fixture.handler.clone(), gate())).await;
    [
        fixture.address.clone(),
        forwarding(fixture, &format!("http://{server}")).await,
    ]
}

#[tokio::test]
async fn all_twelve_commands_go_through() {
    let fixture = fixture().await;
    for address in both(&fixture).await {
        let send = async |field: &str, kind: &str, input: Value| {
            let query = format!(
                "mutation($input: {kind}!) {{ sent: {field}(input: $input) {{ id version cursor outcome }} }}"
            );
            let answer = ask(&address, &query, json!({"input": input})).await;
            assert_eq!(answer.get("errors"), None, "{field}: {answer:#}");
            assert_eq!(answer["data"]["sent"]["outcome"], "RECORDED", "{field}");
            answer["data"]["sent"].clone()
        };
        let project = send(
            "createProject",
            "CreateProjectInput",
            json!({"name": "Garden"}),
        )
        .await["id"]
            .clone();
        send(
            "renameProject",
            "RenameProjectInput",
            json!({"id": project, "name": "Park", "expectedVersion": 1}),
        )
        .await;
        let input = json!({"projectId": project, "title": "Dig", "priority": "HIGH", "estimatedHours": 1.25, "metadata": {"a": 1}});
        let task = send("createTask", "CreateTaskInput", input).await["id"].clone();
        send(
            "assignTask",
            "AssignTaskInput",
            json!({"id": task, "assigneeId": Uuid::nil()}),
        )
        .await;
        send(
            "addLabel",
            "AddLabelInput",
            json!({"id": task, "label": "x"}),
        )
        .await;
        send("startTask", "StartTaskInput", json!({"id": task})).await;
        let step = Uuid::from_u128(5);
        send(
            "addStep",
            "AddStepInput",
            json!({"id": task, "stepId": step, "content": "spade"}),
        )
        .await;
        send(
            "completeStep",
            "CompleteStepInput",
            json!({"id": task, "stepId": step}),
        )
        .await;
        send(
            "completeTask",
            "CompleteTaskInput",
            json!({"id": task, "actualHours": 2}),
        )
        .await;
        send(
            "reopenTask",
            "ReopenTaskInput",
            json!({"id": task, "reason": "not deep enough"}),
        )
        .await;
        let last = send(
            "cancelTask",
            "CancelTaskInput",
            json!({"id": task, "reason": "rain", "expectedVersion": "8"}),
        )
        .await;
        assert_eq!(last["version"], "9");
        send(
            "archiveProject",
            "ArchiveProjectInput",
            json!({"id": project}),
        )
        .await;
    }
}

#[tokio::test]
async fn a_rejection_has_its_code_and_its_problem_document_either_way() {
    let fixture = fixture().await;
    for address in both(&fixture).await {
        let query =
            "mutation($id: ID!) { renameProject(input: {id: $id, name: \"x\"}) { version } }";
        let answer = ask(&address, query, json!({"id": Uuid::from_u128(404)})).await;
        let extensions = &answer["errors"][0]["extensions"];
        assert_eq!(extensions["code"], "UNKNOWN_PROJECT", "{answer:#}");
        assert_eq!(extensions["problem"]["status"], 404);
        assert_eq!(
            extensions["problem"]["type"],
            "urn:foldline:problem:unknown-project"
        );

        let blank = ask(
            &address,
            "mutation { createProject(input: {name: \" \"}) { version } }",
            json!({}),
        )
        .await;
        assert_eq!(
            blank["errors"][0]["extensions"]["problem"]["errors"][0]["pointer"], "/name",
            "{blank:#}"
        );
    }
}

#[tokio::test]
async fn a_command_sent_twice_under_one_id_is_done_once() {
    let fixture = fixture().await;
    let query = "mutation($id: UUID) { createProject(input: {name: \"Garden\", commandId: $id}) { commandId projectId version cursor outcome } }";
    for (n, address) in (1..).zip(both(&fixture).await) {
        let variables = json!({"id": Uuid::from_u128(n)});
        let first = ask(&address, query, variables.clone()).await["data"]["createProject"].clone();
        let second = ask(&address, query, variables).await["data"]["createProject"].clone();
        assert_eq!(
            (&first["outcome"], &second["outcome"]),
            (&json!("RECORDED"), &json!("KNOWN"))
        );
        for same in ["commandId", "projectId", "version", "cursor"] {
            assert_eq!(first[same], second[same]);
        }
    }
}

#[tokio::test]
async fn a_stale_expected_version_is_refused_with_the_present_one() {
    let fixture = fixture().await;
    for address in both(&fixture).await {
        let created = ask(
            &address,
            "mutation { createProject(input: {name: \"a\"}) { id } }",
            json!({}),
        )
        .await;
        let query = "mutation($id: ID!) { renameProject(input: {id: $id, name: \"b\", expectedVersion: \"7\"}) { version } }";
        let answer = ask(
            &address,
            query,
            json!({"id": created["data"]["createProject"]["id"]}),
        )
        .await;
        assert_eq!(
            answer["errors"][0]["extensions"]["problem"]["currentVersion"], 1,
            "{answer:#}"
        );
    }
}

#[tokio::test]
async fn hours_with_three_decimals_are_refused() {
    let fixture = fixture().await;
    let query = "mutation { completeTask(input: {id: \"00000000-0000-0000-0000-000000000001\", actualHours: 0.125}) { version } }";
    assert_eq!(fixture.code(query, json!({})).await, "BAD_USER_INPUT");
}

#[tokio::test]
async fn a_command_service_that_is_away_is_an_unavailable_error() {
    let fixture = fixture().await;
    let address = forwarding(&fixture, "http://127.0.0.1:9").await;
    let answer = ask(
        &address,
        "mutation { createProject(input: {name: \"a\"}) { id } }",
        json!({}),
    )
    .await;
    assert_eq!(
        answer["errors"][0]["extensions"]["code"], "UNAVAILABLE",
        "{answer:#}"
    );
}
