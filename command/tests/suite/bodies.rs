//! What a body says, leaves out, and says beside the path.

use std::time::Duration;

use foldline_command::{Accepted, Outcome, created_id};
use foldline_events::Tenant;
use foldline_gate::{BODIES_BYTES_MAX, BODY_BYTES_MAX, Caller, Role};
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt, net::TcpStream};
use uuid::Uuid;

use crate::service::{Answer, JSON, Service, caller, project, recorded, task, token_of};

#[track_caller]
fn assert_invalid(answer: &Answer, pointer: &str) {
    let problem = answer.problem();
    assert_eq!(
        (problem.status, problem.code.as_str()),
        (422, "BODY_INVALID"),
        "{answer:?}"
    );
    assert_eq!(problem.errors[0].pointer, pointer, "{answer:?}");
}

/// The payload of the last event.
async fn last(service: &Service) -> Value {
    let events = recorded(&service.log).await;
    serde_json::from_str(&events.last().unwrap().payload).unwrap()
}

#[tokio::test]
async fn what_may_be_taken_away_is_taken_away_by_null_and_never_by_silence() {
    let service = Service::start().await;
    let (project, task) = (
        project(&service.handler).await,
        task(&service.handler).await,
    );
    for (path, field, value) in [
        (
            format!("projects/{project}/describe"),
            "description",
            json!("There"),
        ),
        (
            format!("tasks/{task}/describe"),
            "description",
            json!("Softly"),
        ),
        (format!("tasks/{task}/estimate"), "estimatedHours", json!(2)),
        (
            format!("tasks/{task}/due-date"),
            "dueDate",
            json!("2024-07-20"),
        ),
        (format!("tasks/{task}/key"), "key", json!("LM-5")),
    ] {
        let path = format!("/api/v1/{path}");
        let said = json!({ field: value });
        assert_eq!(
            service.post(&path, &said.to_string()).await.status,
            200,
            "{path}"
        );
        for silent in ["", "{}", "null", r#"{"at":"2024-03-01T12:00:00Z"}"#] {
            assert_invalid(&service.post(&path, silent).await, "");
        }
        let null = json!({ field: null });
        let accepted: Accepted = service.post(&path, &null.to_string()).await.json();
        assert_eq!(accepted.outcome, Outcome::Recorded, "{path}");
        let events = recorded(&service.log).await;
        let recorded = events.iter().rfind(|event| event.stream == accepted.stream);
        assert_eq!(recorded.unwrap().payload, "{}", "{path}");
    }
}

#[tokio::test]
async fn what_stands_in_the_path_is_not_said_again() {
    let service = Service::start().await;
    let task = task(&service.handler).await;
    let step = Uuid::now_v7();
    for (path, name) in [
        (format!("steps/{step}/complete"), "stepId"),
        (format!("steps/{step}/remove"), "stepId"),
        ("start".to_owned(), "id"),
        ("unassign".to_owned(), "id"),
    ] {
        let body = json!({ name: step }).to_string();
        let answer = service
            .post(&format!("/api/v1/tasks/{task}/{path}"), &body)
            .await;
        assert_invalid(&answer, &format!("/{name}"));
    }
    assert_eq!(recorded(&service.log).await.len(), 2);
}

