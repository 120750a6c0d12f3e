//! A client as anybody could write it: HTTP with JSON, GraphQL, and graphql-transport-ws.

use std::sync::Once;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Message, client::IntoClientRequest, http::HeaderValue},
};
use uuid::Uuid;

use crate::processes::{PATIENCE, until};

#[expect(clippy::disallowed_methods, reason = "a test is an edge")]
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// Scheme and authority of the command service.
    pub api: String,
    /// And of the query service.
    pub query: String,
    pub token: String,
}

impl Client {
    pub fn new(api: &str, query: &str, token: &str) -> Self {
        static TLS: Once = Once::new();
        TLS.call_once(|| {
            rustls::crypto::ring::default_provider()
                .install_default()
                .unwrap()
        });
        Self {
            http: reqwest::Client::builder()
                .timeout(PATIENCE)
                .build()
                .unwrap(),
            api: api.to_owned(),
            query: query.to_owned(),
            token: token.to_owned(),
        }
    }

    pub fn with_token(&self, token: &str) -> Self {
        Self {
            token: token.to_owned(),
            ..self.clone()
        }
    }

    /// Waits until the process behind an origin says that it is ready.
    pub async fn is_ready(&self, origin: &str) {
        let url = format!("{origin}/health/ready");
        until(&url, async || {
            let response = self.http.get(&url).send().await.ok()?;
            response.status().is_success().then_some(())
        })
        .await;
    }

    /// One try of a request to the command service; `None` when it did not come to an answer.
    pub async fn try_post(&self, path: &str, body: &Value) -> Option<(u16, Value)> {
        let response = self
            .http
            .post(format!("{}/api/v1{path}", self.api))
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await
            .ok()?;
        let status = response.status().as_u16();
        let text = response.text().await.ok()?;
        Some((status, serde_json::from_str(&text).ok()?))
    }

    /// A command that is accepted; its answer.
    pub async fn accepted(&self, path: &str, body: &Value) -> Value {
        let (status, answer) = self.try_post(path, body).await.expect("an answer comes");
        assert!((200..300).contains(&status), "{path}: {status} {answer}");
        answer
    }

    /// The data of a query that succeeds.
    pub async fn ask(&self, query: &str, variables: Value) -> Value {
        let answer = self.answer(query, variables).await;
        assert_eq!(answer.get("errors"), None, "{answer}");
        answer["data"].clone()
    }

    /// What a query is answered, errors and all.
    pub async fn answer(&self, query: &str, variables: Value) -> Value {
        let response = self
            .http
            .post(format!("{}/graphql", self.query))
            .bearer_auth(&self.token)
            .header("content-type", "application/json")
            .body(json!({"query": query, "variables": variables}).to_string())
            .send()
            .await
            .unwrap();
        let text = response.text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    }

    /// Opens a subscription.
    pub async fn follow(&self, query: &str, variables: Value) -> Subscription {
        let url = format!("{}/graphql/ws", self.query.replacen("http", "ws", 1));
        let mut request = url.into_client_request().unwrap();
        let protocol = HeaderValue::from_static("graphql-transport-ws");
        request
            .headers_mut()
            .insert("sec-websocket-protocol", protocol);
        let mut followed = Subscription(connect_async(request).await.unwrap().0);
        let payload = json!({"authorization": format!("Bearer {}", self.token)});
        followed
            .send(json!({"type": "connection_init", "payload": payload}))
            .await;
        assert_eq!(followed.receive().await, json!({"type": "connection_ack"}));
        let payload = json!({"query": query, "variables": variables});
        followed
            .send(json!({"id": "1", "type": "subscribe", "payload": payload}))
            .await;
        followed
    }
}

pub struct Subscription(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Subscription {
    async fn send(&mut self, message: Value) {
        self.0
            .send(Message::text(message.to_string()))
            .await
            .unwrap();
    }

    async fn receive(&mut self) -> Value {
        loop {
            let message = tokio::time::timeout(PATIENCE, self.0.next()).await;
            match message.expect("a message comes in time").unwrap().unwrap() {
                Message::Text(text) => return serde_json::from_str(&text).unwrap(),
                Message::Ping(_) | Message::Pong(_) => {}
                other @ (Message::Binary(_) | Message::Close(_) | Message::Frame(_)) => {
                    panic!("got {other:?}")
                }
            }
        }
    }

    /// The data of the next result.
    pub async fn next(&mut self) -> Value {
        let message = self.receive().await;
        assert_eq!(message["type"], "next", "{message}");
        message["payload"]["data"].clone()
    }
}
