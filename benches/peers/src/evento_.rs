//! `evento`: a new aggregate with one event.

use evento::{AggregatorName, EventDetails, sql_migrator};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx_migrator::{Migrate, Plan};

use crate::{Appends, text};

#[derive(AggregatorName, bincode::Encode, bincode::Decode)]
struct Happened {
    text: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
struct Thing {
    times: u64,
}

#[evento::aggregator]
impl Thing {
    async fn happened(&mut self, _: EventDetails<Happened>) -> anyhow::Result<()> {
        self.times += 1;
        Ok(())
    }
}

#[derive(Clone)]
pub struct Store(evento::Postgres);

pub async fn open(pool: PgPool) -> anyhow::Result<Store> {
    let mut connection = pool.acquire().await?;
    sql_migrator::new_migrator::<sqlx::Postgres>()?
        .run(&mut *connection, &Plan::apply_all())
        .await?;
    drop(connection);
    Ok(Store(pool.into()))
}

impl Appends for Store {
    async fn append(&self) -> anyhow::Result<()> {
        evento::create::<Thing>()
            .data(&Happened { text: text() })?
            .metadata(&true)?
            .commit(&self.0)
            .await?;
        Ok(())
    }
}
