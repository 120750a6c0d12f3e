//! `POST /api/v1/commands`: many commands in one request.

use axum::{
    Json,
    extract::{FromRequest, Request, State},
    http::request::Parts,
};
use foldline_gate::{Caller, JsonText, Problem};
use utoipa::ToSchema;

use super::{answer::Problems, envelope};
use crate::{Handler, Item, Verdicts, bulk};

/// For the description only: an array of items without the object is taken, too.
#[derive(ToSchema)]
#[expect(
    dead_code,
    reason = "items are read one by one, so that each can be wrong for itself"
)]
pub(super) struct Commands {
    #[schema(max_items = 1000)]
    commands: Vec<Item>,
}

/// Do many commands
///
/// As if they were sent one after another: items on one stream, and items that refer to a project written before,
/// keep their order. Each gets a verdict of its own. On 503 some may have been recorded: repeating all of them is
/// harmless.
#[utoipa::path(
    post,
    path = "/api/v1/commands",
    tag = "commands",
    security(("token" = [])),
    request_body = Commands,
    responses((status = 200, description = "A verdict for each command, in order", body = Verdicts), Problems),
)]
pub(super) async fn commands(
    State(handler): State<Handler>,
    caller: Caller,
    parts: Parts,
    request: Request,
) -> Result<Json<Verdicts>, Problem> {
    let JsonText(body) = JsonText::from_request(request, &()).await?;
    let trace_context = envelope::trace_context(&parts);
    bulk::answer(&handler, &caller, trace_context.as_deref(), &body)
        .await
        .map(Json)
}
