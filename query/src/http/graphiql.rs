//! GraphiQL: three files, embedded by `build.rs`.

use axum::{
    extract::Path,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use foldline_gate::Problem;

struct File {
    name: &'static str,
    /// An entity tag of the content.
    tag: &'static str,
    content: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/graphiql.rs"));

const PAGE: &str = "graphiql.html";
const NOT_BUILT: &str = "<!doctype html><title>Foldline</title><p>GraphiQL is not in this build: run <code>make web</code>, then build again.</p>";

/// The page. It holds no data: the token stays in the browser, which sends it with each request.
pub fn page(headers: &HeaderMap) -> Response {
    match file(PAGE) {
        Some(file) => serve(file, headers),
        None => (
            [(header::CONTENT_TYPE, "text/html; charset=utf-8")],
            NOT_BUILT,
        )
            .into_response(),
    }
}

/// What the page asks for.
pub async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match file(&name) {
        Some(file) => serve(file, &headers),
        None => Problem::new(
            StatusCode::NOT_FOUND,
            "UNKNOWN_ROUTE",
            "There is nothing at this address",
        )
        .into_response(),
    }
}

fn file(name: &str) -> Option<&'static File> {
    FILES.iter().find(|file| file.name == name)
}

fn serve(file: &'static File, headers: &HeaderMap) -> Response {
    let known = headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|tag| tag.as_bytes() == file.tag.as_bytes());
    let mut response = if known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file.content.into_response()
    };
    let kind = match file.name.rsplit_once('.') {
        Some((_, "css")) => "text/css; charset=utf-8",
        Some((_, "js")) => "text/javascript; charset=utf-8",
        Some((_, _)) | None => "text/html; charset=utf-8",
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::ETAG, HeaderValue::from_static(file.tag));
    // Asked for again each time, answered with 304: a new build is seen at once.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("frame-ancestors 'none'"),
    );
    response
}
