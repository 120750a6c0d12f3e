//! One task's way over HTTP, and what is recorded of it.

use foldline_command::{Accepted, Outcome};
use foldline_gate::Role;
use uuid::Uuid;

use crate::service::{JSON, Service, recorded, token};

#[tokio::test]
async fn a_task_goes_its_way_over_http() {
    let service = Service::start().await;
    let project: Accepted = service
        .post("/api/v1/projects", r#"{"name":"Moon"}"#)
        .await
        .json();
    let body = format!(
        r#"{{"projectId":"{}","title":"Land","priority":"high","estimatedHours":1.5}}"#,
        project.id
    );
    let created = service.post("/api/v1/tasks", &body).await;
    assert_eq!(created.status, 201);
    let task: Accepted = created.json();
    let step = Uuid::now_v7();
    let at = "2024-02-03T04:05:06Z";
    for (version, (path, body)) in (2..).zip([
        ("assign".to_owned(), format!(r#"{{"assigneeId":"{step}"}}"#)),
        ("labels".to_owned(), r#"{"label":"red"}"#.to_owned()),
        ("start".to_owned(), String::new()),
        (
            "steps".to_owned(),
            format!(r#"{{"stepId":"{step}","content":"burn"}}"#),
        ),
        (format!("steps/{step}/complete"), "{}".to_owned()),
        (
            "complete".to_owned(),
            format!(r#"{{"actualHours":2,"at":"{at}"}}"#),
        ),
        ("reopen".to_owned(), r#"{"reason":"again"}"#.to_owned()),
        ("cancel".to_owned(), r#"{"reason":"no"}"#.to_owned()),
    ]) {
        let answer = service
            .post(&format!("/api/v1/tasks/{}/{path}", task.id), &body)
            .await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        let accepted: Accepted = answer.json();
        assert_eq!(
            (accepted.id, accepted.version),
            (task.id, version),
            "{path}"
        );
        assert_eq!(accepted.outcome, Outcome::Recorded);
        assert_eq!(
            answer.header("etag"),
            Some(format!("\"{version}\"").as_str())
        );
        assert_eq!(
            answer.header("foldline-cursor"),
            Some(accepted.cursor.to_string().as_str())
        );
    }
    for (path, body) in [("rename", r#"{"name":"Mars"}"#), ("archive", "")] {
        let answer = service
            .post(&format!("/api/v1/projects/{}/{path}", project.id), body)
            .await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }

    let events = recorded(&service.log).await;
    let types: Vec<&str> = events
        .iter()
        .map(|event| event.event_type.as_str())
        .collect();
    assert_eq!(
        types,
        [
            "tasks.ProjectCreated",
            "tasks.TaskCreated",
            "tasks.TaskAssigned",
            "tasks.TaskLabelAdded",
            "tasks.TaskStarted",
            "tasks.TaskStepAdded",
            "tasks.TaskStepCompleted",
            "tasks.TaskCompleted",
            "tasks.TaskReopened",
            "tasks.TaskCancelled",
            "tasks.ProjectRenamed",
            "tasks.ProjectArchived",
        ]
    );
    assert_eq!(
        events[7].occurred_at,
        at.parse::<chrono::DateTime<chrono::Utc>>().unwrap()
    );
    assert!(
        events
            .iter()
            .all(|event| event.actor == "ada" && event.tenant.as_str() == "acme")
    );
}

#[tokio::test]
async fn the_trace_of_a_request_is_recorded() {
    let service = Service::start().await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let header = format!("traceparent: 00-{trace}-00f067aa0ba902b7-01");
    service
        .post_with("/api/v1/projects", &[&header], r#"{"name":"Moon"}"#)
        .await;
    let events = recorded(&service.log).await;
    assert!(events[0].trace_context.as_ref().unwrap().contains(trace));
}

#[tokio::test]
async fn a_viewer_commands_nothing_and_only_an_admin_archives() {
    let service = Service::start().await;
    let project: Accepted = service
        .post("/api/v1/projects", r#"{"name":"Moon"}"#)
        .await
        .json();
    let archive = format!("POST /api/v1/projects/{}/archive", project.id);
    for (role, request, body) in [
        (Role::Viewer, "POST /api/v1/projects", r#"{"name":"Mars"}"#),
        (Role::Viewer, &archive, ""),
        (Role::Member, &archive, ""),
    ] {
        let authorization = format!("authorization: Bearer {}", token(role));
        let answer = service
            .send(request, &[&authorization, JSON], body.as_bytes())
            .await;
        assert_eq!(
            (answer.status, answer.problem().code.as_str()),
            (403, "FORBIDDEN")
        );
    }
    assert_eq!(recorded(&service.log).await.len(), 1);
}
