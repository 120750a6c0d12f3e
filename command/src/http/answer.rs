//! From a command to its HTTP answer, the same for every route.

use axum::{
    Json,
    extract::FromRequestParts,
    http::{HeaderName, StatusCode, header, request::Parts},
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use foldline_domain::Command;
use foldline_gate::{Caller, Problem};
use utoipa::IntoResponses;
use uuid::Uuid;

use super::{Api, envelope::Envelope};
use crate::{Accepted, Handler, Request};

const FOLDLINE_CURSOR: HeaderName = HeaderName::from_static("foldline-cursor");

/// What every route may answer instead.
#[derive(IntoResponses)]
#[expect(
    dead_code,
    reason = "utoipa describes responses by the variants of an enum"
)]
pub(super) enum Problems {
    /// A header, the path or the JSON is malformed.
    #[response(status = 400, content_type = "application/problem+json")]
    Malformed(Problem),
    /// There is no token, or it is not valid.
    #[response(status = 401, content_type = "application/problem+json")]
    Unauthenticated(Problem),
    /// The token's role may not do this.
    #[response(status = 403, content_type = "application/problem+json")]
    Forbidden(Problem),
    /// The body is too large.
    #[response(status = 413, content_type = "application/problem+json")]
    TooLarge(Problem),
    /// The body is not `application/json`.
    #[response(status = 415, content_type = "application/problem+json")]
    ContentType(Problem),
    /// A value is unknown, of the wrong type or out of bounds; `errors` points at it.
    #[response(status = 422, content_type = "application/problem+json")]
    Invalid(Problem),
    /// Something went wrong on our side.
    #[response(status = 500, content_type = "application/problem+json")]
    Internal(Problem),
    /// Not now; try again with the same command ids after `Retry-After` seconds.
    #[response(status = 503, content_type = "application/problem+json")]
    Unavailable(Problem),
}

/// What a route for one command may answer besides.
#[derive(IntoResponses)]
#[expect(
    dead_code,
    reason = "utoipa describes responses by the variants of an enum"
)]
pub(super) enum Refusals {
    /// The project, task or step does not exist.
    #[response(status = 404, content_type = "application/problem+json")]
    Unknown(Problem),
    /// The rules forbid it as things are, or the command id was used for something else.
    #[response(status = 409, content_type = "application/problem+json")]
    Conflict(Problem),
    /// The version is not the one that `If-Match` names; `currentVersion` has it.
    #[response(status = 412, content_type = "application/problem+json")]
    Stale(Problem),
}

/// Who sends a command, and what the headers say about it.
pub(super) struct Sender {
    pub(super) handler: Handler,
    pub(super) caller: Caller,
    pub(super) envelope: Envelope,
}

impl FromRequestParts<Api> for Sender {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Problem> {
        Ok(Self {
            caller: Caller::from_request_parts(parts, api).await?,
            envelope: Envelope::from_request_parts(parts, api).await?,
            handler: api.handler.clone(),
        })
    }
}

impl Sender {
    /// The id of what is to be created.
    pub(super) fn created_id(&self, given: Option<Uuid>) -> Uuid {
        given.unwrap_or_else(|| crate::created_id(&self.caller, self.envelope.command_id))
    }

    /// 201 with what was created.
    pub(super) async fn create(
        self,
        command: Command,
        aggregate: Uuid,
        at: Option<DateTime<Utc>>,
    ) -> Result<Response, Problem> {
        let accepted = self.send(command, aggregate, at).await?;
        Ok(response(StatusCode::CREATED, &accepted))
    }

    /// 200 with the stream as it is now.
    pub(super) async fn change(
        self,
        command: Command,
        aggregate: Uuid,
        at: Option<DateTime<Utc>>,
    ) -> Result<Response, Problem> {
        let accepted = self.send(command, aggregate, at).await?;
        Ok(response(StatusCode::OK, &accepted))
    }

    async fn send(
        self,
        command: Command,
        aggregate: Uuid,
        at: Option<DateTime<Utc>>,
    ) -> Result<Accepted, Problem> {
        let request = Request {
            id: self.envelope.command_id,
            command,
            aggregate,
            at,
            expected_version: self.envelope.expected_version,
            trace_context: self.envelope.trace_context,
            correlation_id: None,
            causation_id: None,
        };
        Ok(self.handler.handle(&self.caller, request).await?)
    }
}

fn response(status: StatusCode, accepted: &Accepted) -> Response {
    let headers = [
        (FOLDLINE_CURSOR, accepted.cursor.to_string()),
        (header::ETAG, format!("\"{}\"", accepted.version)),
    ];
    (status, headers, Json(accepted)).into_response()
}
