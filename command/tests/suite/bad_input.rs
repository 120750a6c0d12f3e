//! Whatever is wrong with a request: a problem document each, and nothing stored.

use foldline_gate::{BODY_BYTES_MAX, Role};
use uuid::Uuid;

use crate::service::{JSON, Service, project, recorded, task, token};

const PROJECTS: &str = "/api/v1/projects";

#[tokio::test]
async fn a_bad_body_is_a_problem_and_nothing_is_stored() {
    let service = Service::start().await;
    let long = format!(r#"{{"name":"{}"}}"#, "x".repeat(256));
    let oversized = format!(r#"{{"name":"{}"}}"#, "x".repeat(BODY_BYTES_MAX));
    let deep = format!(r#"{{"name":{}"#, "[".repeat(100_000));
    for (body, status, code) in [
        ("", 422, "BODY_INVALID"),
        ("{", 400, "JSON_MALFORMED"),
        (r#"{"name":"Moon"}}"#, 400, "JSON_MALFORMED"),
        (r#"{"name":'Moon'}"#, 400, "JSON_MALFORMED"),
        ("{\"name\":\"Mo\u{0}on\"}", 400, "JSON_MALFORMED"),
        ("null", 422, "BODY_INVALID"),
        (r#"["Moon"]"#, 422, "BODY_INVALID"),
        ("{}", 422, "BODY_INVALID"),
        (r#"{"name":7}"#, 422, "BODY_INVALID"),
        (&deep, 400, "JSON_MALFORMED"),
        (r#"{"name":"Moon","colour":"grey"}"#, 422, "BODY_INVALID"),
        (r#"{"name":"Moon","name":"Mars"}"#, 422, "BODY_INVALID"),
        (r#"{"name":"Moon","id":"7"}"#, 422, "BODY_INVALID"),
        (r#"{"name":"Moon","at":"yesterday"}"#, 422, "BODY_INVALID"),
        (
            r#"{"name":"Moon","at":"1969-12-31T23:59:59Z"}"#,
            422,
            "OCCURRED_AT_OUT_OF_RANGE",
        ),
        (
            r#"{"name":"Moon","at":"9999-01-01T00:00:00Z"}"#,
            422,
            "OCCURRED_AT_OUT_OF_RANGE",
        ),
        (r#"{"name":"Mo\u0000on"}"#, 422, "TEXT_WITH_NUL"),
        (r#"{"name":"  "}"#, 422, "TEXT_BLANK"),
        (&long, 422, "TEXT_TOO_LONG"),
        (&oversized, 413, "BODY_TOO_LARGE"),
    ] {
        let problem = service.post(PROJECTS, body).await.problem();
        let shown: String = body.chars().take(60).collect();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (status, code),
            "{shown}"
        );
        assert!(
            problem.problem_type().starts_with("urn:foldline:problem:")
                && !problem.title.is_empty()
        );
    }
    assert_eq!(recorded(&service.log).await, []);
}

#[tokio::test]
async fn a_bad_task_is_a_problem_and_nothing_is_stored() {
    let service = Service::start().await;
    let project = project(&service.handler).await;
    let nested = format!(r#"{{"a":{}{}}}"#, "[".repeat(200), "]".repeat(200));
    for (field, status, code) in [
        (r#""priority":"urgent""#.to_owned(), 422, "BODY_INVALID"),
        (
            r#""priority":"low","estimatedHours":"two""#.to_owned(),
            422,
            "BODY_INVALID",
        ),
        (
            r#""priority":"low","estimatedHours":0.001"#.to_owned(),
            422,
            "BODY_INVALID",
        ),
        (
            r#""priority":"low","estimatedHours":-1"#.to_owned(),
            422,
            "HOURS_OUT_OF_RANGE",
        ),
        (
            r#""priority":"low","estimatedHours":1e300"#.to_owned(),
            422,
            "BODY_INVALID",
        ),
        (
            r#""priority":"low","estimatedHours":1e400"#.to_owned(),
            422,
            "BODY_INVALID",
        ),
        (
            r#""priority":"low","dueDate":"2026-02-29""#.to_owned(),
            422,
            "BODY_INVALID",
        ),
        (
            r#""priority":"low","dueDate":"3000-01-01""#.to_owned(),
            422,
            "DUE_DATE_OUT_OF_RANGE",
        ),
        (
            r#""priority":"low","key":"no key""#.to_owned(),
            422,
            "TASK_KEY_INVALID",
        ),
        (
            r#""priority":"low","description":" ""#.to_owned(),
            422,
            "TEXT_BLANK",
        ),
        (
            r#""priority":"low","metadata":{"a":{}}"#.to_owned(),
            422,
            "METADATA_VALUE_INVALID",
        ),
        (
            r#""priority":"low","metadata":{"":1}"#.to_owned(),
            422,
            "METADATA_KEY_INVALID",
        ),
        (
            r#""priority":"low","metadata":{"a":"\u0000"}"#.to_owned(),
            422,
            "TEXT_WITH_NUL",
        ),
        (
            format!(r#""priority":"low","metadata":{nested}"#),
            422,
            "BODY_INVALID",
        ),
    ] {
        let body = format!(r#"{{"projectId":"{project}","title":"Land",{field}}}"#);
        let problem = service.post("/api/v1/tasks", &body).await.problem();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (status, code),
            "{field}"
        );
    }
    assert_eq!(recorded(&service.log).await.len(), 1);
}

#[tokio::test]
async fn unknown_ids_are_problems_and_nothing_is_stored() {
    let service = Service::start().await;
    let (task, nobody) = (task(&service.handler).await, Uuid::now_v7());
    let in_nothing = format!(r#"{{"projectId":"{nobody}","title":"Land","priority":"low"}}"#);
    for (path, body, status, code) in [
        (
            format!("/api/v1/projects/{nobody}/rename"),
            r#"{"name":"Mars"}"#,
            404,
            "UNKNOWN_PROJECT",
        ),
        (
            format!("/api/v1/projects/{nobody}/archive"),
            "",
            404,
            "UNKNOWN_PROJECT",
        ),
        (
            "/api/v1/tasks".to_owned(),
            &in_nothing,
            404,
            "UNKNOWN_PROJECT",
        ),
        (
            format!("/api/v1/tasks/{nobody}/start"),
            "",
            404,
            "UNKNOWN_TASK",
        ),
        (
            format!("/api/v1/tasks/{task}/steps/{nobody}/complete"),
            "",
            404,
            "UNKNOWN_STEP",
        ),
        ("/api/v1/tasks/7/start".to_owned(), "", 400, "PATH_INVALID"),
        (
            format!("/api/v1/tasks/{task}/steps/%ff/complete"),
            "",
            400,
            "PATH_INVALID",
        ),
    ] {
        let problem = service.post(&path, body).await.problem();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (status, code),
            "{path}"
        );
    }
    assert_eq!(recorded(&service.log).await.len(), 2);
}

#[tokio::test]
async fn bad_headers_routes_and_methods_are_problems_and_nothing_is_stored() {
    let service = Service::start().await;
    let authorization = format!("authorization: Bearer {}", token(Role::Admin));
    let authorization = authorization.as_str();
    let post = "POST /api/v1/projects";
    for (request, headers, status, code) in [
        (post, vec![JSON], 401, "TOKEN_MISSING"),
        (
            post,
            vec![JSON, "authorization: Bearer me"],
            401,
            "TOKEN_INVALID",
        ),
        (post, vec![authorization], 415, "CONTENT_TYPE_UNSUPPORTED"),
        (
            post,
            vec![authorization, "content-type: text/json"],
            415,
            "CONTENT_TYPE_UNSUPPORTED",
        ),
        (
            post,
            vec![authorization, JSON, "idempotency-key: 7"],
            400,
            "HEADER_INVALID",
        ),
        (
            post,
            vec![authorization, JSON, "if-match: *"],
            400,
            "HEADER_INVALID",
        ),
        (
            post,
            vec![authorization, JSON, "if-match: \"1\"", "if-match: \"2\""],
            400,
            "HEADER_INVALID",
        ),
        (
            post,
            vec![authorization, JSON, "if-match: \"1\""],
            412,
            "VERSION_STALE",
        ),
        (
            "GET /api/v1/projects",
            vec![authorization],
            405,
            "METHOD_NOT_ALLOWED",
        ),
        (
            "DELETE /api/v1/commands",
            vec![authorization],
            405,
            "METHOD_NOT_ALLOWED",
        ),
        (
            "POST /api/v1/openapi.json",
            vec![authorization, JSON],
            405,
            "METHOD_NOT_ALLOWED",
        ),
        (
            "POST /api/v2/projects",
            vec![authorization, JSON],
            404,
            "UNKNOWN_ROUTE",
        ),
        ("GET /api/docs/assets/secret", vec![], 404, "UNKNOWN_ROUTE"),
    ] {
        let answer = service.send(request, &headers, br#"{"name":"Moon"}"#).await;
        let problem = answer.problem();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (status, code),
            "{request} {headers:?}"
        );
        assert_eq!(answer.header("allow").is_some(), status == 405);
    }
    assert_eq!(recorded(&service.log).await, []);
}
