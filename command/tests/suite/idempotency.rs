use foldline_command::{Accepted, Outcome};
use uuid::Uuid;

use crate::service::{Service, recorded, task};

#[tokio::test]
async fn the_same_id_twice_gives_the_first_answer() {
    let service = Service::start().await;
    let key = format!("idempotency-key: {}", Uuid::now_v7());
    // Without an id of its own, what is created gets the same one again.
    let create = async || {
        service
            .post_with("/api/v1/projects", &[&key], r#"{"name":"Moon"}"#)
            .await
    };
    let (first, again) = (create().await, create().await);
    assert_eq!((first.status, again.status), (201, 201));
    let (first, again): (Accepted, Accepted) = (first.json(), again.json());
    assert_eq!(
        (first.outcome, again.outcome),
        (Outcome::Recorded, Outcome::Known)
    );
    assert_eq!(
        Accepted {
            outcome: Outcome::Known,
            ..first
        },
        again
    );
    assert_eq!(recorded(&service.log).await.len(), 1);
}

#[tokio::test]
async fn a_known_command_is_answered_first_whatever_happened_since() {
    let service = Service::start().await;
    let task = task(&service.handler).await;
    let key = format!("idempotency-key: {}", Uuid::now_v7());
    let version = "if-match: \"1\"";
    let start = async || {
        service
            .post_with(&format!("/api/v1/tasks/{task}/start"), &[&key, version], "")
            .await
    };
    let first: Accepted = start().await.json();
    // From here on starting is rejected, and version 1 is long gone.
    service
        .post(&format!("/api/v1/tasks/{task}/complete"), "")
        .await;
    let again: Accepted = start().await.json();
    assert_eq!(
        Accepted {
            outcome: Outcome::Known,
            ..first
        },
        again
    );
}

#[tokio::test]
async fn the_same_id_with_another_input_is_a_conflict() {
    let service = Service::start().await;
    let task = task(&service.handler).await;
    let key = format!("idempotency-key: {}", Uuid::now_v7());
    let complete = async |body| {
        service
            .post_with(&format!("/api/v1/tasks/{task}/complete"), &[&key], body)
            .await
    };
    assert_eq!(complete(r#"{"actualHours":1}"#).await.status, 200);
    for other in [
        r#"{"actualHours":2}"#,
        "{}",
        r#"{"actualHours":1,"at":"2024-01-01T00:00:00Z"}"#,
    ] {
        let problem = complete(other).await.problem();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (409, "COMMAND_ID_REUSED"),
            "{other}"
        );
    }
    assert_eq!(recorded(&service.log).await.len(), 3);
}

#[tokio::test]
async fn a_rejected_command_is_not_remembered() {
    let service = Service::start().await;
    let task = task(&service.handler).await;
    let key = format!("idempotency-key: {}", Uuid::now_v7());
    let reopen = async || {
        service
            .post_with(
                &format!("/api/v1/tasks/{task}/reopen"),
                &[&key],
                r#"{"reason":"r"}"#,
            )
            .await
    };
    assert_eq!(reopen().await.problem().code, "TASK_NOT_CLOSED");
    service
        .post(&format!("/api/v1/tasks/{task}/complete"), "")
        .await;
    assert_eq!(reopen().await.status, 200);
}

#[tokio::test]
async fn a_stale_version_fails_the_precondition() {
    let service = Service::start().await;
    let task = task(&service.handler).await;
    let path = format!("/api/v1/tasks/{task}/start");
    for stale in ["if-match: \"0\"", "if-match: \"2\""] {
        let problem = service.post_with(&path, &[stale], "").await.problem();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (412, "VERSION_STALE")
        );
        assert_eq!(problem.current_version, Some(1));
    }
    assert_eq!(
        service
            .post_with(&path, &["if-match: \"1\""], "")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn what_is_so_already_is_answered_with_the_stream_as_it_is() {
    let service = Service::start().await;
    let task = task(&service.handler).await;
    let path = format!("/api/v1/tasks/{task}/start");
    let first: Accepted = service.post(&path, "").await.json();
    let again: Accepted = service.post(&path, "").await.json();
    assert_eq!(again.outcome, Outcome::Unchanged);
    assert_eq!((again.version, again.cursor), (first.version, first.cursor));
    assert_ne!(again.command_id, first.command_id);
    assert_eq!(recorded(&service.log).await.len(), 3);
}
