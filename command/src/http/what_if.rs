//! `POST /api/v1/what-if`: what a command would do.

use axum::{
    Json,
    extract::{FromRequest, Request, State},
};
use foldline_gate::{Caller, JsonText, Problem, parse_object};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::answer::Problems;
use crate::{AsOf, Handler, Item, WhatIf, bulk};

// Both stay text at first: what is wrong in the command is its verdict.
/// A command, and when it would have been sent.
#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = WhatIfQuestion)]
pub(super) struct Question {
    #[schema(value_type = Item)]
    command: Box<RawValue>,
    /// Now, when absent.
    #[serde(default)]
    #[schema(value_type = Option<AsOf>)]
    as_of: Option<Box<RawValue>>,
}

/// Ask what a command would do
///
/// It is decided as it would be if it were sent, on everything that the log held as of a past position, or holds now; and
/// nothing is recorded: its id can be used afterwards. It takes the role that the command takes. Whatever the command would
/// be refused for is the verdict `rejected`, with the same problem document; the question itself is refused only where it has
/// no answer. As of now the command id counts: of one that was used before the verdict is `known`, or `rejected`. As of a
/// past position or time it counts as new, so that a command of the past can be asked about again.
#[utoipa::path(
    post,
    path = "/api/v1/what-if",
    tag = "commands",
    security(("token" = [])),
    request_body = Question,
    responses((status = 200, description = "What it would do", body = WhatIf), Problems),
)]
pub(super) async fn what_if(
    State(handler): State<Handler>,
    caller: Caller,
    request: Request,
) -> Result<Json<WhatIf>, Problem> {
    let JsonText(body) = JsonText::from_request(request, &()).await?;
    let Question { command, as_of } = bulk::read_object_loosely(&body)?;
    let as_of = as_of.map(|as_of| moment(as_of.get())).transpose()?;
    handler
        .what_if(&caller, command.get(), as_of)
        .await
        .map(Json)
}

/// Its pointers start at the body.
fn moment(text: &str) -> Result<AsOf, Problem> {
    parse_object(text).map_err(|mut problem| {
        for fault in &mut problem.errors {
            fault.pointer.insert_str(0, "/asOf");
        }
        problem
    })
}
