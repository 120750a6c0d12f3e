//! What administrators do about parked streams, over GraphQL.

use chrono::TimeDelta;
use foldline_events::tasks;
use foldline_gate::Role;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::support::{Fixture, fixture, token, token_for};

const LIST: &str = "query($f: ParkedFilter, $n: Int, $after: String) { parkedStreams(filter: $f, first: $n, after: $after) {
    totalCount pageInfo { hasNextPage endCursor }
    nodes { view viewVersion stream eventId eventType schemaVersion needsNewerBuild why parkedAt triedAt attempts
        retryAsked position version } } }";
const RETRY: &str = "mutation($i: RetryParkedInput!) { retryParkedStreams(input: $i) { streams } }";
const SKIP: &str = "mutation($i: SkipParkedInput!) { skipParkedEvent(input: $i) { skipped } }";

async fn as_admin(fixture: &Fixture, query: &str, variables: Value) -> Value {
    let admin = token_for("acme", Role::Admin, TimeDelta::hours(1));
    let answer = fixture.ask_as(&admin, query, variables).await;
    assert_eq!(answer.get("errors"), None, "{answer:#}");
    answer["data"].clone()
}

/// Three streams of ours, two of which wait in two views, and one of somebody else.
async fn parked() -> (Fixture, [String; 3]) {
    let fixture = fixture().await;
    let streams = [1, 2, 3].map(|n| tasks::task_stream(Uuid::from_u128(n)));
    for (stream, position) in streams.iter().zip([11, 12, 13]) {
        fixture.park("acme", "task_view", stream, position).await;
    }
    for (stream, position) in streams.iter().zip([11, 12]) {
        fixture
            .park("acme", "task_dashboard", stream, position)
            .await;
    }
    fixture.park("zeta", "task_view", &streams[0], 10).await;
    (fixture, streams)
}

#[tokio::test]
async fn an_administrator_lists_the_parked_streams_of_the_tenant_page_by_page() {
    let (fixture, streams) = parked().await;
    let mut found = Vec::new();
    let mut after = Value::Null;
    loop {
        let page = as_admin(&fixture, LIST, json!({"n": 2, "after": after})).await;
        let page = &page["parkedStreams"];
        assert_eq!(page["totalCount"], 5);
        for node in page["nodes"].as_array().unwrap() {
            assert_eq!(node["why"], "of the future");
            assert_eq!(
                (&node["version"], &node["needsNewerBuild"]),
                (&json!("1"), &json!(true))
            );
            let name = |field: &str| node[field].as_str().unwrap().to_owned();
            found.push((name("position"), name("view"), name("stream")));
        }
        if page["pageInfo"]["hasNextPage"] == false {
            break;
        }
        after = page["pageInfo"]["endCursor"].clone();
    }
    let expected = [
        ("11", "task_dashboard", 0),
        ("11", "task_view", 0),
        ("12", "task_dashboard", 1),
        ("12", "task_view", 1),
        ("13", "task_view", 2),
    ];
    let expected = expected.map(|(position, view, stream): (&str, &str, usize)| {
        (
            position.to_owned(),
            view.to_owned(),
            streams[stream].clone(),
        )
    });
    assert_eq!(found, expected);
    let of_one = json!({"f": {"view": "task_view", "stream": streams[1]}});
    let of_one = as_admin(&fixture, LIST, of_one).await;
    assert_eq!(of_one["parkedStreams"]["totalCount"], 1);
}

#[tokio::test]
async fn an_administrator_asks_for_another_try_and_leaves_an_event_out_with_a_reason() {
    let (fixture, streams) = parked().await;
    let asked = "select count(*) from views.parked where retry_asked_at is not null and tenant = ";
    let count = async |tenant: &str| -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("{asked}'{tenant}'")))
            .fetch_one(&fixture.owner)
            .await
            .unwrap()
    };
    let one = json!({"i": {"stream": streams[0], "view": "task_view"}});
    assert_eq!(
        as_admin(&fixture, RETRY, one).await["retryParkedStreams"]["streams"],
        1
    );
    assert_eq!(count("acme").await, 1);
    let all = as_admin(&fixture, RETRY, json!({"i": {}})).await;
    assert_eq!(all["retryParkedStreams"]["streams"], 5);
    assert_eq!((count("acme").await, count("zeta").await), (5, 0));

    let skip = |version: &str, stream: &str| json!({"i": {"view": "task_view", "stream": stream, "version": version, "reason": "nobody misses it"}});
    let another = as_admin(&fixture, SKIP, skip("2", &streams[2])).await;
    assert_eq!(another["skipParkedEvent"]["skipped"], false);
    let this = as_admin(&fixture, SKIP, skip("1", &streams[2])).await;
    assert_eq!(this["skipParkedEvent"]["skipped"], true);
    let kept: Vec<(String, String, String, String)> =
        sqlx::query_as("select tenant, stream, reason, skipped_by from views.skipped")
            .fetch_all(&fixture.owner)
            .await
            .unwrap();
    let expected = ["acme", &streams[2], "nobody misses it", "ada"].map(str::to_owned);
    assert_eq!(kept, [expected.into()]);
}

#[tokio::test]
async fn nobody_but_administrators_sees_or_touches_what_is_parked_and_bad_input_is_told() {
    let (fixture, streams) = parked().await;
    let code = |answer: &Value| answer["errors"][0]["extensions"]["code"].clone();
    let skip =
        json!({"i": {"view": "task_view", "stream": streams[0], "version": "1", "reason": "so"}});
    for (query, variables) in [
        (LIST, json!({})),
        (RETRY, json!({"i": {}})),
        (SKIP, skip.clone()),
    ] {
        let answer = fixture.ask_as(&token("acme"), query, variables).await;
        assert_eq!(code(&answer), "FORBIDDEN", "{answer:#}");
    }
    let admin = token_for("acme", Role::Admin, TimeDelta::hours(1));
    let mut no_reason = skip.clone();
    no_reason["i"]["reason"] = json!("  ");
    let mut no_view = skip;
    no_view["i"]["view"] = json!("tasks");
    for (query, variables) in [
        (SKIP, no_reason),
        (SKIP, no_view),
        (LIST, json!({"f": {"stream": "a".repeat(513)}})),
    ] {
        let answer = fixture.ask_as(&admin, query, variables).await;
        assert_eq!(code(&answer), "BAD_USER_INPUT", "{answer:#}");
    }
    let touched: i64 = sqlx::query_scalar(
        "select (select count(*) from views.skipped)
             + (select count(*) from views.parked where retry_asked_at is not null)",
    )
    .fetch_one(&fixture.owner)
    .await
    .unwrap();
    assert_eq!(touched, 0);
}
