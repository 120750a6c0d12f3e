//! A small service behind the gate, on a port of its own, and a client that says exactly what it sends.

use std::net::SocketAddr;

use axum::{
    Extension, Router,
    extract::FromRef,
    routing::{get, post},
};
use foldline_gate::{
    BodyBytesMax, Caller, Gate, Json, OptionalJson, PathParameters, Problem, Secret, TraceContext,
    bounded, closed, observe,
};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

pub const BODY_BYTES_MAX: usize = 1_024;

#[derive(Clone)]
struct House {
    gate: Gate,
}

impl FromRef<House> for Gate {
    fn from_ref(house: &House) -> Self {
        house.gate.clone()
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Guest {
    name: String,
    #[serde(default)]
    children: Vec<Guest>,
}

pub fn gate() -> Gate {
    Gate::new(&Secret::from_bytes(vec![7; 32]).unwrap())
}

/// Starts the service.
pub async fn house() -> SocketAddr {
    let one = Router::new()
        .route(
            "/guests",
            post(async |Json(guest): Json<Guest>| {
                format!("{} and {}", guest.name, guest.children.len())
            }),
        )
        .route(
            "/rooms/{room}",
            post(
                async |PathParameters(room): PathParameters<u8>,
                       _: OptionalJson<serde_json::Value>| room.to_string(),
            ),
        );
    let other = Router::new()
        .route("/who", get(async |caller: Caller| caller.actor))
        .route(
            "/trace",
            get(async |Extension(trace): Extension<TraceContext>| trace.to_string()),
        );
    let router = observe(bounded(closed(one.merge(other))))
        .layer(Extension(BodyBytesMax(BODY_BYTES_MAX)))
        .with_state(House { gate: gate() });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

pub struct Answer {
    pub status: u16,
    /// Lower-case names.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn problem(&self) -> Problem {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{}",
            self.body
        );
        let problem: Problem = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        problem
    }
}

/// Sends the request's head and body as they are and reads the answer.
pub async fn send(address: SocketAddr, request: &str, headers: &[&str], body: &[u8]) -> Answer {
    let length = format!("content-length: {}", body.len());
    let headers: Vec<&str> = headers.iter().copied().chain([length.as_str()]).collect();
    exchange(address, request, &headers, body).await
}

/// The same without a body, whatever the headers promise.
pub async fn send_head(address: SocketAddr, request: &str, headers: &[&str]) -> Answer {
    exchange(address, request, headers, b"").await
}

async fn exchange(address: SocketAddr, request: &str, headers: &[&str], body: &[u8]) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut head = format!("{request} HTTP/1.1\r\nhost: gate\r\nconnection: close\r\n");
    for header in headers {
        head.push_str(header);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(body).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    read(&String::from_utf8(answer).unwrap())
}

fn read(answer: &str) -> Answer {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .unwrap()
        .split(' ')
        .nth(1)
        .unwrap()
        .parse()
        .unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    Answer {
        status,
        headers,
        body: body.to_owned(),
    }
}
