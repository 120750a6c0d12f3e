//! The HTTP API of commands: routes, their description, and the page that shows it.
//!
//! Each context has its routes in a module of its own name. Fallbacks for unknown routes and methods are not put
//! here: whoever merges routers applies [`foldline_gate::closed`] once to all of them.

mod answer;
mod docs;
mod envelope;
mod many;
mod route;
mod tasks;
mod what_if;

use std::sync::LazyLock;

use axum::{Extension, Json, Router, extract::FromRef};
use foldline_gate::{BodyBytesMax, Gate};
use utoipa::{
    OpenApi,
    openapi::{
        OpenApi as Description,
        security::{Http, HttpAuthScheme, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::Handler;

/// How long a body of many commands may be, in bytes.
pub const BULK_BODY_BYTES_MAX: usize = 8 * 1024 * 1024;

#[derive(Clone)]
struct Api {
    handler: Handler,
    gate: Gate,
}

impl FromRef<Api> for Gate {
    fn from_ref(api: &Api) -> Self {
        api.gate.clone()
    }
}

impl FromRef<Api> for Handler {
    fn from_ref(api: &Api) -> Self {
        api.handler.clone()
    }
}

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Foldline commands",
        description = "Every request is a command: it is decided at once, and recorded or refused. Give an \
            `Idempotency-Key` (a UUID) and a retry has no further effect. The `cursor` of an answer, given to a query \
            as `atLeast`, makes it see what the command did. Every refusal is a problem document (RFC 9457) with a \
            stable `type` and `code`.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "projects", description = "Projects hold tasks."),
        (name = "tasks", description = "Tasks with labels and steps."),
        (name = "commands", description = "Many commands in one request, and what one would do."),
        (name = "description", description = "What this is, for programs."),
    ),
)]
struct Document;

/// The routes of commands, the description at `/api/v1/openapi.json` and the page at `/api/docs`.
pub fn router(handler: Handler, gate: Gate) -> Router {
    let (router, _) = described();
    router
        .with_state(Api { handler, gate })
        .merge(docs::router())
}

/// The description of the HTTP API, OpenAPI 3.1.
pub fn openapi() -> Description {
    described().1
}

/// This description
#[utoipa::path(
    get,
    path = "/api/v1/openapi.json",
    tag = "description",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
async fn description() -> Json<&'static Description> {
    static DESCRIPTION: LazyLock<Description> = LazyLock::new(openapi);
    Json(&DESCRIPTION)
}

fn described() -> (Router<Api>, Description) {
    let many = OpenApiRouter::new()
        .routes(routes!(many::commands))
        .layer(Extension(BodyBytesMax(BULK_BODY_BYTES_MAX)));
    let (router, mut description) = OpenApiRouter::with_openapi(Document::openapi())
        .merge(tasks::router())
        .merge(many)
        .routes(routes!(what_if::what_if))
        .routes(routes!(description))
        .split_for_parts();
    let token = Http::builder()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("JWT")
        .description(Some(
            "A token names tenant, actor and role (viewer, member, admin); `foldline token` makes one.",
        ))
        .build();
    description
        .components
        .get_or_insert_default()
        .add_security_scheme("token", SecurityScheme::Http(token));
    (router, description)
}
