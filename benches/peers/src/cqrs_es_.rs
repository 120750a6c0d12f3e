//! `cqrs-es` with `postgres-es`: its event store, without the framework that loads and handles.

use std::sync::Arc;

use cqrs_es::{
    Aggregate, DomainEvent, EventStore,
    event_sink::EventSink,
    persist::{PersistedEventRepository, PersistedEventStore, SerializedEvent},
};
use postgres_es::PostgresEventRepository;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{Folded, text};

/// The table of its documentation.
const TABLE: &str = "create table if not exists events (
    aggregate_type text not null,
    aggregate_id text not null,
    sequence bigint check (sequence >= 0) not null,
    event_type text not null,
    event_version text not null,
    payload json not null,
    metadata json not null,
    primary key (aggregate_type, aggregate_id, sequence)
)";

/// How many events it may have read ahead.
const REPLAY_EVENTS_AHEAD: usize = 10_000;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Thing;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Happened {
    text: String,
}

impl DomainEvent for Happened {
    fn event_type(&self) -> String {
        "Happened".to_owned()
    }

    fn event_version(&self) -> String {
        "1".to_owned()
    }
}

impl Aggregate for Thing {
    const TYPE: &'static str = "thing";
    type Command = ();
    type Event = Happened;
    type Error = std::convert::Infallible;
    type Services = ();

    async fn handle(&mut self, (): (), (): &(), _: &EventSink<Self>) -> Result<(), Self::Error> {
        Ok(())
    }

    fn apply(&mut self, _: Happened) {}
}

#[derive(Clone)]
pub struct Store {
    repository: Arc<PostgresEventRepository>,
    events: Arc<PersistedEventStore<PostgresEventRepository, Thing>>,
}

impl Store {
    async fn persist(&self, stream: &str, events: usize) -> anyhow::Result<()> {
        let event = |sequence| {
            SerializedEvent::new(
                stream.to_owned(),
                sequence,
                "thing".to_owned(),
                "Happened".to_owned(),
                "1".to_owned(),
                json!({"text": text(r#"{"text":""}"#.len())}),
                json!({}),
            )
        };
        let events: Vec<SerializedEvent> = (1..=events).map(event).collect();
        Ok(self.repository.persist::<Thing>(&events, None).await?)
    }
}

impl crate::Store for Store {
    async fn open(pool: PgPool) -> anyhow::Result<Self> {
        sqlx::raw_sql(TABLE).execute(&pool).await?;
        let repository = || {
            PostgresEventRepository::new(pool.clone())
                .with_streaming_channel_size(REPLAY_EVENTS_AHEAD)
        };
        Ok(Self {
            repository: Arc::new(repository()),
            events: Arc::new(PersistedEventStore::new_event_store(repository())),
        })
    }

    async fn append(&self) -> anyhow::Result<()> {
        self.persist(&Uuid::now_v7().to_string(), 1).await
    }

    async fn append_stream(&self, events: usize) -> anyhow::Result<String> {
        let stream = Uuid::now_v7().to_string();
        self.persist(&stream, events).await?;
        Ok(stream)
    }

    async fn load(&self, stream: &str) -> anyhow::Result<Folded> {
        let mut folded = Folded::default();
        for event in self.events.load_events(stream).await? {
            folded.evolve(&event.payload.text);
        }
        Ok(folded)
    }

    const COPY_EVENT: &'static str = "
        insert into events (
            aggregate_type, aggregate_id, sequence, event_type, event_version, payload, metadata
        )
        select aggregate_type, uuidv7()::text, sequence, event_type, event_version, payload, metadata
        from events, generate_series(1, $1)";

    /// It orders events by their place in their stream only.
    async fn replay(&self) -> anyhow::Result<Folded> {
        let mut folded = Folded::default();
        let mut events = self.repository.stream_all_events::<Thing>().await?;
        while let Some(event) = events.next::<Thing>(&[]).await {
            folded.evolve(&event?.payload.text);
        }
        Ok(folded)
    }
}
