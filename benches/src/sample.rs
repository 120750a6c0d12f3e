//! The append that every benchmark sends.

use std::sync::LazyLock;

use foldline_events::{Encoded, Tenant};
use foldline_log::{Append, Expected, NewEvent, Write};
use uuid::Uuid;

/// As long as every payload is, of peers, too.
pub const PAYLOAD_BYTES: usize = 200;

/// A payload.
pub static PAYLOAD: LazyLock<String> = LazyLock::new(|| {
    let text = "x".repeat(PAYLOAD_BYTES - r#"{"text":""}"#.len());
    format!(r#"{{"text":"{text}"}}"#)
});

/// One event on a stream that is new, with two tags: one of its own, and one that every thousandth shares.
#[expect(clippy::disallowed_methods, reason = "a benchmark is an edge")]
pub fn append() -> Append {
    let id = Uuid::now_v7();
    let stream = format!("thing-{}", id.simple());
    let encoded = Encoded {
        event_type: "bench.Happened",
        schema_version: 1,
        payload: PAYLOAD.clone(),
        tags: vec![
            format!("thing:{}", id.simple()),
            format!("group:{}", id.as_u128() % 1_000),
        ],
    };
    let event = NewEvent::new(id, chrono::Utc::now(), encoded);
    let tenant = Tenant::parse("bench").expect("a valid tenant");
    let writes = vec![Write::to(stream, Expected::NoStream, vec![event])];
    Append {
        input_hmac: vec![7; 32],
        ..Append::new(tenant, id, "bench", writes)
    }
}
