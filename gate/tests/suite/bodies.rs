use crate::house::{Answer, BODY_BYTES_MAX, house, send, send_head};

const JSON: &str = "content-type: application/json";

async fn post(body: &[u8]) -> Answer {
    send(house().await, "POST /guests", &[JSON], body).await
}

#[tokio::test]
async fn a_fitting_body_is_read() {
    for content_type in [
        JSON,
        "Content-Type: Application/JSON; charset=utf-8",
        "content-type: application/json; profile=x; Charset=\"UTF-8\"",
        "content-type: application/x+json",
    ] {
        let body = br#"{"name":"Ada","children":[{"name":"B"}]}"#;
        let answer = send(house().await, "POST /guests", &[content_type], body).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "Ada and 1"));
    }
}

#[tokio::test]
async fn a_body_of_another_content_type_of_none_of_two_in_another_charset_or_compressed_is_refused()
{
    for headers in [
        &[][..],
        &["content-type: text/plain"],
        &["content-type: application/x-www-form-urlencoded"],
        &[JSON, JSON],
        &[JSON, "content-encoding: gzip"],
        &["content-type: application/json; charset=utf-16"],
        &["content-type: application/json;charset=\"ISO-8859-1\""],
    ] {
        let answer = send(house().await, "POST /guests", headers, b"{}").await;
        assert_eq!(
            (answer.status, answer.problem().code.as_str()),
            (415, "CONTENT_TYPE_UNSUPPORTED")
        );
    }
}

#[tokio::test]
async fn an_oversized_body_is_refused_however_much_is_sent() {
    for bytes in [BODY_BYTES_MAX + 1, 4 * 1_024 * 1_024] {
        let answer = post(&vec![b' '; bytes]).await;
        assert_eq!(
            (answer.status, answer.problem().code.as_str()),
            (413, "BODY_TOO_LARGE")
        );
    }
}

#[tokio::test]
async fn whoever_asks_before_sending_too_much_is_told_at_once() {
    let length = format!("content-length: {}", 1_u64 << 40);
    let headers = [JSON, "expect: 100-continue", &length];
    let answer = send_head(house().await, "POST /guests", &headers).await;
    assert_eq!(answer.problem().code, "BODY_TOO_LARGE");
}

#[tokio::test]
async fn malformed_json_is_refused_with_its_place() {
    let open = "[".repeat(BODY_BYTES_MAX);
    let nested = format!(r#"{{"name":"a","children":{open}"#);
    let nested = &nested.as_bytes()[..BODY_BYTES_MAX];
    for body in [
        b"" as &[u8],
        b"{",
        b"{\"name\":\n \"A\",}",
        b"{\"name\":\"A\"} x",
        b"\"\xff\"",
        b"{\"name\":\"\x00\"}",
    ] {
        let problem = post(body).await.problem();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (400, "JSON_MALFORMED"),
            "{body:?}"
        );
    }
    let placed = post(b"{\"name\":\n \"A\",}")
        .await
        .problem()
        .detail
        .unwrap();
    assert!(placed.contains("line 2 column"), "{placed}");
    assert!(post(nested).await.problem().status < 500);
}

#[tokio::test]
async fn a_wrong_value_is_pointed_at() {
    for (body, pointer) in [
        (r#"{"name":1}"#, "/name"),
        (r#"{"name":"A","age":1}"#, "/age"),
        (
            r#"{"name":"A","children":[{"name":"B"},{"name":null}]}"#,
            "/children/1/name",
        ),
        ("{}", ""),
        ("[]", ""),
        (r#"["A"]"#, ""),
    ] {
        let problem = post(body.as_bytes()).await.problem();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (422, "BODY_INVALID"),
            "{body}"
        );
        assert_eq!(problem.errors[0].pointer, pointer, "{body}");
    }
}

#[tokio::test]
async fn nul_in_a_text_is_refused_by_name() {
    let problem = post(br#"{"name":"A\u0000"}"#).await.problem();
    assert_eq!(
        (problem.status, problem.code.as_str()),
        (422, "TEXT_WITH_NUL")
    );
    assert_eq!(post(br#"{"name":"A\\u0000"}"#).await.status, 200);
}

#[tokio::test]
async fn a_body_that_may_be_absent_may_be_absent() {
    let house = house().await;
    assert_eq!(send(house, "POST /rooms/7", &[], b"").await.body, "7");
    assert_eq!(send(house, "POST /rooms/7", &[JSON], b"{}").await.body, "7");
    assert_eq!(
        send(house, "POST /rooms/7", &[JSON], b" null").await.body,
        "7"
    );
    assert_eq!(
        send(house, "POST /rooms/7", &[], b"{}")
            .await
            .problem()
            .status,
        415
    );
}
