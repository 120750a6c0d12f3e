//! Reading what a request brings: JSON bodies and the parameters of its path, each with a problem for every fault.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{FromRequest, FromRequestParts, Path, Request},
    http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts},
};
use futures_util::StreamExt;
use serde::de::DeserializeOwned;

use crate::{Problem, room::Held};

/// How long a body may be where nothing else is said, in bytes.
pub const BODY_BYTES_MAX: usize = 256 * 1024;

/// How much more than allowed is read and thrown away, in bytes: a client that is still sending when the connection
/// closes never sees why.
const DRAINED_BYTES_MAX: usize = 32 * 1024 * 1024;

/// How long a client may let us wait for the next piece of a body, in seconds.
pub const BODY_PAUSE_SECONDS_MAX: u64 = 30;

/// How long a client may take for a whole body, in seconds.
pub const BODY_SECONDS_MAX: u64 = 300;

/// As an extension of a request (`.layer(Extension(BodyBytesMax(…)))` on its route), how long its body may be instead.
#[derive(Debug, Clone, Copy)]
pub struct BodyBytesMax(pub usize);

/// A JSON body as text: its content type, its length and its encoding are right, nothing more is known of it.
pub struct JsonText(pub String);

/// A JSON body, read.
pub struct Json<T>(pub T);

/// A JSON body, read; none, or `null`, is read as `{}`.
pub struct OptionalJson<T>(pub T);

/// The parameters of a path, read.
pub struct PathParameters<T>(pub T);

impl<S: Send + Sync> FromRequest<S> for JsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        must_be_json(request.headers())?;
        Ok(Self(text(bytes(request).await?)?))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let JsonText(text) = JsonText::from_request(request, state).await?;
        Ok(Self(parse_object(&text)?))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for OptionalJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let typed = must_be_json(request.headers());
        let bytes = bytes(request).await?;
        if bytes.is_empty() {
            return Ok(Self(parse_object("{}")?));
        }
        typed?;
        if bytes.trim_ascii() == b"null" {
            return Ok(Self(parse_object("{}")?));
        }
        Ok(Self(parse_object(&text(bytes)?)?))
    }
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "PATH_INVALID",
                "A part of the path is not as it must be",
            )
            .detail(rejection.body_text())),
        }
    }
}

/// Reads a JSON object strictly, as [`parse`] does. serde takes an array for a struct, field by field in order; that is
/// not how requests are written.
pub fn parse_object<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let value = parse(text)?;
    if text.trim_start().starts_with('[') {
        return Err(not_an_object());
    }
    Ok(value)
}

/// Reads JSON text strictly: a syntax error is a 400 with line and column; a value of the wrong type, an unknown
/// field, or NUL in a text is a 422 with a pointer to it. Nesting is bounded by the reader (128 deep).
pub fn parse<T: DeserializeOwned>(text: &str) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = serde_path_to_error::deserialize(&mut reader);
    let (pointer, error) = match read {
        Ok(value) => match reader.end() {
            Ok(()) if has_nul(text) => return Err(nul()),
            Ok(()) => return Ok(value),
            Err(error) => (String::new(), error),
        },
        Err(error) => (pointer_to(error.path()), error.into_inner()),
    };
    if error.is_data() {
        // What comes after the fault has not been read, so the text may still be malformed; one problem is enough.
        return Err(if has_nul(text) {
            nul()
        } else {
            Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "BODY_INVALID",
                "A value in the body is not as it must be",
            )
            .detail(format!(
                "at {}: {error}",
                if pointer.is_empty() {
                    "the body"
                } else {
                    &pointer
                }
            ))
            .fault(pointer, error.to_string())
        });
    }
    Err(Problem::new(
        StatusCode::BAD_REQUEST,
        "JSON_MALFORMED",
        "The body is not JSON",
    )
    .detail(error.to_string()))
}

async fn bytes(request: Request) -> Result<Vec<u8>, Problem> {
    let limit = request.extensions().get::<BodyBytesMax>();
    let bytes_max = limit.map_or(BODY_BYTES_MAX, |limit| limit.0);
    // Who asks before sending need not send: the body is left alone.
    let asks = request.headers().contains_key(header::EXPECT);
    if asks && announced(request.headers()).is_some_and(|bytes| bytes > bytes_max) {
        return Err(too_large(bytes_max));
    }
    let pause_max = Duration::from_secs(BODY_PAUSE_SECONDS_MAX);
    let whole_max = Duration::from_secs(BODY_SECONDS_MAX);
    let held = request.extensions().get::<Held>().cloned();
    // One who does not say how long it will be may send as much as there may be.
    let length = announced(request.headers()).unwrap_or(bytes_max);
    let kept = held.as_ref().map(|held| (held, length.min(bytes_max)));
    let reading = read(request.into_body(), bytes_max, pause_max, kept);
    tokio::time::timeout(whole_max, reading)
        .await
        .unwrap_or_else(|_| Err(too_slow(whole_max)))
}

/// What is kept takes room, where that is bounded. What is not kept is read all the same, up to a bound: a client that is still
/// sending when the connection closes never sees why.
async fn read(
    body: Body,
    bytes_max: usize,
    pause_max: Duration,
    kept: Option<(&Held, usize)>,
) -> Result<Vec<u8>, Problem> {
    let mut frames = body.into_data_stream();
    let mut bytes = Vec::new();
    let mut length = 0;
    let mut refused = None;
    while let Some(frame) = tokio::time::timeout(pause_max, frames.next())
        .await
        .map_err(|_| too_slow(pause_max))?
    {
        let frame = frame.map_err(|_| {
            Problem::new(
                StatusCode::BAD_REQUEST,
                "BODY_UNREADABLE",
                "The body cannot be read",
            )
            .detail("it ended before it was complete")
        })?;
        length += frame.len();
        if length > bytes_max {
            refused = Some(too_large(bytes_max));
        }
        if length > bytes_max + DRAINED_BYTES_MAX {
            break;
        }
        if let (None, Some((held, whole))) = (&refused, kept) {
            refused = held.grow(frame.len(), whole).await.err();
        }
        match refused {
            None => bytes.extend_from_slice(&frame),
            Some(_) => {
                bytes = Vec::new();
                if let Some((held, _)) = kept {
                    held.give_back();
                }
            }
        }
    }
    refused.map_or(Ok(bytes), Err)
}

