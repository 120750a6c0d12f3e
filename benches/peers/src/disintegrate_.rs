//! `disintegrate` with `disintegrate-postgres`: an append that is checked against the stream's query.

use disintegrate::{Event, EventStore, query};
use disintegrate_postgres::PgEventStore;
use disintegrate::serde::json::Json;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use uuid::Uuid;

use crate::{Appends, text};

#[derive(Debug, Clone, PartialEq, Eq, Event, Serialize, Deserialize)]
pub enum ThingEvent {
    Happened {
        #[id]
        thing_id: String,
        text: String,
    },
}

#[derive(Clone)]
pub struct Store(PgEventStore<ThingEvent, Json<ThingEvent>>);

pub async fn open(pool: PgPool) -> anyhow::Result<Store> {
    Ok(Store(PgEventStore::try_new(pool, Json::default()).await?))
}

impl Appends for Store {
    async fn append(&self) -> anyhow::Result<()> {
        let thing_id = Uuid::now_v7().to_string();
        let of_thing = query!(ThingEvent; thing_id == thing_id.clone());
        let happened = ThingEvent::Happened {
            thing_id,
            text: text(),
        };
        self.0.append(vec![happened], of_thing, 0).await?;
        Ok(())
    }
}
