//! `esrs`: its Postgres store, without handlers.

use esrs::{
    Aggregate, AggregateState,
    store::{
        EventStore,
        postgres::{PgStore, PgStoreBuilder},
    },
};
use futures_util::TryStreamExt;
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::{Folded, text};

pub struct Thing;

#[derive(Clone, Serialize, Deserialize)]
pub struct Happened {
    text: String,
}

impl Aggregate for Thing {
    const NAME: &'static str = "thing";
    type State = ();
    type Command = ();
    type Event = Happened;
    type Error = std::convert::Infallible;

    fn handle_command((): &(), (): ()) -> Result<Vec<Happened>, Self::Error> {
        Ok(vec![])
    }

    fn apply_event((): (), _: Happened) {}
}

#[derive(Clone)]
pub struct Store {
    events: PgStore<Thing>,
    pool: PgPool,
}

impl crate::Store for Store {
    async fn open(pool: PgPool) -> anyhow::Result<Self> {
        let events = PgStoreBuilder::new(pool.clone()).try_build().await?;
        Ok(Self { events, pool })
    }

    async fn append(&self) -> anyhow::Result<()> {
        self.append_stream(1).await.map(drop)
    }

    async fn append_stream(&self, events: usize) -> anyhow::Result<String> {
        let happened = Happened {
            text: text(r#"{"text":""}"#.len()),
        };
        let mut thing = AggregateState::new();
        self.events
            .persist(&mut thing, vec![happened; events])
            .await?;
        Ok(thing.id().to_string())
    }

    async fn load(&self, stream: &str) -> anyhow::Result<Folded> {
        let mut folded = Folded::default();
        for event in self.events.by_aggregate_id(stream.parse()?).await? {
            folded.evolve(&event.payload.text);
        }
        Ok(folded)
    }

    const COPY_EVENT: &'static str = "
        insert into thing_events (id, aggregate_id, payload, occurred_on, sequence_number, version)
        select uuidv7(), uuidv7(), payload, occurred_on + n * interval '1 microsecond', sequence_number, version
        from thing_events, generate_series(1, $1) as n";

    async fn replay(&self) -> anyhow::Result<Folded> {
        let mut folded = Folded::default();
        let mut events = self.events.stream_events(&self.pool);
        while let Some(event) = events.try_next().await? {
            folded.evolve(&event.payload.text);
        }
        Ok(folded)
    }
}