#[tokio::test]
async fn an_id_that_nobody_names_is_made_of_the_command_id_and_stays() {
    let service = Service::start().await;
    let task = task(&service.handler).await;
    for (path, field, text) in [
        ("steps", "stepId", "content"),
        ("comments", "commentId", "text"),
    ] {
        let path = format!("/api/v1/tasks/{task}/{path}");
        let command_id = Uuid::now_v7();
        let key = format!("idempotency-key: {command_id}");
        let made = created_id(&caller(Role::Admin), command_id);
        let before = recorded(&service.log).await.len();
        for (outcome, body) in [
            (Outcome::Recorded, json!({ text: "burn" })),
            (Outcome::Known, json!({ text: "burn" })),
            // Null is as good as absent, and what is made may also be said.
            (Outcome::Known, json!({ text: "burn", field: null })),
            (Outcome::Known, json!({ text: "burn", field: made })),
        ] {
            let answer = service.post_with(&path, &[&key], &body.to_string()).await;
            assert_eq!(answer.json::<Accepted>().outcome, outcome, "{body}");
            assert_eq!(last(&service).await, json!({ field: made, text: "burn" }));
        }
        assert_eq!(recorded(&service.log).await.len(), before + 1);

        let given = Uuid::now_v7();
        let body = json!({ text: "coast", field: given }).to_string();
        assert_eq!(service.post(&path, &body).await.status, 200);
        assert_eq!(last(&service).await[field], json!(given));
    }
    // Each without a command id is a command of its own.
    let path = format!("/api/v1/tasks/{task}/comments");
    for _ in 0..2 {
        let accepted: Accepted = service.post(&path, r#"{"text":"Go"}"#).await.json();
        assert_eq!(accepted.outcome, Outcome::Recorded);
    }
}

#[tokio::test]
async fn null_beside_the_data_is_as_good_as_absent() {
    let service = Service::start().await;
    let body = r#"{"name":"Moon","id":null,"at":null}"#;
    let accepted: Accepted = service.post("/api/v1/projects", body).await.json();
    assert_eq!(accepted.outcome, Outcome::Recorded);
    let path = format!("/api/v1/projects/{}/archive", accepted.id);
    assert_eq!(service.post(&path, r#"{"at":null}"#).await.status, 200);
}

#[tokio::test]
async fn when_it_happened_is_neither_absurd_nor_forgotten() {
    let service = Service::start().await;
    let task = task(&service.handler).await;
    let path = format!("/api/v1/tasks/{task}/labels");
    let tomorrow = chrono::Utc::now() + chrono::TimeDelta::hours(23);
    let too_late = chrono::Utc::now() + chrono::TimeDelta::hours(25);
    for (label, at, fits) in [
        ("a", "1970-01-01T00:00:00Z".to_owned(), true),
        ("b", "1969-12-31T23:59:59.999Z".to_owned(), false),
        ("c", tomorrow.to_rfc3339(), true),
        ("d", too_late.to_rfc3339(), false),
        ("e", "2024-03-01T14:00:00+02:00".to_owned(), true),
    ] {
        let body = json!({"label": label, "at": at}).to_string();
        let answer = service.post(&path, &body).await;
        if fits {
            assert_eq!(answer.status, 200, "{at}");
            let happened = recorded(&service.log).await.last().unwrap().occurred_at;
            let said: chrono::DateTime<chrono::Utc> = at.parse().unwrap();
            assert_eq!(happened.timestamp_micros(), said.timestamp_micros());
        } else {
            let problem = answer.problem();
            assert_eq!(problem.code, "OCCURRED_AT_OUT_OF_RANGE", "{at}");
            assert_eq!(problem.errors[0].pointer, "/at");
        }
    }
    for malformed in ["yesterday", "2024-03-01", "2024-03-01T12:00:00", "7"] {
        let body = json!({"label": "f", "at": malformed}).to_string();
        assert_invalid(&service.post(&path, &body).await, "/at");
    }
}

#[tokio::test]
async fn bodies_that_do_not_end_take_their_tenant_s_room_and_nobody_else_s() {
    let service = Service::start().await;
    let project = project(&service.handler).await;
    let other = Caller {
        tenant: Tenant::parse("umbrella").unwrap(),
        ..caller(Role::Admin)
    };
    let mut held = Vec::new();
    for _ in 0..BODIES_BYTES_MAX / 2 / BODY_BYTES_MAX {
        let mut stream = TcpStream::connect(service.address).await.unwrap();
        let head = format!(
            "POST /api/v1/projects/{project}/rename HTTP/1.1\r\nhost: foldline\r\nauthorization: Bearer {}\r\n{JSON}\r\n\
             content-length: {BODY_BYTES_MAX}\r\n\r\n",
            token_of(&other)
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let most = vec![b' '; BODY_BYTES_MAX - 1];
        stream.write_all(&most).await.unwrap();
        held.push(stream);
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let rename = format!("POST /api/v1/projects/{project}/rename");
    let body = format!(r#"{{"name":"{}"}}"#, "M".repeat(100));
    let of_other = format!("authorization: Bearer {}", token_of(&other));
    let refused = service
        .send(&rename, &[&of_other, JSON], body.as_bytes())
        .await;
    assert_eq!(refused.problem().code, "UNAVAILABLE");
    assert_eq!(refused.header("retry-after"), Some("1"));
    let path = format!("/api/v1/projects/{project}/rename");
    assert_eq!(service.post(&path, &body).await.status, 200);
    drop(held);
}
