//! What the headers of a command say: its id, the version it expects, and the trace it belongs to.

use axum::{
    extract::FromRequestParts,
    http::{HeaderMap, HeaderName, StatusCode, header, request::Parts},
};
use foldline_events::Version;
use foldline_gate::{Problem, TraceContext};
use utoipa::IntoParams;
use uuid::Uuid;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// For the description only: the headers are read below.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(
    dead_code,
    reason = "utoipa describes headers by the fields of a struct"
)]
pub(super) struct CommandHeaders {
    /// The command id. A request that recorded something, repeated with the same one and the same content, has no
    /// further effect and gets its first answer. One that recorded nothing, because it was refused or all was so
    /// already, is not remembered: repeated, it is decided anew. One is made when it is absent. Ids are known for 90 days,
    /// unless whoever runs the service says otherwise; at least for 7.
    #[param(rename = "Idempotency-Key", value_type = Uuid, required = false)]
    idempotency_key: Option<Uuid>,
    /// The version that the stream must have, as in the `ETag` of an answer.
    #[param(rename = "If-Match", value_type = String, required = false)]
    if_match: Option<String>,
}

#[derive(Debug)]
pub(super) struct Envelope {
    pub(super) command_id: Uuid,
    pub(super) expected_version: Option<Version>,
    pub(super) trace_context: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Envelope {
    type Rejection = Problem;

    #[expect(
        clippy::disallowed_methods,
        reason = "a request enters here, and may bring no id of its own"
    )]
    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let command_id = match only(&parts.headers, &IDEMPOTENCY_KEY)? {
            Some(text) => command_id(text)?,
            None => Uuid::now_v7(),
        };
        Ok(Self {
            command_id,
            expected_version: only(&parts.headers, &header::IF_MATCH)?
                .map(version)
                .transpose()?,
            trace_context: trace_context(parts),
        })
    }
}

/// W3C `traceparent` of the request, where it is traced.
pub(super) fn trace_context(parts: &Parts) -> Option<String> {
    parts
        .extensions
        .get::<TraceContext>()
        .map(TraceContext::to_string)
}

fn only<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Result<Option<&'a str>, Problem> {
    let mut values = headers.get_all(name).iter();
    let first = values.next();
    if values.next().is_some() {
        return Err(invalid(&format!("{name} must be given once")));
    }
    (first.map(|value| value.to_str()).transpose())
        .map_err(|_| invalid(&format!("{name} is not plain text")))
}

/// The header's draft writes it as a quoted string, most clients bare: both are meant.
fn command_id(text: &str) -> Result<Uuid, Problem> {
    let bare = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .unwrap_or(text);
    Uuid::try_parse(bare).map_err(|_| invalid("Idempotency-Key must be a UUID"))
}

fn version(text: &str) -> Result<Version, Problem> {
    text.strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'))
        .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|digits| digits.parse().ok())
        .ok_or_else(|| {
            invalid("If-Match must be one version in quotes, as in the ETag of an answer")
        })
}

fn invalid(detail: &str) -> Problem {
    Problem::new(
        StatusCode::BAD_REQUEST,
        "HEADER_INVALID",
        "A header is not as it must be",
    )
    .detail(detail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_in_quotes() {
        assert_eq!(version("\"12\"").unwrap(), 12);
        for bad in [
            "12",
            "*",
            "W/\"12\"",
            "\"\"",
            "\"-1\"",
            "\"1\", \"2\"",
            "\"99999999999999999999\"",
        ] {
            assert_eq!(version(bad).unwrap_err().code, "HEADER_INVALID", "{bad}");
        }
    }

    #[test]
    fn a_command_id_is_a_uuid_quoted_or_not() {
        let id = Uuid::from_u128(7);
        assert_eq!(command_id(&id.to_string()).unwrap(), id);
        assert_eq!(command_id(&format!("\"{id}\"")).unwrap(), id);
        assert_eq!(command_id("again").unwrap_err().code, "HEADER_INVALID");
    }
}
