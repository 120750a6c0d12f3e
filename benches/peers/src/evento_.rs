//! `evento`: its executor, without the builder that folds what it appends and writes a snapshot of that.

use std::{collections::HashSet, time::SystemTime};

use evento::{
    Aggregator, AggregatorName, Event, EventDetails, Executor, RoutingKey,
    cursor::{Args, ReadResult},
    sql_migrator,
};
use serde::{Deserialize, Serialize};
use sqlx::PgPool;
use sqlx_migrator::{Migrate, Plan};
use ulid::Ulid;

use crate::{Folded, text};

/// How many bytes bincode puts before a text of this length.
const LENGTH_BYTES: usize = 1;
/// Each page sorts all events after the one before it, so pages are as large as their number's type allows them to be.
const PAGE_EVENTS: u16 = u16::MAX - 1;

#[derive(AggregatorName, bincode::Encode, bincode::Decode)]
struct Happened {
    text: String,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize, bincode::Encode, bincode::Decode)]
struct Thing {
    times: u64,
    bytes: u64,
}

#[evento::aggregator]
impl Thing {
    async fn happened(&mut self, event: EventDetails<Happened>) -> anyhow::Result<()> {
        self.times += 1;
        self.bytes += event.data.text.len() as u64;
        Ok(())
    }
}

impl Thing {
    async fn fold(&mut self, page: &ReadResult<Event>) -> anyhow::Result<()> {
        for event in &page.edges {
            self.aggregate(&event.node).await?;
        }
        Ok(())
    }

    fn folded(&self) -> anyhow::Result<Folded> {
        Ok(Folded {
            events: usize::try_from(self.times)?,
            bytes: usize::try_from(self.bytes)?,
        })
    }
}

fn happened(thing: Ulid, version: usize) -> anyhow::Result<Event> {
    let happened = Happened {
        text: text(LENGTH_BYTES),
    };
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?;
    let config = bincode::config::standard();
    Ok(Event {
        id: Ulid::new(),
        aggregator_id: thing.to_string(),
        aggregator_type: Thing::name().to_owned(),
        version: i32::try_from(version)?,
        name: Happened::name().to_owned(),
        routing_key: None,
        data: bincode::encode_to_vec(&happened, config)?,
        metadata: bincode::encode_to_vec(true, config)?,
        timestamp: now.as_secs(),
        timestamp_subsec: now.subsec_millis(),
    })
}

#[derive(Clone)]
pub struct Store(evento::Postgres);

impl crate::Store for Store {
    async fn open(pool: PgPool) -> anyhow::Result<Self> {
        let mut connection = pool.acquire().await?;
        sql_migrator::new::<sqlx::Postgres>()?
            .run(&mut *connection, &Plan::apply_all())
            .await?;
        drop(connection);
        Ok(Self(pool.into()))
    }

    async fn append(&self) -> anyhow::Result<()> {
        self.append_stream(1).await.map(drop)
    }

    async fn append_stream(&self, events: usize) -> anyhow::Result<String> {
        let thing = Ulid::new();
        let events = (1..=events).map(|version| happened(thing, version));
        self.0.write(events.collect::<anyhow::Result<_>>()?).await?;
        Ok(thing.to_string())
    }

    async fn load(&self, stream: &str) -> anyhow::Result<Folded> {
        let mut thing = Thing::default();
        let args = Args::forward(PAGE_EVENTS, None);
        let (name, stream) = (Thing::name().to_owned(), stream.to_owned());
        thing
            .fold(&self.0.read_by_aggregator(name, stream, args).await?)
            .await?;
        thing.folded()
    }

    /// Its ids are 26 characters, of which digits are some.
    const COPY_EVENT: &'static str = "
        insert into event (
            id, name, aggregator_type, aggregator_id, version, data, metadata, routing_key, timestamp, timestamp_subsec
        )
        select lpad(n::text, 26, '0'), name, aggregator_type, lpad(n::text, 26, '0'), version, data, metadata,
            routing_key, timestamp + n / 1000, n % 1000
        from event, generate_series(1, $1) as n";

    async fn replay(&self) -> anyhow::Result<Folded> {
        let of_things = HashSet::from([Thing::name().to_owned()]);
        let mut thing = Thing::default();
        let mut after = None;
        loop {
            let args = Args::forward(PAGE_EVENTS, after);
            let page = self
                .0
                .read(of_things.clone(), RoutingKey::All, args)
                .await?;
            thing.fold(&page).await?;
            if !page.page_info.has_next_page {
                return thing.folded();
            }
            after = page.page_info.end_cursor;
        }
    }
}
