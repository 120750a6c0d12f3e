//! Media types of GraphQL over HTTP: which one a client wants.

use axum::http::{HeaderMap, header};

/// What a response can be written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    /// `application/graphql-response+json`: the status says whether the document was refused.
    GraphqlResponse,
    /// `application/json`, of older clients: 200 whenever the request was well-formed.
    Json,
}

impl Media {
    pub fn content_type(self) -> &'static str {
        match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        }
    }

    /// The one the client prefers; `None` when it takes neither. Who says nothing, or takes anything, gets JSON, as
    /// clients older than the specification expect.
    pub fn accepted(headers: &HeaderMap) -> Option<Self> {
        let ranges = ranges(headers);
        if ranges.is_empty() {
            return Some(Self::Json);
        }
        let new = quality(&ranges, &["application/graphql-response+json"]);
        let old = quality(&ranges, &["application/json", "application/*", "*/*"]);
        if new > 0 && new >= old {
            Some(Self::GraphqlResponse)
        } else {
            (old > 0).then_some(Self::Json)
        }
    }
}

/// Whether a browser asks for a page.
pub fn wants_page(headers: &HeaderMap) -> bool {
    let ranges = ranges(headers);
    let page = quality(&ranges, &["text/html"]);
    page > 0
        && page
            > quality(
                &ranges,
                &["application/graphql-response+json", "application/json"],
            )
}

/// A media range and its quality in thousandths.
type Range = (String, u32);

/// How many ranges are looked at; browsers send fewer than ten.
const RANGES_MAX: usize = 32;

fn ranges(headers: &HeaderMap) -> Vec<Range> {
    let lines = headers.get_all(header::ACCEPT).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .take(RANGES_MAX)
        .map(range)
        .collect()
}

fn range(text: &str) -> Range {
    let mut parts = text.split(';').map(str::trim);
    let media = parts.next().unwrap_or_default().to_ascii_lowercase();
    let quality = parts
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"))
        .map_or(1_000, |(_, value)| thousandths(value.trim()));
    (media, quality)
}

/// `0`, `0.5`, `1`, `1.000`; anything else is taken as unacceptable.
fn thousandths(quality: &str) -> u32 {
    let (whole, fraction) = quality.split_once('.').unwrap_or((quality, ""));
    let digits = format!("{whole}{fraction:0<3}");
    let fits = whole.len() == 1 && fraction.len() <= 3;
    let number = fits.then(|| digits.parse().ok()).flatten();
    number.filter(|number| *number <= 1_000).unwrap_or(0)
}

/// The best quality of any of these ranges; 0 when none is there.
fn quality(ranges: &[Range], wanted: &[&str]) -> u32 {
    let found = ranges
        .iter()
        .filter(|(media, _)| wanted.contains(&media.as_str()));
    found.map(|(_, quality)| *quality).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    fn accepting(accept: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static(accept))])
    }

    #[test]
    fn the_new_media_type_is_given_to_those_who_name_it() {
        for accept in [
            "application/graphql-response+json",
            "application/graphql-response+json, application/json;q=0.9",
            "application/json;q=0.9, Application/GraphQL-Response+JSON; charset=utf-8",
        ] {
            assert_eq!(
                Media::accepted(&accepting(accept)),
                Some(Media::GraphqlResponse),
                "{accept}"
            );
        }
        for accept in [
            "application/json",
            "*/*",
            "application/graphql-response+json;q=0.1, application/json",
        ] {
            assert_eq!(
                Media::accepted(&accepting(accept)),
                Some(Media::Json),
                "{accept}"
            );
        }
        assert_eq!(Media::accepted(&HeaderMap::new()), Some(Media::Json));
        for accept in ["text/plain", "application/json;q=0", "image/*"] {
            assert_eq!(Media::accepted(&accepting(accept)), None, "{accept}");
        }
    }

    #[test]
    fn a_browser_gets_the_page_and_a_client_does_not() {
        assert!(wants_page(&accepting(
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
        )));
        assert!(!wants_page(&accepting("application/json, text/html;q=0.5")));
        assert!(!wants_page(&accepting("*/*")));
    }
}
