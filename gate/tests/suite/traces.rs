use foldline_gate::TraceContext;

use crate::house::{house, send};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

#[tokio::test]
async fn a_handler_sees_its_callers_trace_or_a_new_one() {
    let house = house().await;
    let header = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01");
    let given = send(house, "GET /trace", &[&header], b"").await.body;
    assert_eq!(TraceContext::parse(&given).unwrap().trace_id(), TRACE);

    let mangled = send(house, "GET /trace", &["traceparent: 00-x"], b"")
        .await
        .body;
    let absent = send(house, "GET /trace", &[], b"").await.body;
    for new in [mangled, absent] {
        assert_ne!(TraceContext::parse(&new).unwrap().trace_id(), TRACE);
    }
}
