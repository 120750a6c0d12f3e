//! `cqrs-es` with `postgres-es`: its event repository, without the framework that loads and handles.

use std::sync::Arc;

use cqrs_es::{
    Aggregate, DomainEvent,
    event_sink::EventSink,
    persist::{PersistedEventRepository, SerializedEvent},
};
use postgres_es::PostgresEventRepository;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sqlx::PgPool;
use uuid::Uuid;

use crate::{Appends, execute, text};

/// The table of its documentation.
const TABLE: &str = "create table events (
    aggregate_type text not null,
    aggregate_id text not null,
    sequence bigint check (sequence >= 0) not null,
    event_type text not null,
    event_version text not null,
    payload json not null,
    metadata json not null,
    primary key (aggregate_type, aggregate_id, sequence)
)";

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Thing;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Happened;

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
pub struct Store(Arc<PostgresEventRepository>);

pub async fn open(pool: PgPool) -> anyhow::Result<Store> {
    execute(&pool, TABLE).await?;
    Ok(Store(Arc::new(PostgresEventRepository::new(pool))))
}

impl Appends for Store {
    async fn append(&self) -> anyhow::Result<()> {
        let event = SerializedEvent::new(
            Uuid::now_v7().to_string(),
            1,
            "thing".to_owned(),
            "Happened".to_owned(),
            "1".to_owned(),
            json!({"text": text()}),
            json!({}),
        );
        Ok(self.0.persist::<Thing>(&[event], None).await?)
    }
}
