//! The recorded events of tasks, readable: who did what when, and in plain words (`history/words.rs`).

mod words;

use std::collections::HashMap;

use async_graphql::{ComplexObject, Json, SimpleObject, dataloader::Loader};
use chrono::{DateTime, Utc};
use foldline_events::Event;
use sqlx::{FromRow, Postgres, QueryBuilder, Row};
use uuid::Uuid;

use crate::{
    error::Error,
    page::{
        Listed,
        cursor::{Key, Kind, Order, Place},
        nested::Nested,
    },
    read::{Loaders, Scope},
    scalars,
};

/// In the order in which they were recorded.
pub const ORDER: Order = Order {
    name: "history",
    by: &[("version", Kind::Number)],
    descending: false,
};

/// Something that happened to a task, as it was recorded.
#[derive(Debug, Clone, SimpleObject, sqlx::FromRow)]
#[graphql(name = "TaskHistoryEntry", complex)]
pub struct HistoryEntry {
    /// The event's id.
    event_id: Uuid,
    #[graphql(skip)]
    position: i64,
    #[graphql(skip)]
    version: i64,
    /// What happened, as programs name it, such as `tasks.TaskCompleted`.
    #[graphql(name = "type")]
    event_type: String,
    #[graphql(skip)]
    schema_version: i16,
    #[graphql(skip)]
    payload: String,
    /// When it happened, in business time.
    #[graphql(name = "at")]
    occurred_at: DateTime<Utc>,
    /// When it was recorded, by the server's clock.
    recorded_at: DateTime<Utc>,
    /// Who did it: the subject of their token.
    actor: String,
    /// The command that made it happen.
    command_id: Uuid,
    /// What it belongs to: all that one request or process caused has the same.
    correlation_id: Uuid,
    /// What it follows from: a command or an event.
    causation_id: Uuid,
}

#[ComplexObject]
impl HistoryEntry {
    /// The task's version from this event on.
    async fn version(&self) -> scalars::Version {
        scalars::Version(self.version)
    }

    /// Its place in the log.
    async fn position(&self) -> scalars::Position {
        scalars::Position(self.position)
    }

    /// The version of the schema that `data` follows: see the JSON Schemas of the events.
    async fn schema_version(&self) -> i32 {
        self.schema_version.into()
    }

    /// What was recorded of it, as an object.
    async fn data(&self) -> Json<serde_json::Value> {
        // What is no JSON cannot be recorded; if ever it were, its text says more than an error.
        let read = serde_json::from_str(&self.payload);
        Json(read.unwrap_or_else(|_| serde_json::Value::String(self.payload.clone())))
    }

    /// The same in one plain English sentence about the task, such as `completed after 3.5 hours`.
    async fn summary(&self) -> String {
        match Event::decode(&self.event_type, self.schema_version, &self.payload) {
            Ok(Event::Task(event)) => words::of(&event),
            Ok(Event::Project(_) | Event::TaskKey(_)) | Err(_) => {
                format!(
                    "something this server has no words for: {}",
                    self.event_type
                )
            }
        }
    }
}

/// The history of each of many tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HistoryOfTask;

impl Nested for HistoryOfTask {
    type Node = HistoryEntry;
    const COLUMNS: &'static str = "
        event_id,
        position,
        version,
        event_type,
        schema_version,
        payload,
        occurred_at,
        recorded_at,
        actor,
        command_id,
        correlation_id,
        causation_id";

    fn push_from(&self, scope: Scope<'_>, query: &mut QueryBuilder<Postgres>) {
        query.push(format!(
            " from {} where tenant = ",
            scope.view("task_history")
        ));
        query.push_bind(scope.tenant.to_owned());
        query.push(" and task_id = parent.id");
    }
}

impl Listed for HistoryEntry {
    fn place(&self, _: Order) -> Place {
        Place(vec![Key::Number(self.version)])
    }
}

/// The event that made a version of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EntryOfTask {
    pub task: Uuid,
    pub version: i64,
}

/// Many of them at once.
pub fn entries(scope: Scope<'_>, wanted: &[EntryOfTask]) -> QueryBuilder<Postgres> {
    let tasks: Vec<Uuid> = wanted.iter().map(|entry| entry.task).collect();
    let versions: Vec<i64> = wanted.iter().map(|entry| entry.version).collect();
    let mut query = QueryBuilder::new("select parent.id as of_task, entry.* from unnest(");
    query.push_bind(tasks).push(", ").push_bind(versions);
    query.push(") as parent (id, made) cross join lateral (select ");
    query.push(HistoryOfTask::COLUMNS);
    HistoryOfTask.push_from(scope, &mut query);
    query.push(" and version = parent.made) as entry");
    query
}

impl Loader<EntryOfTask> for Loaders {
    type Value = HistoryEntry;
    type Error = Error;

    async fn load(
        &self,
        keys: &[EntryOfTask],
    ) -> Result<HashMap<EntryOfTask, HistoryEntry>, Error> {
        let mut transaction = self.reader.begin().await?;
        let found = entries(self.reader.scope(), keys)
            .build()
            .fetch_all(&mut *transaction)
            .await
            .map_err(Error::read)?;
        let mut loaded = HashMap::with_capacity(found.len());
        for row in found {
            let entry = HistoryEntry::from_row(&row).map_err(Error::read)?;
            let task = row.try_get("of_task").map_err(Error::read)?;
            let version = entry.version;
            loaded.insert(EntryOfTask { task, version }, entry);
        }
        Ok(loaded)
    }
}
