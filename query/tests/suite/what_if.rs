//! What a command would do, in GraphQL: said by the command service, in this process or elsewhere.

use std::time::Duration;

use chrono::TimeDelta;
use foldline_gate::Role;
use serde_json::{Value, json};

use crate::{
    commands::{ask, both, forwarding},
    story::id,
    support::{Fixture, fixture, new_id, token, token_for},
};

const QUERY: &str = "query($command: WhatIfCommand!, $asOf: AsOf) {
    whatIf(command: $command, asOf: $asOf) {
        asOf verdict
        events { stream version type schemaVersion tags data }
        rejection { code message problem }
    }
}";

async fn what_if(address: &str, command: &Value, as_of: Value) -> Value {
    let answer = ask(address, QUERY, json!({"command": command, "asOf": as_of})).await;
    assert_eq!(answer.get("errors"), None, "{answer:#}");
    answer["data"]["whatIf"].clone()
}

/// The events of the log, as an answer shows them.
async fn events(fixture: &Fixture) -> Vec<Value> {
    let query =
        "select jsonb_build_object('stream', stream, 'version', version::text, 'type', type,
                     'schemaVersion', schema_version, 'tags', tags, 'data', payload::jsonb)
                 from log.events
                 order by position";
    sqlx::query_scalar(query)
        .fetch_all(&fixture.owner)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_mutation_then_records_what_was_said_and_it_is_said_again_of_the_past_either_way() {
    let fixture = fixture().await;
    for address in both(&fixture).await {
        let project = new_id();
        let create = json!({"type": "tasks.create_project", "aggregate": project, "data": {"name": "Garden"}});
        let before = events(&fixture).await;
        let head = before.len().to_string();
        let said = what_if(&address, &create, Value::Null).await;
        assert_eq!(
            (&said["verdict"], &said["asOf"], &said["rejection"]),
            (&json!("RECORDED"), &json!(head), &Value::Null)
        );
        assert_eq!(events(&fixture).await, before);

        let query = "mutation($id: UUID) { createProject(input: {projectId: $id, name: \"Garden\"}) { outcome } }";
        let sent = ask(&address, query, json!({ "id": project })).await;
        assert_eq!(
            sent["data"]["createProject"]["outcome"], "RECORDED",
            "{sent:#}"
        );
        let did = events(&fixture).await.split_off(before.len());
        assert_eq!(said["events"], json!(did));

        let now = what_if(&address, &create, Value::Null).await;
        assert_eq!(now["rejection"]["code"], "PROJECT_EXISTS");
        let past = what_if(&address, &create, json!({ "position": head })).await;
        assert_eq!(past, said);
        let before_it: String = sqlx::query_scalar(
            "select to_char(
                 recorded_at at time zone 'UTC' - interval '1 microsecond', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'
             )
             from log.events
             order by position desc
             limit 1",
        )
        .fetch_one(&fixture.owner)
        .await
        .unwrap();
        let then = what_if(&address, &create, json!({ "recordedAt": before_it })).await;
        assert_eq!(then, said);
    }
}

#[tokio::test]
async fn a_rejection_is_told_as_a_mutation_tells_it_and_points_into_the_command_either_way() {
    let fixture = fixture().await;
    for address in both(&fixture).await {
        let unknown =
            json!({"type": "tasks.rename_project", "aggregate": id(404), "data": {"name": "x"}});
        let said = what_if(&address, &unknown, Value::Null).await;
        let mutation =
            "mutation($id: ID!) { renameProject(input: {id: $id, name: \"x\"}) { version } }";
        let answer = ask(&address, mutation, json!({ "id": id(404) })).await;
        let error = &answer["errors"][0];
        assert_eq!(
            said["rejection"],
            json!({"code": error["extensions"]["code"], "message": error["message"], "problem": error["extensions"]["problem"]})
        );
        for (command, code, pointer) in [
            (
                json!({"type": "tasks.create_project", "aggregate": id(1), "data": {"name": " "}}),
                "TEXT_BLANK",
                "/data/name",
            ),
            (
                json!({"type": "tasks.create_project", "aggregate": id(1)}),
                "BODY_INVALID",
                "/data",
            ),
            (
                json!({"type": "tasks.launch", "aggregate": id(1)}),
                "UNKNOWN_COMMAND_TYPE",
                "/type",
            ),
        ] {
            let said = what_if(&address, &command, Value::Null).await;
            assert_eq!(said["verdict"], "REJECTED");
            assert_eq!(said["rejection"]["code"], code, "{said:#}");
            let problem = &said["rejection"]["problem"];
            assert_eq!(problem["errors"][0]["pointer"], pointer, "{problem:#}");
        }
    }
}

#[tokio::test]
async fn a_role_or_a_tenant_that_may_not_is_told_nothing() {
    let fixture = fixture().await;
    let project = new_id();
    let query =
        "mutation($id: UUID) { createProject(input: {projectId: $id, name: \"a\"}) { outcome } }";
    fixture.data(query, json!({ "id": project })).await;
    let command =
        json!({"type": "tasks.rename_project", "aggregate": project, "data": {"name": "b"}});
    let viewer = token_for("acme", Role::Viewer, TimeDelta::hours(1));
    for (token, code) in [
        (viewer, "FORBIDDEN"),
        (token("umbrella"), "UNKNOWN_PROJECT"),
    ] {
        let answer = fixture
            .ask_as(&token, QUERY, json!({ "command": command }))
            .await;
        let said = &answer["data"]["whatIf"];
        assert_eq!(said["rejection"]["code"], code, "{answer:#}");
        assert_eq!(said["events"], json!([]));
    }
}

#[tokio::test]
async fn it_is_a_query_that_get_may_ask() {
    let fixture = fixture().await;
    let command =
        json!({"type": "tasks.create_project", "aggregate": id(1), "data": {"name": "a"}});
    let variables = json!({ "command": command }).to_string();
    let asked = [("query", QUERY), ("variables", &variables)];
    let url = reqwest::Url::parse_with_params(&fixture.url(), asked).unwrap();
    let answer: Value = reqwest::Client::new()
        .get(url)
        .header("accept", "application/graphql-response+json")
        .bearer_auth(token("acme"))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(
        answer["data"]["whatIf"]["verdict"], "RECORDED",
        "{answer:#}"
    );
}

#[tokio::test]
async fn a_position_that_the_log_does_not_reach_to_or_a_service_that_is_away_is_an_error() {
    let fixture = fixture().await;
    let command =
        json!({"type": "tasks.create_project", "aggregate": id(1), "data": {"name": "a"}});
    for address in both(&fixture).await {
        let variables = json!({"command": command, "asOf": {"position": "9"}});
        let answer = ask(&address, QUERY, variables).await;
        let code = &answer["errors"][0]["extensions"]["code"];
        assert_eq!(code, "CURSOR_BEYOND_HEAD", "{answer:#}");
    }
    let away = forwarding(&fixture, "http://127.0.0.1:9").await;
    let asking = ask(&away, QUERY, json!({ "command": command }));
    let answer = tokio::time::timeout(Duration::from_secs(30), asking)
        .await
        .unwrap();
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"]["code"], "UNAVAILABLE", "{answer:#}");
    assert!(!error["message"].as_str().unwrap().contains("recorded"));
}
