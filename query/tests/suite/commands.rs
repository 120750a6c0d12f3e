//! Mutations, handled in this process and by another service.

use chrono::TimeDelta;
use foldline_domain::tasks::COMMAND_TYPES;
use foldline_gate::Role;
use foldline_query::{Commands, Limits, QueryOptions, QueryState, Wakes, as_reader, router};
use serde_json::{Value, json};
use sqlx::postgres::PgPoolOptions;
use uuid::Uuid;

use crate::{
    story::id,
    support::{Fixture, fixture, gate, serve, token_for},
};

/// A query service of its own role, which forwards commands to `server`.
pub async fn forwarding(fixture: &Fixture, server: &str) -> String {
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

pub async fn ask(address: &str, query: &str, variables: Value) -> Value {
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
pub async fn both(fixture: &Fixture) -> [String; 2] {
    let server = serve(foldline_command::router(fixture.handler.clone(), gate())).await;
    [
        fixture.address.clone(),
        forwarding(fixture, &format!("http://{server}")).await,
    ]
}

/// A life that needs every command once: the mutation, what it takes beside the id of its project or task, and whether it
/// changes anything. Between `deleteTask` and `restoreTask` nothing else may happen.
fn a_whole_life(other_project: &Value) -> Vec<(&'static str, Value)> {
    let (step, second) = (id(5), id(6));
    vec![
        (
            "renameTask",
            json!({"title": "Dig deep", "expectedVersion": 1}),
        ),
        ("describeTask", json!({"description": "Two metres"})),
        ("setTaskPriority", json!({"priority": "CRITICAL"})),
        ("estimateTask", json!({"estimatedHours": 2.25})),
        ("estimateTask", json!({"estimatedHours": null})),
        ("setTaskDueDate", json!({"dueDate": "2026-03-01"})),
        ("setTaskKey", json!({"key": "DIG-1"})),
        ("assignTask", json!({"assigneeId": id(7)})),
        ("unassignTask", json!({})),
        ("addLabel", json!({"label": "x"})),
        ("removeLabel", json!({"label": "x"})),
        ("setMetadata", json!({"name": "depth", "value": 2.5})),
        ("removeMetadata", json!({"name": "depth"})),
        ("addComment", json!({"text": "Mind the roots"})),
        ("startTask", json!({})),
        ("blockTask", json!({"reason": "rain"})),
        ("unblockTask", json!({})),
        ("addStep", json!({"stepId": step, "content": "spade"})),
        ("completeStep", json!({"stepId": step})),
        ("addStep", json!({"stepId": second, "content": "bucket"})),
        ("removeStep", json!({"stepId": second})),
        ("completeTask", json!({"actualHours": 2})),
        ("reopenTask", json!({"reason": "not deep enough"})),
        ("moveTask", json!({"projectId": other_project})),
        ("requestAiReview", json!({})),
        (
            "recordAiReview",
            json!({"status": "CHANGES_WANTED", "summary": "Too shallow"}),
        ),
        ("cancelTask", json!({"reason": "rain"})),
        ("deleteTask", json!({})),
        ("restoreTask", json!({"expectedVersion": "29"})),
    ]
}

/// Sends one mutation that must change something; gives its answer.
async fn send(address: &str, field: &str, input: Value) -> Value {
    let kind = format!("{}{}Input", field[..1].to_uppercase(), &field[1..]);
    let query = format!(
        "mutation($input: {kind}!) {{ sent: {field}(input: $input) {{ id version cursor outcome }} }}"
    );
    let answer = ask(address, &query, json!({"input": input})).await;
    assert_eq!(answer.get("errors"), None, "{field}: {answer:#}");
    assert_eq!(answer["data"]["sent"]["outcome"], "RECORDED", "{field}");
    answer["data"]["sent"].clone()
}

fn on(id: &Value, mut input: Value) -> Value {
    input["id"] = id.clone();
    input
}

#[tokio::test]
async fn every_command_goes_through_either_way() {
    let fixture = fixture().await;
    for address in both(&fixture).await {
        let input = json!({"name": "Garden", "description": "Flowers"});
        let project = send(&address, "createProject", input).await["id"].clone();
        let other = send(&address, "createProject", json!({"name": "Yard"})).await["id"].clone();
        let input = json!({"projectId": project, "title": "Dig", "description": "A hole", "priority": "HIGH",
                           "estimatedHours": 1.25, "dueDate": "2026-02-28", "metadata": {"a": 1}});
        let task = send(&address, "createTask", input).await["id"].clone();
        let mut version = 1;
        for (field, input) in a_whole_life(&other) {
            let sent = send(&address, field, on(&task, input)).await;
            version += 1;
            assert_eq!(sent["version"], version.to_string(), "{field}");
        }
        // The key is one task's alone: the other way of sending needs it.
        send(&address, "setTaskKey", on(&task, json!({"key": null}))).await;
        for (field, input) in [
            (
                "renameProject",
                json!({"name": "Park", "expectedVersion": 1}),
            ),
            ("describeProject", json!({"description": null})),
            ("archiveProject", json!({})),
            ("restoreProject", json!({})),
        ] {
            send(&address, field, on(&project, input)).await;
        }
    }
}

#[tokio::test]
async fn every_command_has_its_mutation() {
    let fixture = fixture().await;
    let query = "{ __schema { mutationType { fields { name } } } }";
    let schema = fixture.data(query, json!({})).await;
    let fields = schema["__schema"]["mutationType"]["fields"]
        .as_array()
        .unwrap()
        .clone();
    let mut sent: Vec<&str> = a_whole_life(&json!(null))
        .iter()
        .map(|(field, _)| *field)
        .collect();
    sent.extend([
        "createProject",
        "renameProject",
        "describeProject",
        "archiveProject",
        "restoreProject",
        "createTask",
    ]);
    sent.sort_unstable();
    sent.dedup();
    let mut named: Vec<&str> = fields
        .iter()
        .map(|field| field["name"].as_str().unwrap())
        .collect();
    // What is wished of parked streams is no command.
    named.retain(|name| !name.contains("Parked"));
    named.sort_unstable();
    assert_eq!(named, sent);
    assert_eq!(named.len(), COMMAND_TYPES.len());
}

#[tokio::test]
async fn what_null_takes_away_must_be_given() {
    let fixture = fixture().await;
    for (field, value) in [
        ("describeProject", "description"),
        ("describeTask", "description"),
        ("estimateTask", "estimatedHours"),
        ("setTaskDueDate", "dueDate"),
        ("setTaskKey", "key"),
    ] {
        let query = |more: &str| {
            format!(
                "mutation {{ {field}(input: {{id: \"{}\"{more}}}) {{ version }} }}",
                id(404)
            )
        };
        assert_eq!(
            fixture.code(&query(""), json!({})).await,
            "BAD_USER_INPUT",
            "{field}"
        );
        let code = fixture
            .code(&query(&format!(", {value}: null")), json!({}))
            .await;
        assert!(code.starts_with("UNKNOWN_"), "{field}: {code}");
    }
}

#[tokio::test]
async fn a_comment_and_a_step_sent_twice_are_added_once_under_the_same_id_either_way() {
    let fixture = fixture().await;
    let [here, there] = both(&fixture).await;
    let project = send(&here, "createProject", json!({"name": "Garden"})).await["id"].clone();
    let input = json!({"projectId": project, "title": "Dig", "priority": "LOW"});
    let task = send(&here, "createTask", input).await["id"].clone();
    for (n, field, kind, text) in [
        (1, "addComment", "AddCommentInput", "text"),
        (2, "addStep", "AddStepInput", "content"),
    ] {
        let query =
            format!("mutation($input: {kind}!) {{ {field}(input: $input) {{ outcome version }} }}");
        let input = json!({"input": {"id": task, "commandId": id(n), text: "once"}});
        for (address, outcome) in [(&here, "RECORDED"), (&here, "KNOWN"), (&there, "KNOWN")] {
            let answer = ask(address, &query, input.clone()).await;
            let version = (n + 1).to_string();
            assert_eq!(
                answer["data"][field],
                json!({"outcome": outcome, "version": version}),
                "{answer:#}"
            );
        }
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
