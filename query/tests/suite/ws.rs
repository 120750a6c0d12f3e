//! graphql-transport-ws: the handshake, the close codes, the bounds.

use std::time::Duration;

use chrono::TimeDelta;
use foldline_gate::Role;
use foldline_query::{Limits, OPERATIONS_PER_CONNECTION_MAX};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest, http::HeaderValue},
};

use crate::support::{Fixture, fixture, fixture_with, token, token_for, within};

pub struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    pub async fn open(fixture: &Fixture) -> Self {
        Self::try_open(fixture, Some("graphql-transport-ws"), None)
            .await
            .unwrap()
    }

    async fn try_open(
        fixture: &Fixture,
        protocol: Option<&str>,
        token: Option<&str>,
    ) -> Result<Self, Error> {
        let mut request = format!("ws://{}/graphql/ws", fixture.address).into_client_request()?;
        let headers = request.headers_mut();
        if let Some(protocol) = protocol {
            headers.insert(
                "sec-websocket-protocol",
                HeaderValue::from_str(protocol).unwrap(),
            );
        }
        if let Some(token) = token {
            headers.insert(
                "authorization",
                HeaderValue::from_str(&format!("Bearer {token}")).unwrap(),
            );
        }
        Ok(Self(connect_async(request).await?.0))
    }

    /// Opened and acknowledged, as a member of `acme`.
    pub async fn ready(fixture: &Fixture) -> Self {
        Self::ready_with(fixture, &token("acme")).await
    }

    async fn ready_with(fixture: &Fixture, token: &str) -> Self {
        let mut socket = Self::open(fixture).await;
        let payload = json!({"authorization": format!("Bearer {token}")});
        socket
            .send(json!({"type": "connection_init", "payload": payload}))
            .await;
        assert_eq!(socket.receive().await, json!({"type": "connection_ack"}));
        socket
    }

    pub async fn send(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    pub async fn subscribe(&mut self, id: &str, query: &str, variables: Value) {
        let payload = json!({"query": query, "variables": variables});
        self.send(json!({"id": id, "type": "subscribe", "payload": payload}))
            .await;
    }

    /// The next message of the protocol.
    pub async fn receive(&mut self) -> Value {
        loop {
            match within(5, self.0.next()).await.unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => {
                    panic!("got {other:?}")
                }
            }
        }
    }

    /// The data of the next result.
    pub async fn data(&mut self) -> Value {
        let message = self.receive().await;
        assert_eq!(message["type"], "next", "{message}");
        assert_eq!(message["payload"].get("errors"), None, "{message}");
        message["payload"]["data"].clone()
    }

    /// Nothing comes for a while.
    pub async fn is_silent(&mut self) {
        let silence = Duration::from_millis(700);
        let message = tokio::time::timeout(silence, self.0.next()).await;
        assert!(message.is_err(), "{message:?}");
    }

    async fn close_code(&mut self) -> u16 {
        loop {
            match within(5, self.0.next()).await.unwrap().unwrap() {
                Message::Close(frame) => return frame.unwrap().code.into(),
                Message::Text(_) | Message::Ping(_) | Message::Pong(_) => {}
                other @ (Message::Binary(_) | Message::Frame(_)) => panic!("got {other:?}"),
            }
        }
    }
}

const NEVER: &str =
    "subscription { projectChanged(id: \"00000000-0000-0000-0000-000000000001\") { name } }";

