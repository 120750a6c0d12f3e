//! `disintegrate` with `disintegrate-postgres`: an append that is checked against the stream's query, and a stream loaded.

use std::time::{Duration, Instant};

use disintegrate::serde::json::Json;
use disintegrate::{Event, EventStore, StreamItem, query};
use disintegrate_postgres::PgEventStore;
use futures_util::TryStreamExt;
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

/// Loads a stream of so many events again and again, with a fold that looks at each payload; returns how many came and
/// how long that took.
pub async fn load(pool: PgPool, events: usize, seconds: f64) -> anyhow::Result<(usize, f64)> {
    let store = open(pool).await?.0;
    let thing_id = Uuid::now_v7().to_string();
    let of_thing = query!(ThingEvent; thing_id == thing_id.clone());
    let happened = ThingEvent::Happened {
        thing_id,
        text: text(),
    };
    store
        .append(vec![happened; events], of_thing.clone(), 0)
        .await?;
    let began = Instant::now();
    let until = began + Duration::from_secs_f64(seconds);
    let mut loaded = 0;
    while Instant::now() < until {
        let mut stream = store.stream(&of_thing);
        let (mut folded, mut bytes) = (0, 0);
        while let Some(item) = stream.try_next().await? {
            if let StreamItem::Event(event) = item {
                let ThingEvent::Happened { text, .. } = &*event;
                folded += 1;
                bytes += text.len();
            }
        }
        anyhow::ensure!(folded == events && bytes > 0, "the stream is cut");
        loaded += folded;
    }
    Ok((loaded, began.elapsed().as_secs_f64()))
}
