//! `/graphql/ws`: the life of one WebSocket, from its token to its end.
//!
//! One task serves one socket: it reads, it answers, and it polls the operations only while the client takes what it is
//! sent. A slow client therefore costs its own subscriptions their intermediate states, and nobody else anything.

mod operations;
mod protocol;

use std::{ops::ControlFlow, time::Duration};

use axum::{
    Extension,
    extract::{
        State,
        ws::{Message, WebSocket, WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use chrono::Utc;
use foldline_gate::{BODY_BYTES_MAX, Problem, TraceContext};
use tokio::time::{Instant, MissedTickBehavior, sleep_until};

use super::asker;
use crate::{ask::Asker, state::QueryState};
use operations::Operations;
use protocol::{Close, FromClient, SUBPROTOCOL, ToClient};

pub use operations::OPERATIONS_PER_CONNECTION_MAX;

/// How long one message may take to be sent before the client counts as gone.
const SEND_MS_MAX: u64 = 30_000;

/// What the task goes by: the connection goes on, or it ends, with a close message where there is somebody to hear it.
type Step = ControlFlow<Option<Close>>;

pub async fn upgrade(
    State(state): State<QueryState>,
    trace: Option<Extension<TraceContext>>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let upgrade = upgrade.map_err(|rejection| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "WEBSOCKET_EXPECTED",
            "This address takes WebSockets alone",
        )
        .detail(rejection.body_text())
    })?;
    // Browsers cannot send the header; who can may, and then needs nothing in `connection_init`.
    let known = if headers.contains_key(header::AUTHORIZATION) {
        Some(asker(&state, &headers, trace)?)
    } else {
        None
    };
    let place = state.websockets.clone().try_acquire_owned();
    let place = place.map_err(|_| Problem::unavailable("as many WebSockets are open as may be"))?;
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(BODY_BYTES_MAX);
    Ok(upgrade.on_upgrade(move |socket| async move {
        let gauge = metrics::gauge!("foldline_query_ws_connections");
        gauge.increment(1);
        serve(socket, &state, known, trace).await;
        gauge.decrement(1);
        drop(place);
    }))
}

async fn serve(
    mut socket: WebSocket,
    state: &QueryState,
    known: Option<Asker>,
    trace: Option<Extension<TraceContext>>,
) {
    let ended = if socket.protocol().is_none() {
        Some(Close::NotAcceptable)
    } else {
        match begin(&mut socket, state, known, trace).await {
            Ok(asker) => live(&mut socket, state, asker).await,
            Err(ended) => ended,
        }
    };
    if let Some(close) = ended {
        tracing::debug!(code = close.code(), "closing a websocket");
        // The client may be gone already; then there is nobody to tell.
        let _ = send(&mut socket, close.message()).await;
    }
}

/// Until the connection is acknowledged.
async fn begin(
    socket: &mut WebSocket,
    state: &QueryState,
    known: Option<Asker>,
    trace: Option<Extension<TraceContext>>,
) -> Result<Asker, Option<Close>> {
    let wait = Duration::from_millis(state.limits.ws_init_ms_max);
    let init = tokio::time::timeout(wait, initialised(socket));
    let payload = tokio::select! {
        () = state.closed.cancelled() => return Err(Some(Close::GoingAway)),
        payload = init => payload.map_err(|_| Some(Close::InitTimeout))??,
    };
    let asker = match (token_headers(payload.as_ref()), known) {
        (Some(headers), _) => {
            asker(state, &headers, trace).map_err(|problem| Some(forbidden(problem)))?
        }
        (None, Some(known)) => known,
        (None, None) => {
            return Err(Some(Close::Forbidden(
                "connection_init carries no token".to_owned(),
            )));
        }
    };
    match send(socket, ToClient::ConnectionAck {}.message()).await {
        Step::Continue(()) => Ok(asker),
        Step::Break(ended) => Err(ended),
    }
}

fn forbidden(problem: Problem) -> Close {
    Close::Forbidden(problem.detail.unwrap_or(problem.title))
}

/// The payload of `connection_init`.
async fn initialised(socket: &mut WebSocket) -> Result<Option<serde_json::Value>, Option<Close>> {
    loop {
        let Some(Ok(message)) = socket.recv().await else {
            return Err(None);
        };
        match FromClient::read(&message).map_err(Some)? {
            Some(FromClient::ConnectionInit { payload }) => return Ok(payload),
            Some(FromClient::Subscribe { .. }) => return Err(Some(Close::Unauthorized)),
            Some(FromClient::Ping { payload }) => {
                if let Step::Break(ended) = send(socket, ToClient::Pong { payload }.message()).await
                {
                    return Err(ended);
                }
            }
            Some(FromClient::Pong {} | FromClient::Complete { .. }) | None => {}
        }
    }
}

/// `{"authorization": "Bearer …"}` as the header that it stands for.
fn token_headers(payload: Option<&serde_json::Value>) -> Option<HeaderMap> {
    let fields = payload?.as_object()?;
    let (_, value) = fields
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("authorization"))?;
    let value = HeaderValue::from_str(value.as_str()?).ok()?;
    Some(HeaderMap::from_iter([(header::AUTHORIZATION, value)]))
}

