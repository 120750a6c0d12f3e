//! How every "no" looks: a problem document, RFC 9457.

use std::borrow::Cow;

use axum::{
    http::{HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use foldline_events::Version;
use serde::{Deserialize, Serialize};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{RefOr, Schema},
};

pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// What a client is told to wait when a service cannot take a request now, in seconds.
pub const RETRY_AFTER_S: u16 = 1;

/// Why a request was not done. Programs go by the code or the type made of it, which are stable; `title` and `detail`
/// are for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Document", into = "Document")]
pub struct Problem {
    /// The same for every problem with this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong this time.
    pub detail: Option<String>,
    /// In SCREAMING_SNAKE_CASE; the same as GraphQL's `extensions.code`.
    pub code: String,
    /// The values to blame, where there are any.
    pub errors: Vec<Fault>,
    /// The version that the stream has, when another was expected.
    pub current_version: Option<Version>,
    /// When trying again may help, in seconds; also in the `Retry-After` header.
    pub retry_after_seconds: Option<u16>,
}

/// A problem as it is written.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Problem)]
struct Document {
    /// `urn:foldline:problem:` and the code in lower case with hyphens. Stable.
    #[serde(rename = "type")]
    #[schema(example = "urn:foldline:problem:unknown-project")]
    problem_type: String,
    /// The same for every problem of this type.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong this time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Stable; the same as GraphQL's `extensions.code`.
    #[schema(example = "UNKNOWN_PROJECT")]
    code: String,
    /// The values to blame, where there are any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Fault>,
    /// The version that the stream has, when another was expected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<i64>)]
    current_version: Option<Version>,
    /// When trying again may help, in seconds; also in the `Retry-After` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retry_after_seconds: Option<u16>,
}

/// One value that is to blame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Fault {
    /// JSON pointer (RFC 6901) into the request's body; empty for the body itself.
    #[schema(example = "/name")]
    pub pointer: String,
    pub message: String,
}

impl Problem {
    /// `code` is in SCREAMING_SNAKE_CASE.
    pub fn new(status: StatusCode, code: &str, title: &str) -> Self {
        Self {
            title: title.to_owned(),
            status: status.as_u16(),
            detail: None,
            code: code.to_owned(),
            errors: Vec::new(),
            current_version: None,
            retry_after_seconds: None,
        }
    }

    /// A stable URN, made of the code.
    pub fn problem_type(&self) -> String {
        let name = self.code.to_ascii_lowercase().replace('_', "-");
        format!("urn:foldline:problem:{name}")
    }

    #[must_use]
    pub fn detail(self, detail: impl Into<String>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..self
        }
    }

    #[must_use]
    pub fn fault(mut self, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.push(Fault {
            pointer: pointer.into(),
            message: message.into(),
        });
        self
    }

    #[must_use]
    pub fn current_version(self, version: Version) -> Self {
        Self {
            current_version: Some(version),
            ..self
        }
    }

    /// The service cannot take the request now: 503 with [`RETRY_AFTER_S`].
    pub fn unavailable(detail: impl Into<String>) -> Self {
        Self {
            retry_after_seconds: Some(RETRY_AFTER_S),
            ..Self::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "UNAVAILABLE",
                "The service cannot take the request now",
            )
            .detail(detail)
        }
    }

    /// Something of ours went wrong. What it was stands in the log, not in the answer.
    pub fn internal() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL",
            "Something went wrong on our side",
        )
        .detail("the server's log says more under this request's trace id")
    }

    /// The caller is known and may not do this.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "FORBIDDEN",
            "This token may not do that",
        )
        .detail(detail)
    }

    /// The HTTP status; 500 for a document from elsewhere whose number is none.
    pub fn status(&self) -> StatusCode {
        StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }
}

impl From<Problem> for Document {
    fn from(problem: Problem) -> Self {
        Self {
            problem_type: problem.problem_type(),
            title: problem.title,
            status: problem.status,
            detail: problem.detail,
            code: problem.code,
            errors: problem.errors,
            current_version: problem.current_version,
            retry_after_seconds: problem.retry_after_seconds,
        }
    }
}

impl From<Document> for Problem {
    fn from(document: Document) -> Self {
        Self {
            title: document.title,
            status: document.status,
            detail: document.detail,
            code: document.code,
            errors: document.errors,
            current_version: document.current_version,
            retry_after_seconds: document.retry_after_seconds,
        }
    }
}

impl PartialSchema for Problem {
    fn schema() -> RefOr<Schema> {
        Document::schema()
    }
}

impl ToSchema for Problem {
    fn name() -> Cow<'static, str> {
        Document::name()
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        Document::schemas(schemas);
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let body = serde_json::to_vec(&self).expect("text and numbers can be written as JSON");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static(PROBLEM_MEDIA_TYPE),
        );
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_survives_being_written() {
        let problem = Problem::new(StatusCode::CONFLICT, "TASK_EXISTS", "No")
            .detail("there is one")
            .fault("/id", "taken")
            .current_version(3);
        let json = serde_json::to_string(&problem).unwrap();
        assert!(
            json.contains(r#""type":"urn:foldline:problem:task-exists""#),
            "{json}"
        );
        assert_eq!(serde_json::from_str::<Problem>(&json).unwrap(), problem);
    }

    #[test]
    fn an_unavailable_service_says_when_to_come_back() {
        let response = Problem::unavailable("busy").into_response();
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(response.headers()[header::RETRY_AFTER], "1");
        assert_eq!(response.headers()[header::CONTENT_TYPE], PROBLEM_MEDIA_TYPE);
    }
}
