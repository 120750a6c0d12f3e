//! GraphQL over HTTP, by our own thin handlers (the stock ones answer the wrong media type, run mutations over GET,
//! and read bodies without a bound).
//!
//! What is wrong with the HTTP request is a problem document; what is wrong with the GraphQL in it is a GraphQL response.
//! Routes: `/` (leads to the page), `POST /graphql`, `GET /graphql` (queries, and the GraphiQL page for browsers), `/graphql/assets/{file}`, and
//! `/graphql/ws`, for which read `http/ws.rs` next.

mod document;
mod graphiql;
mod media;
mod shape;
mod ws;

use std::time::{Duration, Instant};

use async_graphql::{Response as Answer, ServerError, parser::types::OperationType};
use axum::{
    Extension, Router,
    extract::FromRequest,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use foldline_gate::{JsonText, Problem, TraceContext, counts_for, media_type_must_be};
use serde::Serialize;
use tracing::{Instrument, info_span};

pub use ws::OPERATIONS_PER_CONNECTION_MAX;

use crate::{
    ask::{Ask, Asker},
    error::{self, Error},
    state::QueryState,
};
use document::{Parameters, Prepared, UrlParameters};
use media::{Media, wants_page};

/// The query service's routes, without a fallback: the program merges routers.
pub fn router(state: QueryState) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::temporary("/graphql") }))
        .route("/graphql", get(by_url).post(by_body))
        .route("/graphql/ws", get(ws::upgrade))
        .route("/graphql/assets/{file}", get(graphiql::asset))
        .with_state(state)
}

/// A GraphQL response as it goes out: without `data` when nothing was executed.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<&'a async_graphql::Value>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    errors: &'a [ServerError],
    extensions: &'a std::collections::BTreeMap<String, async_graphql::Value>,
}

async fn by_body(
    State(state): State<QueryState>,
    trace: Option<Extension<TraceContext>>,
    request: Request,
) -> Result<Response, Problem> {
    let asker = asker(&state, request.headers(), trace)?;
    counts_for(request.extensions(), &asker.caller.tenant);
    let media = accepted(request.headers())?;
    media_type_must_be(request.headers(), |essence| essence == "application/json")?;
    let JsonText(text) = JsonText::from_request(request, &()).await?;
    match Parameters::of_body(&text)?.prepare()? {
        Ok(prepared) => Ok(execute(&state, &asker, prepared, media).await),
        Err(error) => Ok(refused(&state, &asker, error, media)),
    }
}

async fn by_url(
    State(state): State<QueryState>,
    trace: Option<Extension<TraceContext>>,
    headers: HeaderMap,
    url: Result<Query<UrlParameters>, QueryRejection>,
) -> Result<Response, Problem> {
    if wants_page(&headers) {
        return Ok(graphiql::page(&headers));
    }
    let asker = asker(&state, &headers, trace)?;
    let media = accepted(&headers)?;
    let Query(url) = url.map_err(|rejection| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "QUERY_INVALID",
            "The address' parameters are not as they must be",
        )
        .detail(rejection.body_text())
    })?;
    match Parameters::of_url(url)?.prepare()? {
        Ok(prepared) if prepared.operation_type != OperationType::Query => Ok(only_queries()),
        Ok(prepared) => Ok(execute(&state, &asker, prepared, media).await),
        Err(error) => Ok(refused(&state, &asker, error, media)),
    }
}

/// Links are followed and prefetched by those who mean no change.
fn only_queries() -> Response {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        "GET takes queries alone",
    )
    .detail("send mutations by POST, and subscriptions over WebSocket at /graphql/ws");
    let mut response = problem.into_response();
    response
        .headers_mut()
        .insert(header::ALLOW, HeaderValue::from_static("POST"));
    response
}

fn asker(
    state: &QueryState,
    headers: &HeaderMap,
    trace: Option<Extension<TraceContext>>,
) -> Result<Asker, Problem> {
    let caller = state.gate.caller(headers)?;
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .map(|(_, token)| token.trim().to_owned())
        .unwrap_or_default();
    Ok(Asker {
        caller,
        token,
        trace: trace.map(|Extension(trace)| trace),
    })
}

fn accepted(headers: &HeaderMap) -> Result<Media, Problem> {
    Media::accepted(headers).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            "NOT_ACCEPTABLE",
            "No media type that is accepted can be given",
        )
        .detail("accept application/graphql-response+json or application/json")
    })
}

/// The door takes every `+json`; a form or text, which a browser may send from any page, must not pass here either way.
async fn execute(state: &QueryState, asker: &Asker, prepared: Prepared, media: Media) -> Response {
    let ask = Ask::new(state, asker);
    let kind = type_name(prepared.operation_type);
    let tenant = asker.caller.tenant.as_str();
    let span = info_span!("graphql", operation = prepared.operation_name, kind, tenant);
    let started = Instant::now();
    let waited_ms = state.limits.request_ms_max;
    let request = prepared.request.data(ask.clone());
    let answer = async {
        let executed = tokio::time::timeout(
            Duration::from_millis(waited_ms),
            state.schema.execute(request),
        )
        .await;
        let answer = executed.unwrap_or_else(|_| {
            let late = async_graphql::Error::from(Error::Timeout { waited_ms });
            let mut error = ServerError::new(late.message, None);
            error.source = late.source;
            Answer::from_errors(vec![error])
        });
        let answer = error::answered(answer);
        if error::is_request_error(&answer) {
            answer
        } else {
            prepared.shape.shaped(answer)
        }
    };
    let answer = answer
        .instrument(span)
        .await
        .extension("foldline", ask.extension());
    let outcome = if answer.is_ok() { "ok" } else { "error" };
    metrics::histogram!("foldline_query_request_seconds", "type" => kind, "outcome" => outcome)
        .record(started.elapsed());
    write(&answer, media)
}

/// The document was refused before it could be executed.
fn refused(state: &QueryState, asker: &Asker, error: ServerError, media: Media) -> Response {
    let answer =
        Answer::from_errors(vec![error]).extension("foldline", Ask::new(state, asker).extension());
    write(&error::answered(answer), media)
}

fn write(answer: &Answer, media: Media) -> Response {
    let request_error = error::is_request_error(answer);
    let body = Body {
        data: (!request_error).then_some(&answer.data),
        errors: &answer.errors,
        extensions: &answer.extensions,
    };
    let json =
        serde_json::to_vec(&body).expect("a GraphQL response is text, numbers and lists of them");
    let status = match media {
        Media::GraphqlResponse if request_error => StatusCode::BAD_REQUEST,
        Media::GraphqlResponse | Media::Json => StatusCode::OK,
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(media.content_type()),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::VARY,
            HeaderValue::from_static("accept, authorization"),
        ),
    ];
    (status, headers, json).into_response()
}

fn type_name(operation: OperationType) -> &'static str {
    match operation {
        OperationType::Query => "query",
        OperationType::Mutation => "mutation",
        OperationType::Subscription => "subscription",
    }
}
