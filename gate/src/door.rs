//! What stands around every router: the answers for what is not there, and the span, trace and figures of a request.

use std::time::Instant;

use axum::{
    Router,
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode, Uri},
    middleware::{self, Next},
    response::Response,
};
use tracing::{Instrument, info_span};
use uuid::Uuid;

use crate::{Problem, TraceContext, room::Room};

/// Puts problem documents where a router has nothing: 404 for unknown routes, 405 with `Allow` for unknown methods.
/// Apply it once, after all routers were merged.
pub fn closed<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(unknown_method)
}

/// Gives every request a span with its trace id, hands [`TraceContext`] to handlers as an extension, and counts.
/// Apply it once, last of all.
pub fn observe<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(middleware::from_fn(observed))
}

/// Gives the bodies of all requests together [`crate::BODIES_BYTES_MAX`] of room. Apply it once, so that it holds for all
/// routes of a process.
pub fn bounded<S: Clone + Send + Sync + 'static>(router: Router<S>) -> Router<S> {
    router.layer(middleware::from_fn_with_state(Room::default(), held))
}

/// What was read of a request takes its room until there is an answer.
async fn held(State(room): State<Room>, mut request: Request, next: Next) -> Response {
    let held = room.for_request();
    request.extensions_mut().insert(held.clone());
    let response = next.run(request).await;
    drop(held);
    response
}

async fn unknown_route(uri: Uri) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "UNKNOWN_ROUTE",
        "There is nothing at this address",
    )
    .detail(format!("no route {}", shortened(uri.path())))
}

async fn unknown_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "METHOD_NOT_ALLOWED",
        "This address does not take this method",
    )
    .detail(format!(
        "{} cannot be used on {}; the Allow header lists what can",
        shortened(method.as_str()),
        shortened(uri.path())
    ))
}

#[expect(
    clippy::disallowed_methods,
    reason = "a request enters here, and may bring no trace of its own"
)]
async fn observed(mut request: Request, next: Next) -> Response {
    let context = TraceContext::entered(
        TraceContext::of(request.headers()),
        Uuid::new_v4().as_u128(),
    );
    request.extensions_mut().insert(context);
    let method = method_name(request.method());
    let route = (request.extensions().get::<MatchedPath>())
        .map_or_else(|| "unknown".to_owned(), |path| path.as_str().to_owned());
    let span = info_span!("request", method, route, trace_id = context.trace_id());
    let started = Instant::now();

    let response = next.run(request).instrument(span).await;

    let status = response.status().as_u16().to_string();
    let labels = [
        ("method", method.to_owned()),
        ("route", route),
        ("status", status),
    ];
    metrics::histogram!("foldline_http_request_seconds", &labels).record(started.elapsed());
    metrics::counter!("foldline_http_requests_total", &labels).increment(1);
    response
}

/// Methods are whatever a client sends; as a label they must be few.
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

/// A caller's own text, short enough to be said back.
fn shortened(text: &str) -> String {
    const CHARS_MAX: usize = 200;
    text.chars().take(CHARS_MAX).collect()
}
