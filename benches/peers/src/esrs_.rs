//! `esrs`: its Postgres store, without handlers.

use esrs::{
    Aggregate, AggregateState,
    store::{
        EventStore,
        postgres::{PgStore, PgStoreBuilder},
    },
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;

use crate::{Appends, text};

pub struct Thing;

#[derive(Serialize, Deserialize)]
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
pub struct Store(PgStore<Thing>);

pub async fn open(pool: PgPool) -> anyhow::Result<Store> {
    Ok(Store(PgStoreBuilder::new(pool).try_build().await?))
}

impl Appends for Store {
    async fn append(&self) -> anyhow::Result<()> {
        let happened = Happened { text: text() };
        self.0
            .persist(&mut AggregateState::new(), vec![happened])
            .await?;
        Ok(())
    }
}