fn too_slow(pause: Duration) -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "BODY_TOO_SLOW",
        "The body did not arrive in time",
    )
    .detail(format!(
        "it did not come within {pause:?}; nothing was done, send it again"
    ))
}

fn announced(headers: &HeaderMap) -> Option<usize> {
    headers
        .get(header::CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn too_large(bytes_max: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "BODY_TOO_LARGE",
        "The body is too large",
    )
    .detail(format!("at most {bytes_max} bytes are taken here"))
}

fn text(bytes: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(bytes).map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            "JSON_MALFORMED",
            "The body is not JSON",
        )
        .detail(format!("it is not UTF-8: {}", error.utf8_error()))
    })
}

fn must_be_json(headers: &HeaderMap) -> Result<(), Problem> {
    media_type_must_be(headers, |essence| {
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    })
}

/// Refuses a body whose one content type is not the one asked for, or that is compressed.
pub fn media_type_must_be(headers: &HeaderMap, fits: impl Fn(&str) -> bool) -> Result<(), Problem> {
    let unsupported = |title: &'static str, detail: String| {
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Err(Problem::new(status, "CONTENT_TYPE_UNSUPPORTED", title).detail(detail))
    };
    if let Some(encoding) = headers.get(header::CONTENT_ENCODING) {
        return unsupported(
            "The body's content encoding is not supported",
            format!("it is {encoding:?}; send the body as it is, without `Content-Encoding`"),
        );
    }
    let mut given = headers.get_all(header::CONTENT_TYPE).iter();
    let (first, second) = (given.next(), given.next());
    let essence = first
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next())
        .map(|essence| essence.trim().to_ascii_lowercase());
    if second.is_none() && essence.as_deref().is_some_and(fits) {
        return match first.and_then(charset).filter(|charset| !is_utf8(charset)) {
            None => Ok(()),
            Some(charset) => unsupported(
                "The body's character set is not supported",
                format!("it is {charset:?}; send UTF-8"),
            ),
        };
    }
    let found = match (essence, second) {
        (_, Some(_)) => "it is given more than once".to_owned(),
        (Some(essence), None) => format!("it is {essence:?}"),
        (None, None) => "there is none".to_owned(),
    };
    unsupported(
        "The body's content type is not supported",
        format!("{found}; send `Content-Type: application/json`"),
    )
}

/// The parameter of a content type that says how its text is encoded.
fn charset(content_type: &HeaderValue) -> Option<&str> {
    let mut parameters = content_type.to_str().ok()?.split(';').skip(1);
    parameters.find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        let is_charset = name.trim().eq_ignore_ascii_case("charset");
        is_charset.then(|| value.trim().trim_matches('"'))
    })
}

/// ASCII is UTF-8.
fn is_utf8(charset: &str) -> bool {
    ["utf-8", "utf8", "us-ascii"]
        .iter()
        .any(|known| charset.eq_ignore_ascii_case(known))
}

/// RFC 6901, of the place where reading stopped.
fn pointer_to(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    let escape = |key: &str| key.replace('~', "~0").replace('/', "~1");
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", escape(key)),
            Segment::Enum { variant } => format!("/{}", escape(variant)),
            Segment::Unknown => String::new(),
        })
        .collect()
}

/// Whether a text inside valid JSON holds NUL, which can only stand there escaped.
fn has_nul(json: &str) -> bool {
    let mut rest = json.as_bytes();
    while let Some(at) = rest.iter().position(|byte| *byte == b'\\') {
        let escape = &rest[at + 1..];
        if escape.starts_with(b"u0000") {
            return true;
        }
        // The escaped character may itself be a backslash: it must not start the next escape.
        rest = escape.get(1..).unwrap_or_default();
    }
    false
}

fn not_an_object() -> Problem {
    let says = "it is an array, and must be an object";
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "BODY_INVALID",
        "A value in the body is not as it must be",
    )
    .detail(says)
    .fault("", says)
}

fn nul() -> Problem {
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "TEXT_WITH_NUL",
        "A text contains NUL",
    )
    .detail("a text in the body contains \\u0000, which cannot be stored; leave it out")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    proptest! {
        #[test]
        fn nul_is_found_exactly_where_it_is(text in "[a\\\\u0\u{0}]{0,12}") {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(has_nul(&json), text.contains('\0'), "{}", json);
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".*") {
            let _ = parse::<Value>(&text);
        }
    }

    #[tokio::test]
    async fn a_client_that_stops_in_the_middle_of_its_body_is_told_so() {
        let silence = futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>();
        let body = Body::from_stream(silence);
        let answer = read(body, BODY_BYTES_MAX, Duration::from_millis(50), None).await;
        assert_eq!(answer.unwrap_err().code, "BODY_TOO_SLOW");
    }

    #[test]
    fn deep_nesting_is_malformed_and_overflows_nothing() {
        for open in ["[", "{\"a\":"] {
            assert_eq!(
                parse::<Value>(&open.repeat(100_000)).unwrap_err().code,
                "JSON_MALFORMED"
            );
        }
    }
}
