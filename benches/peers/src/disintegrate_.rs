//! `disintegrate` with `disintegrate-postgres`: an append that is checked against the stream's query, as everybody's sees to
//! it that a new stream is new. It has a cheaper one that checks nothing.

use std::time::Duration;

use async_trait::async_trait;
use disintegrate::{
    Event, EventListener, EventStore, PersistedEvent, StreamItem, StreamQuery, query,
    serde::json::Json,
};
use disintegrate_postgres::{PgEventId, PgEventListener, PgEventListenerConfig, PgEventStore};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{Folded, text};

#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
pub enum ThingEvent {
    Happened {
        #[id]
        thing_id: String,
        text: String,
    },
}

impl ThingEvent {
    /// The id is part of the payload.
    fn on(thing_id: &str) -> Self {
        let around = r#"{"Happened":{"thing_id":"","text":""}}"#.len() + thing_id.len();
        Self::Happened {
            thing_id: thing_id.to_owned(),
            text: text(around),
        }
    }
}

#[derive(Clone)]
pub struct Store(PgEventStore<ThingEvent, Json<ThingEvent>>);

impl Store {
    async fn append_on(&self, thing_id: &str, events: usize) -> anyhow::Result<()> {
        let of_thing = query!(ThingEvent; thing_id == thing_id.to_owned());
        let events = vec![ThingEvent::on(thing_id); events];
        self.0.append(events, of_thing, 0).await?;
        Ok(())
    }

    async fn fold(&self, query: StreamQuery<PgEventId, ThingEvent>) -> anyhow::Result<Folded> {
        let mut folded = Folded::default();
        let mut stream = self.0.stream(&query);
        while let Some(item) = stream.try_next().await? {
            if let StreamItem::Event(event) = item {
                let ThingEvent::Happened { text, .. } = &*event;
                folded.evolve(text);
            }
        }
        Ok(folded)
    }
}

/// Writes a present row, one of its history, and a sum, in one transaction for each event.
struct Rows {
    query: StreamQuery<PgEventId, ThingEvent>,
    pool: PgPool,
}

/// How many events the listener reads at a time; and how often it looks for more.
const FETCHED: usize = 1_000;
const POLL: Duration = Duration::from_millis(50);
/// How many owners the things have.
const OWNERS: i64 = 1_000;

#[async_trait]
impl EventListener<PgEventId, ThingEvent> for Rows {
    type Error = sqlx::Error;

    fn id(&self) -> &'static str {
        "rows"
    }

    fn query(&self) -> &StreamQuery<PgEventId, ThingEvent> {
        &self.query
    }

    async fn handle(
        &self,
        event: PersistedEvent<PgEventId, ThingEvent>,
    ) -> Result<(), Self::Error> {
        let version = event.id();
        let ThingEvent::Happened { thing_id, text } = event.into_inner();
        let mut transaction = self.pool.begin().await?;
        sqlx::query(
            "insert into present values ($1, $2, $3)
             on conflict (id) do update set text = excluded.text, version = excluded.version",
        )
        .bind(&thing_id)
        .bind(&text)
        .bind(version)
        .execute(&mut *transaction)
        .await?;
        sqlx::query("insert into history values ($1, $2, $3) on conflict do nothing")
            .bind(&thing_id)
            .bind(version)
            .bind(&text)
            .execute(&mut *transaction)
            .await?;
        sqlx::query(
            "insert into sums values ($1, 1)
             on conflict (owner) do update set total = sums.total + 1",
        )
        .bind(i32::try_from(version % OWNERS).unwrap_or(0))
        .execute(&mut *transaction)
        .await?;
        transaction.commit().await
    }
}

impl crate::Store for Store {
    async fn open(pool: PgPool) -> anyhow::Result<Self> {
        Ok(Self(PgEventStore::try_new(pool, Json::default()).await?))
    }

    async fn append(&self) -> anyhow::Result<()> {
        self.append_on(&Uuid::now_v7().to_string(), 1).await
    }

    async fn append_stream(&self, events: usize) -> anyhow::Result<String> {
        let thing_id = Uuid::now_v7().to_string();
        self.append_on(&thing_id, events).await?;
        Ok(thing_id)
    }

    async fn load(&self, stream: &str) -> anyhow::Result<Folded> {
        self.fold(query!(ThingEvent; thing_id == stream.to_owned()))
            .await
    }

    const COPY_EVENT: &'static str = "
        insert into event (event_type, payload, thing_id)
        select event_type, payload, uuidv7()::text
        from event, generate_series(1, $1)";

    async fn replay(&self) -> anyhow::Result<Folded> {
        self.fold(query!(ThingEvent)).await
    }

    async fn listen(&self, pool: PgPool) -> anyhow::Result<()> {
        let query = query!(ThingEvent);
        let config = PgEventListenerConfig::poller(POLL).fetch_size(FETCHED);
        let listener = PgEventListener::builder(self.0.clone());
        let listener = listener.register_listener(Rows { query, pool }, config);
        Ok(listener.start().await?)
    }
}