#[tokio::test]
async fn one_websocket_too_many_is_refused_until_another_ends() {
    let limits = Limits {
        websockets_max: 1,
        ..Limits::default()
    };
    let fixture = fixture_with(limits).await;
    let first = Socket::ready(&fixture).await;
    let refused = Socket::try_open(&fixture, Some("graphql-transport-ws"), None).await;
    let Err(Error::Http(response)) = refused else {
        panic!("it was taken")
    };
    assert_eq!(response.status(), 503);
    drop(first);
    within(30, async {
        while Socket::try_open(&fixture, Some("graphql-transport-ws"), None)
            .await
            .is_err()
        {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn queries_and_pings_are_answered() {
    let fixture = fixture().await;
    let mut socket = Socket::ready(&fixture).await;
    socket
        .send(json!({"type": "ping", "payload": {"a": 1}}))
        .await;
    assert_eq!(
        socket.receive().await,
        json!({"type": "pong", "payload": {"a": 1}})
    );
    socket
        .subscribe("q", "{ projects { totalCount } }", json!({}))
        .await;
    assert_eq!(socket.data().await, json!({"projects": {"totalCount": 0}}));
    assert_eq!(
        socket.receive().await,
        json!({"type": "complete", "id": "q"})
    );
}

#[tokio::test]
async fn a_refused_document_is_an_error_and_the_connection_goes_on() {
    let fixture = fixture().await;
    let mut socket = Socket::ready(&fixture).await;
    for query in ["{", "subscription { nonsense }"] {
        socket.subscribe("q", query, json!({})).await;
        let message = socket.receive().await;
        assert_eq!(
            (&message["type"], &message["id"]),
            (&json!("error"), &json!("q"))
        );
        assert!(
            message["payload"][0]["extensions"]["code"].is_string(),
            "{message}"
        );
    }
}

#[tokio::test]
async fn a_message_that_is_none_closes_with_4400() {
    let fixture = fixture().await;
    for bad in [
        json!({"type": "nonsense"}),
        json!([]),
        json!({"type": "subscribe", "id": 1}),
        json!({"type": "subscribe", "id": "a", "payload": {}}),
    ] {
        let mut socket = Socket::ready(&fixture).await;
        socket.send(bad.clone()).await;
        assert_eq!(socket.close_code().await, 4400, "{bad}");
    }
}

#[tokio::test]
async fn an_operation_before_the_acknowledgement_closes_with_4401() {
    let fixture = fixture().await;
    let mut socket = Socket::open(&fixture).await;
    socket.subscribe("q", "{ __typename }", json!({})).await;
    assert_eq!(socket.close_code().await, 4401);
}

#[tokio::test]
async fn a_missing_or_bad_token_closes_with_4403() {
    let fixture = fixture().await;
    for payload in [
        json!({}),
        json!({"authorization": "Bearer x.y.z"}),
        json!({"authorization": "x"}),
        json!(null),
    ] {
        let mut socket = Socket::open(&fixture).await;
        socket
            .send(json!({"type": "connection_init", "payload": payload}))
            .await;
        assert_eq!(socket.close_code().await, 4403, "{payload}");
    }
}

#[tokio::test]
async fn a_token_in_the_header_is_as_good_and_a_bad_one_is_a_401() {
    let fixture = fixture().await;
    let protocol = Some("graphql-transport-ws");
    let mut socket = Socket::try_open(&fixture, protocol, Some(&token("acme")))
        .await
        .unwrap();
    socket.send(json!({"type": "connection_init"})).await;
    assert_eq!(socket.receive().await, json!({"type": "connection_ack"}));
    let refused = Socket::try_open(&fixture, protocol, Some("x.y.z"))
        .await
        .err()
        .unwrap();
    assert!(matches!(refused, Error::Http(response) if response.status() == 401));
}

#[tokio::test]
async fn another_subprotocol_closes_with_4406() {
    let fixture = fixture().await;
    let mut socket = Socket::try_open(&fixture, None, None).await.unwrap();
    assert_eq!(socket.close_code().await, 4406);
}

#[tokio::test]
async fn silence_instead_of_an_init_closes_with_4408() {
    let limits = Limits {
        ws_init_ms_max: 200,
        ..Limits::default()
    };
    let fixture = fixture_with(limits).await;
    let mut socket = Socket::open(&fixture).await;
    assert_eq!(socket.close_code().await, 4408);
}

#[tokio::test]
async fn a_second_subscriber_under_one_id_closes_with_4409() {
    let fixture = fixture().await;
    let mut socket = Socket::ready(&fixture).await;
    socket.subscribe("a", NEVER, json!({})).await;
    socket.subscribe("a", NEVER, json!({})).await;
    assert_eq!(socket.close_code().await, 4409);
}

#[tokio::test]
async fn an_id_is_free_again_after_its_end() {
    let fixture = fixture().await;
    let mut socket = Socket::ready(&fixture).await;
    for _ in 0..3 {
        socket.subscribe("a", NEVER, json!({})).await;
        socket.send(json!({"type": "complete", "id": "a"})).await;
    }
    socket.subscribe("a", "{ __typename }", json!({})).await;
    assert_eq!(socket.data().await, json!({"__typename": "Query"}));
}

#[tokio::test]
async fn a_second_init_closes_with_4429() {
    let fixture = fixture().await;
    let mut socket = Socket::ready(&fixture).await;
    socket.send(json!({"type": "connection_init"})).await;
    assert_eq!(socket.close_code().await, 4429);
}

#[tokio::test]
async fn a_connection_has_a_bounded_number_of_operations() {
    let fixture = fixture().await;
    let mut socket = Socket::ready(&fixture).await;
    for n in 0..=OPERATIONS_PER_CONNECTION_MAX {
        socket.subscribe(&n.to_string(), NEVER, json!({})).await;
    }
    let message = socket.receive().await;
    assert_eq!(
        message["payload"][0]["extensions"]["code"],
        "TOO_MANY_OPERATIONS"
    );
    socket.send(json!({"type": "complete", "id": "0"})).await;
    socket.subscribe("again", "{ __typename }", json!({})).await;
    assert_eq!(socket.data().await, json!({"__typename": "Query"}));
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let fixture = fixture().await;
    let brief = token_for("acme", Role::Viewer, TimeDelta::seconds(2));
    let mut socket = Socket::ready_with(&fixture, &brief).await;
    socket.subscribe("a", NEVER, json!({})).await;
    assert_eq!(socket.close_code().await, 4403);
}

#[tokio::test]
async fn who_does_not_answer_pings_is_dropped_and_who_does_is_not() {
    let limits = Limits {
        ws_ping_interval_ms: 200,
        ..Limits::default()
    };
    let fixture = fixture_with(limits).await;
    let mut socket = Socket::ready(&fixture).await;
    // Reading answers pings.
    let _ = tokio::time::timeout(Duration::from_secs(2), socket.0.next()).await;
    socket.subscribe("a", "{ __typename }", json!({})).await;
    assert_eq!(socket.data().await, json!({"__typename": "Query"}));
    // Who does not read answers none.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let ended = async { while let Some(Ok(_)) = socket.0.next().await {} };
    within(2, ended).await;
}

#[tokio::test]
async fn a_service_that_shuts_down_says_goodbye() {
    let fixture = fixture().await;
    let mut socket = Socket::ready(&fixture).await;
    fixture.closed.cancel();
    assert_eq!(socket.close_code().await, 1001);
}
