//! The HTTP server of any role: its routes, health, metrics, and an end that finishes what is under way.

mod connections;

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use axum::{
    Json, Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use foldline_command::worker;
use foldline_gate::{bounded, closed, observe};
use foldline_log::{Log, relay::RelayStatus};
use foldline_query::QueryState;
use serde_json::{Map, Value, json};
use tokio::{net::TcpListener, sync::watch};
use tokio_util::sync::CancellationToken;

use crate::telemetry;

/// How long the database may take to say that it is there.
const CHECK_TIMEOUT_MS: u64 = 2_000;

/// One thing that must be well for the process to be ready.
#[derive(Clone)]
pub enum Check {
    Log(Log),
    Projector(foldline_projector::Health),
    Query(Box<QueryState>),
    Relay(watch::Receiver<RelayStatus>),
    Worker(watch::Receiver<worker::Status>),
}

impl Check {
    fn name(&self) -> &'static str {
        match self {
            Self::Log(_) => "log",
            Self::Projector(_) => "projector",
            Self::Query(_) => "query",
            Self::Relay(_) => "relay",
            Self::Worker(_) => "worker",
        }
    }

    /// Whether it is well, and what there is to say about it.
    async fn report(&self) -> (bool, Value) {
        match self {
            Self::Log(log) => {
                let timeout = Duration::from_millis(CHECK_TIMEOUT_MS);
                match tokio::time::timeout(timeout, log.head()).await {
                    Ok(Ok(head)) => (true, json!({"head": head.position.to_string()})),
                    Ok(Err(error)) => (false, json!({"error": error.to_string()})),
                    Err(_) => (
                        false,
                        json!({"error": "the log's database does not answer"}),
                    ),
                }
            }
            Self::Projector(health) => {
                let status = health.status();
                (status.is_ready(), json!(status))
            }
            Self::Query(state) => {
                let ready = state.is_ready();
                (ready, json!({"viewsKnown": ready}))
            }
            Self::Relay(status) => {
                let status = status.borrow().clone();
                let details = json!({
                    "leader": status.leader,
                    "mark": status.mark.to_string(),
                    "failure": status.failure,
                });
                (status.failure.is_none(), details)
            }
            Self::Worker(status) => {
                let status = status.borrow().clone();
                let places = (status.reactions.iter()).map(|(reaction, place)| {
                    (reaction.name().to_owned(), json!(place.to_string()))
                });
                let jobs = status.jobs.map(
                    |jobs| json!({"waiting": jobs.waiting, "due": jobs.due, "parked": jobs.parked}),
                );
                let details = json!({
                    "leader": status.leader,
                    "reactions": Map::from_iter(places),
                    "jobs": jobs,
                    "failure": status.failure,
                    "jobsFailure": status.jobs_failure,
                });
                (status.is_ready(), details)
            }
        }
    }
}

/// Binds the address, or says whose it is not.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address)
        .await
        .with_context(|| format!("cannot listen on {address}; choose another port or address"))
}

/// Serves until `shutdown`, then lets requests finish.
pub async fn serve(
    listener: TcpListener,
    routes: Router,
    checks: Vec<Check>,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let operations = Router::new()
        .route("/health/live", get(live))
        .route("/health/ready", get(ready))
        .route("/metrics", get(metrics))
        .with_state(checks);
    let app = observe(bounded(closed(routes.merge(operations))));
    connections::serve(listener, app, connections::Limits::default(), shutdown).await;
    Ok(())
}

async fn live() -> Json<Value> {
    Json(json!({"status": "live"}))
}

async fn ready(State(checks): State<Vec<Check>>) -> impl IntoResponse {
    let mut all_well = true;
    let mut details = Map::new();
    for check in &checks {
        let (well, detail) = check.report().await;
        all_well &= well;
        details.insert(check.name().to_owned(), detail);
    }
    let (code, status) = if all_well {
        (StatusCode::OK, "ready")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    };
    details.insert("status".to_owned(), json!(status));
    (code, Json(Value::Object(details)))
}

async fn metrics() -> impl IntoResponse {
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, media_type)], telemetry::metrics())
}
