//! GraphQL over HTTP: media types, methods, sizes, statuses.

use foldline_gate::BODY_BYTES_MAX;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};

use crate::support::{Fixture, fixture, token};

const NEW: &str = "application/graphql-response+json";
const OLD: &str = "application/json";

fn request(fixture: &Fixture, method: Method) -> RequestBuilder {
    Client::new()
        .request(method, fixture.url())
        .bearer_auth(token("acme"))
}

async fn post(fixture: &Fixture, accept: &str, body: impl Into<String>) -> Response {
    let request = request(fixture, Method::POST)
        .header("accept", accept)
        .header("content-type", OLD);
    request.body(body.into()).send().await.unwrap()
}

fn media_type(response: &Response) -> String {
    response.headers()["content-type"]
        .to_str()
        .unwrap()
        .split(';')
        .next()
        .unwrap()
        .to_owned()
}

async fn problem(response: Response, status: u16, code: &str) {
    assert_eq!(response.status(), status);
    assert_eq!(media_type(&response), "application/problem+json");
    assert_eq!(response.json::<Value>().await.unwrap()["code"], code);
}

#[tokio::test]
async fn the_status_of_a_refused_document_depends_on_the_media_type() {
    let fixture = fixture().await;
    for (query, code) in [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nonsense }", "GRAPHQL_VALIDATION_FAILED"),
    ] {
        for (accept, status) in [(NEW, 400), (OLD, 200), ("*/*", 200)] {
            let response = post(&fixture, accept, json!({"query": query}).to_string()).await;
            assert_eq!(response.status(), status, "{query} {accept}");
            assert_eq!(media_type(&response), if accept == NEW { NEW } else { OLD });
            let body: Value = response.json().await.unwrap();
            assert_eq!(body["errors"][0]["extensions"]["code"], code);
            assert_eq!(body.get("data"), None, "nothing was executed");
        }
    }
}

#[tokio::test]
async fn a_field_error_is_a_200_with_data() {
    let fixture = fixture().await;
    let query = "{ projects { totalCount } project(id: \"x\") { name } }";
    let response = post(&fixture, NEW, json!({"query": query}).to_string()).await;
    assert_eq!(response.status(), 200);
    let body: Value = response.json().await.unwrap();
    assert_eq!(
        body["data"],
        json!({"projects": {"totalCount": 0}, "project": null})
    );
    assert_eq!(body["errors"][0]["path"], json!(["project"]));
}

#[tokio::test]
async fn a_root_field_whose_argument_cannot_be_read_is_null() {
    let fixture = fixture().await;
    let query = "query($a: UUID) { tasks(filter: {assigneeId: $a}) { totalCount } }";
    let answer = fixture.ask(query, json!({"a": "not a uuid"})).await;
    assert_eq!(answer["data"], json!({"tasks": null}), "{answer:#}");
    assert_eq!(answer["errors"][0]["extensions"]["code"], "BAD_USER_INPUT");
}

#[tokio::test]
async fn fields_come_in_the_order_of_the_document() {
    let fixture = fixture().await;
    let project = uuid::Uuid::from_u128(1);
    fixture.project("acme", project, "Garden", 10, 1).await;
    fixture
        .task("acme", uuid::Uuid::from_u128(2), project, 10, 2)
        .await;
    let query = "query($no: Boolean!) {
        slow: projects { nodes { dashboard { total } ...Rest tasks { nodes { metadata title } } name } }
        none: tasks @include(if: $no) { totalCount }
        quick: __typename
    }
    fragment Rest on Project { projectId tasks { totalCount } }";
    let body = json!({"query": query, "variables": {"no": false}});
    let text = post(&fixture, NEW, body.to_string())
        .await
        .text()
        .await
        .unwrap();
    let data = text.split(",\"extensions\"").next().unwrap();
    assert_eq!(
        data,
        "{\"data\":{\"slow\":{\"nodes\":[{\"dashboard\":{\"total\":0},\
         \"projectId\":\"00000000-0000-0000-0000-000000000001\",\
         \"tasks\":{\"totalCount\":1,\"nodes\":[{\"metadata\":{\"k\":1},\"title\":\"Write\"}]},\
         \"name\":\"Garden\"}]},\"quick\":\"Query\"}"
    );
}

#[tokio::test]
async fn what_is_not_a_graphql_request_is_a_problem() {
    let fixture = fixture().await;
    problem(
        post(&fixture, OLD, "{\"query\":").await,
        400,
        "JSON_MALFORMED",
    )
    .await;
    problem(post(&fixture, OLD, "{}").await, 400, "QUERY_MISSING").await;
    problem(
        post(&fixture, OLD, "{\"query\": 1}").await,
        400,
        "BODY_INVALID",
    )
    .await;
    problem(
        post(&fixture, OLD, "{\"query\": \"{ a }\", \"variables\": [1]}").await,
        400,
        "BODY_INVALID",
    )
    .await;
    problem(
        post(&fixture, OLD, "[{\"query\": \"{ a }\"}]").await,
        400,
        "BATCH_REFUSED",
    )
    .await;
    problem(
        post(&fixture, "text/plain", "{}").await,
        406,
        "NOT_ACCEPTABLE",
    )
    .await;
    let nul = json!({"query": "{ a }", "variables": {"a": "\0"}}).to_string();
    problem(post(&fixture, OLD, nul).await, 422, "TEXT_WITH_NUL").await;
    let long = format!("{{\"query\": \"{}\"}}", " ".repeat(BODY_BYTES_MAX));
    problem(post(&fixture, OLD, long).await, 413, "BODY_TOO_LARGE").await;
}