/// From the acknowledgement to the end.
async fn live(socket: &mut WebSocket, state: &QueryState, asker: Asker) -> Option<Close> {
    let expires = sleep_until(expiry(&asker));
    tokio::pin!(expires);
    let interval = Duration::from_millis(state.limits.ws_ping_interval_ms);
    let mut pings = tokio::time::interval_at(Instant::now() + interval, interval);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut heard_at = Instant::now();
    let mut operations = Operations::new(state.clone(), asker);
    loop {
        let step = tokio::select! {
            () = state.closed.cancelled() => Step::Break(Some(Close::GoingAway)),
            () = &mut expires => Step::Break(Some(Close::Forbidden("the token has expired".to_owned()))),
            _ = pings.tick() => {
                if heard_at.elapsed() > interval * 2 {
                    // Not even a pong: the peer is gone, so there is nobody to tell.
                    Step::Break(None)
                } else {
                    send(socket, Message::Ping(Default::default())).await
                }
            }
            message = socket.recv() => {
                heard_at = Instant::now();
                match message {
                    Some(Ok(message)) => received(socket, &mut operations, &message).await,
                    Some(Err(_)) | None => Step::Break(None),
                }
            }
            message = operations.next() => send(socket, message).await,
        };
        if let Step::Break(ended) = step {
            return ended;
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the connection was authorised here, until a moment that must be found"
)]
fn expiry(asker: &Asker) -> Instant {
    let left = (asker.caller.expires_at - Utc::now())
        .to_std()
        .unwrap_or_default();
    /// Tokio's clock ends somewhere; a connection that lives for a year may be asked to come again.
    const LEFT_S_MAX: u64 = 365 * 24 * 60 * 60;
    Instant::now() + left.min(Duration::from_secs(LEFT_S_MAX))
}

async fn received(socket: &mut WebSocket, operations: &mut Operations, message: &Message) -> Step {
    let message = match FromClient::read(message) {
        Ok(Some(message)) => message,
        Ok(None) => return Step::Continue(()),
        Err(close) => return Step::Break(Some(close)),
    };
    match message {
        FromClient::ConnectionInit { .. } => Step::Break(Some(Close::TooManyInits)),
        FromClient::Ping { payload } => send(socket, ToClient::Pong { payload }.message()).await,
        FromClient::Pong {} => Step::Continue(()),
        FromClient::Complete { id } => {
            operations.end(&id);
            Step::Continue(())
        }
        FromClient::Subscribe { id, payload } => match operations.begin(id, payload) {
            Ok(None) => Step::Continue(()),
            Ok(Some(refusal)) => send(socket, refusal).await,
            Err(close) => Step::Break(Some(close)),
        },
    }
}

async fn send(socket: &mut WebSocket, message: Message) -> Step {
    let sent = tokio::time::timeout(Duration::from_millis(SEND_MS_MAX), socket.send(message)).await;
    match sent {
        Ok(Ok(())) => Step::Continue(()),
        Ok(Err(_)) | Err(_) => Step::Break(None),
    }
}
