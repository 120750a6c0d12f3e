//! A log of its own for every test, and short ways to say what is appended.

use chrono::{DateTime, Utc};
use foldline_events::{Encoded, Tenant};
use foldline_log::{
    AnyLog, Append, Expected, Log, LogOptions, MemoryLog, NewEvent, Receipt, Service, Verdict,
    Write,
};
use foldline_schema::testing::TestDatabase;
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

/// Small, so that every test that appends a few events crosses segments.
pub const SEGMENT_POSITIONS: i64 = 50;

pub async fn database() -> TestDatabase {
    TestDatabase::prepared(|url| migrate(url, SEGMENT_POSITIONS)).await
}

/// One whose segments are made seldom, as in production.
pub async fn database_with_large_segments() -> TestDatabase {
    let database = TestDatabase::empty().await;
    migrate(database.url.clone(), foldline_schema::SEGMENT_POSITIONS).await;
    database
}

pub async fn migrate(url: String, segment_positions: i64) {
    let mut owner = PgConnection::connect(&url).await.unwrap();
    foldline_schema::migrate_log(&mut owner, "test", segment_positions)
        .await
        .unwrap();
    foldline_log::install(&mut owner).await.unwrap();
    owner.close().await.unwrap();
}

/// The command service's log in a fresh database.
pub async fn log() -> Log {
    open(&database().await, Service::Command).await
}

/// An empty log of either kind. What a test says of both is the contract that they share.
pub async fn both() -> [AnyLog; 2] {
    [
        AnyLog::Postgres(log().await),
        AnyLog::Memory(MemoryLog::new(Uuid::now_v7(), Utc::now)),
    ]
}

pub async fn open(database: &TestDatabase, service: Service) -> Log {
    let options = LogOptions::new(database.url.parse().unwrap(), service);
    Log::open(options).await.unwrap()
}

/// A connection with every right, to look behind the scenes.
pub async fn owner(database: &TestDatabase) -> PgConnection {
    PgConnection::connect(&database.url).await.unwrap()
}

pub fn tenant() -> Tenant {
    Tenant::parse("acme").unwrap()
}

pub fn at() -> DateTime<Utc> {
    "2024-02-03T04:05:06.789Z".parse().unwrap()
}

pub fn event(event_type: &'static str, tags: &[&str]) -> NewEvent {
    let encoded = Encoded {
        event_type,
        schema_version: 1,
        payload: r#"{"n" : 1}"#.to_owned(),
        tags: tags.iter().map(|tag| (*tag).to_owned()).collect(),
    };
    NewEvent::new(Uuid::now_v7(), at(), encoded)
}

/// An append of one command to one stream, with ids and a digest that tell each from the others.
pub fn append(stream: &str, expected: Expected, events: Vec<NewEvent>) -> Append {
    let writes = vec![Write::to(stream, expected, events)];
    Append {
        input_hmac: b"input".to_vec(),
        correlation_id: Uuid::now_v7(),
        causation_id: Uuid::now_v7(),
        ..Append::new(tenant(), Uuid::now_v7(), "ann", writes)
    }
}

/// One event, whatever the stream holds.
pub fn one(stream: &str) -> Append {
    append(stream, Expected::Any, vec![event("test.Happened", &[])])
}

pub fn appended(verdict: Verdict) -> Receipt {
    match verdict {
        Verdict::Appended(receipt) => receipt,
        Verdict::Known(_)
        | Verdict::InputDiffers
        | Verdict::Conflict { .. }
        | Verdict::Guarded { .. } => panic!("not appended but {verdict:?}"),
    }
}