#[tokio::test]
async fn only_json_is_read() {
    let fixture = fixture().await;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/graphql+json",
    ] {
        let sent = request(&fixture, Method::POST)
            .header("content-type", kind)
            .body("{}")
            .send()
            .await
            .unwrap();
        problem(sent, 415, "CONTENT_TYPE_UNSUPPORTED").await;
    }
    let bare = request(&fixture, Method::POST)
        .body("{}")
        .send()
        .await
        .unwrap();
    problem(bare, 415, "CONTENT_TYPE_UNSUPPORTED").await;
}

#[tokio::test]
async fn a_missing_or_bad_token_is_a_401() {
    let fixture = fixture().await;
    let body = || json!({"query": "{ __typename }"});
    let bare = Client::new()
        .post(fixture.url())
        .json(&body())
        .send()
        .await
        .unwrap();
    assert_eq!(bare.headers()["www-authenticate"], "Bearer");
    problem(bare, 401, "TOKEN_MISSING").await;
    let bad = Client::new()
        .post(fixture.url())
        .bearer_auth("x.y.z")
        .json(&body())
        .send()
        .await
        .unwrap();
    problem(bad, 401, "TOKEN_INVALID").await;
}

#[tokio::test]
async fn get_takes_queries_alone() {
    let fixture = fixture().await;
    let get = |parameters: &[(&str, &str)]| {
        let pairs: Vec<String> = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", percent_encoded(value)))
            .collect();
        let url = format!("{}?{}", fixture.url(), pairs.join("&"));
        Client::new()
            .get(url)
            .bearer_auth(token("acme"))
            .header("accept", NEW)
            .send()
    };
    let query = "query Q($n: Int) { projects(first: $n) { totalCount } } query R { __typename }";
    let answer = get(&[
        ("query", query),
        ("operationName", "Q"),
        ("variables", "{\"n\": 1}"),
    ])
    .await
    .unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(
        answer.json::<Value>().await.unwrap()["data"],
        json!({"projects": {"totalCount": 0}})
    );

    let mutation = get(&[(
        "query",
        "mutation { createProject(input: {name: \"x\"}) { version } }",
    )])
    .await
    .unwrap();
    assert_eq!(mutation.headers()["allow"], "POST");
    problem(mutation, 405, "METHOD_NOT_ALLOWED").await;
    assert_eq!(
        fixture.data("{ projects { totalCount } }", json!({})).await["projects"]["totalCount"],
        0
    );

    problem(
        get(&[("query", query), ("variables", "[")]).await.unwrap(),
        400,
        "QUERY_INVALID",
    )
    .await;
    problem(get(&[]).await.unwrap(), 400, "QUERY_MISSING").await;
    let unnamed = get(&[("query", query)]).await.unwrap();
    assert_eq!(unnamed.status(), 400);
    assert_eq!(
        unnamed.json::<Value>().await.unwrap()["errors"][0]["extensions"]["code"],
        "OPERATION_UNKNOWN"
    );
}

#[tokio::test]
async fn a_browser_gets_the_page_and_its_assets() {
    let fixture = fixture().await;
    let page = Client::new()
        .get(fixture.url())
        .header("accept", "text/html,*/*;q=0.8")
        .send()
        .await
        .unwrap();
    assert_eq!(page.status(), StatusCode::OK);
    assert_eq!(media_type(&page), "text/html");
    let built = page.headers().contains_key("etag");
    let text = page.text().await.unwrap();
    assert!(text.contains("GraphiQL"));
    let bare = fixture.url().replace("/graphql", "/");
    let led = Client::new().get(bare).header("accept", "text/html");
    assert_eq!(led.send().await.unwrap().url().path(), "/graphql");
    let missing = Client::new()
        .get(format!("{}/assets/nothing.js", fixture.url()))
        .send()
        .await
        .unwrap();
    problem(missing, 404, "UNKNOWN_ROUTE").await;
    if built {
        for (name, kind) in [
            ("graphiql.js", "text/javascript"),
            ("graphiql.css", "text/css"),
        ] {
            assert!(text.contains(&format!("/graphql/assets/{name}")));
            let asset = Client::new()
                .get(format!("{}/assets/{name}", fixture.url()))
                .send()
                .await
                .unwrap();
            assert_eq!(
                (asset.status(), media_type(&asset).as_str()),
                (StatusCode::OK, kind)
            );
            let tag = asset.headers()["etag"].clone();
            let again = Client::new()
                .get(format!("{}/assets/{name}", fixture.url()))
                .header("if-none-match", tag)
                .send()
                .await;
            assert_eq!(again.unwrap().status(), StatusCode::NOT_MODIFIED);
        }
    }
}

#[tokio::test]
async fn a_subscription_over_http_is_refused() {
    let fixture = fixture().await;
    let query =
        "subscription { projectChanged(id: \"00000000-0000-0000-0000-000000000001\") { name } }";
    let response = post(&fixture, NEW, json!({"query": query}).to_string()).await;
    assert_eq!(response.status(), 400);
}

#[tokio::test]
async fn what_fails_on_our_side_is_told_without_details() {
    let fixture = fixture().await;
    sqlx::query("alter view views.project_view rename to hidden_view")
        .execute(&fixture.owner)
        .await
        .unwrap();
    let answer = fixture.ask("{ projects { totalCount } }", json!({})).await;
    let error = &answer["errors"][0];
    assert_eq!(error["extensions"], json!({"code": "INTERNAL"}));
    assert!(
        !error["message"].as_str().unwrap().contains("project_view"),
        "{error}"
    );
}

fn percent_encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
