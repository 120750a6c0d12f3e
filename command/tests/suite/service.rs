//! A command service on a database and a port of its own, and a client that says exactly what it sends.

use std::net::SocketAddr;

use chrono::{TimeDelta, Utc};
use foldline_command::{Accepted, Failure, Handler, Options, Request, router};
use foldline_domain::Command;
use foldline_events::{Recorded, Tenant};
use foldline_gate::{Caller, Gate, Problem, Role, Secret, bounded, closed, observe};
use foldline_log::{Log, LogOptions, install};
use foldline_schema::testing::TestDatabase;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sqlx::{Connection, PgConnection};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use uuid::Uuid;

pub const JSON: &str = "content-type: application/json";

pub fn secret() -> Secret {
    Secret::from_bytes(vec![7; 32]).unwrap()
}

pub fn caller(role: Role) -> Caller {
    Caller {
        tenant: Tenant::parse("acme").unwrap(),
        actor: "ada".to_owned(),
        role,
        expires_at: Utc::now() + TimeDelta::hours(1),
    }
}

pub fn token(role: Role) -> String {
    token_of(&caller(role))
}

pub fn token_of(caller: &Caller) -> String {
    Gate::new(&secret())
        .issue(
            &caller.tenant,
            &caller.actor,
            caller.role,
            TimeDelta::hours(1),
            Utc::now(),
        )
        .unwrap()
}

/// A database with an empty log.
pub async fn database() -> TestDatabase {
    TestDatabase::prepared(async |url| {
        let mut owner = PgConnection::connect(&url).await.unwrap();
        foldline_schema::migrate_log(&mut owner, "test", foldline_schema::SEGMENT_POSITIONS)
            .await
            .unwrap();
        install(&mut owner).await.unwrap();
        owner.close().await.unwrap();
    })
    .await
}

pub async fn log(database: &TestDatabase) -> Log {
    let url = database.url.parse().unwrap();
    let options = LogOptions::new(url, foldline_log::Service::Command);
    Log::open(options).await.unwrap()
}

/// A handler of its own process, as it were: its cache knows nothing of others.
pub async fn handler(database: &TestDatabase) -> Handler {
    Handler::new(log(database).await, &secret(), &Options::default())
}

/// Everything recorded so far.
pub async fn recorded(log: &Log) -> Vec<Recorded> {
    log.read(0, 10_000).await.unwrap()
}

/// A command as an admin under an id of its own.
pub async fn done(
    handler: &Handler,
    aggregate: Uuid,
    command_type: &str,
    data: &str,
) -> Result<Accepted, Failure> {
    handler
        .handle(&caller(Role::Admin), request(aggregate, command_type, data))
        .await
}

pub fn request(aggregate: Uuid, command_type: &str, data: &str) -> Request {
    Request {
        id: Uuid::now_v7(),
        command: Command::parse(command_type, data).unwrap(),
        aggregate,
        at: None,
        expected_version: None,
        trace_context: None,
        correlation_id: None,
        causation_id: None,
    }
}

pub async fn project(handler: &Handler) -> Uuid {
    let id = Uuid::now_v7();
    done(handler, id, "tasks.create_project", r#"{"name":"Moon"}"#)
        .await
        .unwrap();
    id
}

pub fn task_data(project: Uuid) -> String {
    format!(r#"{{"projectId":"{project}","title":"Land","priority":"high"}}"#)
}

pub async fn task(handler: &Handler) -> Uuid {
    let id = Uuid::now_v7();
    let project = project(handler).await;
    done(handler, id, "tasks.create_task", &task_data(project))
        .await
        .unwrap();
    id
}

/// The service over HTTP.
pub struct Service {
    pub address: SocketAddr,
    pub log: Log,
    pub handler: Handler,
}

impl Service {
    pub async fn start() -> Self {
        Self::over(&database().await).await
    }

    pub async fn over(database: &TestDatabase) -> Self {
        let log = log(database).await;
        let handler = Handler::new(log.clone(), &secret(), &Options::default());
        let router = router(handler.clone(), Gate::new(&secret()));
        let router = observe(bounded(closed(router)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            address,
            log,
            handler,
        }
    }

    /// `POST` with JSON as an admin.
    pub async fn post(&self, path: &str, body: &str) -> Answer {
        self.post_with(path, &[], body).await
    }

    pub async fn post_with(&self, path: &str, headers: &[&str], body: &str) -> Answer {
        let authorization = format!("authorization: Bearer {}", token(Role::Admin));
        let headers: Vec<&str> = [authorization.as_str(), JSON]
            .into_iter()
            .chain(headers.iter().copied())
            .collect();
        self.send(&format!("POST {path}"), &headers, body.as_bytes())
            .await
    }

    /// Head and body as they are.
    pub async fn send(&self, request: &str, headers: &[&str], body: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let mut head = format!("{request} HTTP/1.1\r\nhost: foldline\r\nconnection: close\r\n");
        for header in headers {
            head.push_str(header);
            head.push_str("\r\n");
        }
        head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        Answer::read(&String::from_utf8(answer).unwrap())
    }
}

#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    fn read(answer: &str) -> Self {
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
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Self {
            status,
            headers,
            body: body.to_owned(),
        }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    #[track_caller]
    pub fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    #[track_caller]
    pub fn value(&self) -> Value {
        self.json()
    }

    #[track_caller]
    pub fn problem(&self) -> Problem {
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json"),
            "{self:?}"
        );
        let problem: Problem = self.json();
        assert_eq!(problem.status, self.status);
        problem
    }
}
