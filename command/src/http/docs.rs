//! The page that shows the description: bundled by `make web`, embedded when this crate is built.

use axum::{
    Router,
    http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName},
    response::IntoResponse,
    routing::get,
};

mod page {
    include!(concat!(env!("OUT_DIR"), "/page.rs"));
}

/// Nothing from elsewhere; Swagger UI writes styles into its elements and shows images from `data:`.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'";

pub(super) fn router() -> Router {
    Router::new()
        .route(
            "/api/docs",
            get(async || file(page::PAGE, "text/html; charset=utf-8")),
        )
        .route(
            "/api/docs/assets/openapi.js",
            get(async || file(page::SCRIPT, "text/javascript; charset=utf-8")),
        )
        .route(
            "/api/docs/assets/openapi.css",
            get(async || file(page::STYLE, "text/css; charset=utf-8")),
        )
}

fn file(content: &'static str, media_type: &'static str) -> impl IntoResponse {
    let headers: [(HeaderName, &'static str); 3] = [
        (CONTENT_TYPE, media_type),
        (CONTENT_SECURITY_POLICY, POLICY),
        // The files have no versions in their names, so a new build must be seen at once.
        (CACHE_CONTROL, "no-cache"),
    ];
    (headers, content)
}
