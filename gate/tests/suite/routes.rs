use chrono::{TimeDelta, Utc};
use foldline_events::Tenant;
use foldline_gate::Role;

use crate::house::{gate, house, send};

#[tokio::test]
async fn an_unknown_route_of_merged_routers_is_a_problem() {
    for path in ["/", "/guests/1", "/who/", "/%00"] {
        let answer = send(house().await, &format!("GET {path}"), &[], b"").await;
        assert_eq!(
            (answer.status, answer.problem().code.as_str()),
            (404, "UNKNOWN_ROUTE"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn an_unknown_method_is_a_problem_that_lists_the_known_ones() {
    let house = house().await;
    for (request, allowed) in [
        ("DELETE /guests", "POST"),
        ("BREW /guests", "POST"),
        ("POST /who", "GET,HEAD"),
    ] {
        let answer = send(house, request, &[], b"").await;
        assert_eq!(
            (answer.status, answer.problem().code.as_str()),
            (405, "METHOD_NOT_ALLOWED")
        );
        assert_eq!(answer.header("allow"), Some(allowed), "{request}");
    }
}

#[tokio::test]
async fn a_part_of_a_path_that_cannot_be_is_a_problem() {
    for path in ["/rooms/x", "/rooms/256", "/rooms/%ff"] {
        let answer = send(house().await, &format!("POST {path}"), &[], b"").await;
        assert_eq!(
            (answer.status, answer.problem().code.as_str()),
            (400, "PATH_INVALID"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn whoever_has_no_token_is_told_how_to_bring_one() {
    let house = house().await;
    let answer = send(house, "GET /who", &[], b"").await;
    assert_eq!(
        (answer.status, answer.problem().code.as_str()),
        (401, "TOKEN_MISSING")
    );
    assert_eq!(answer.header("www-authenticate"), Some("Bearer"));

    let tenant = Tenant::parse("acme").unwrap();
    let token = gate()
        .issue(
            &tenant,
            "ada",
            Role::Viewer,
            TimeDelta::minutes(1),
            Utc::now(),
        )
        .unwrap();
    let header = format!("authorization: Bearer {token}");
    assert_eq!(send(house, "GET /who", &[&header], b"").await.body, "ada");
}
