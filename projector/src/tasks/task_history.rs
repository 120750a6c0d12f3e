//! `task_history`: the recorded events of every task, as they were recorded.

use foldline_events::{Event, Recorded};
use sqlx::{PgConnection, error::BoxDynError};
use uuid::Uuid;

use crate::{
    Build, Error, Folded,
    records::{Columns, Record},
    view::Table,
};

pub(crate) const PROJECTION: i32 = 3;
pub(crate) const DDL: &str = include_str!("task_history.sql");
pub(crate) const TABLES: &[Table] = &[Table {
    name: "task_history",
    of: Some("task_id"),
    key: &["version"],
    is_only_added: true,
}];

// An event comes once, but a constraint is a promise of the table and not of whoever writes it: so no `on conflict`.
const STORE: &str = "
    insert into views.task_history_v{version}
    select *
    from unnest($1::views.task_history_v{version}[])
";

/// An event of a task.
struct Entry<'e>(Uuid, &'e Recorded);

impl Record for Entry<'_> {
    const TABLE: &'static str = "task_history";

    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        let Self(task, event) = self;
        columns
            .encode(event.tenant.as_str())?
            .encode(*task)?
            .encode(event.version)?
            .encode(event.position)?
            .encode(event.id)?
            .encode(event.event_type.as_str())?
            .encode(event.schema_version)?
            .encode(event.payload.as_str())?
            .encode(event.actor.as_str())?
            .encode(event.command_id)?
            .encode(event.correlation_id)?
            .encode(event.causation_id)?
            .encode(event.occurred_at)?
            .encode(event.recorded_at)?
            .encode(event.partition)?;
        Ok(())
    }
}

pub(crate) async fn fold(
    connection: &mut PgConnection,
    build: Build,
    events: &[Folded<'_>],
) -> Result<(), Error> {
    let mut of_tasks = Vec::new();
    for folded in events {
        match folded.event {
            Event::Task(_) => of_tasks.push(Entry(folded.aggregate()?, folded.recorded)),
            Event::Project(_) | Event::TaskKey(_) => {}
        }
    }
    // Sorted like the key, so that the index is written from one end to the other.
    of_tasks.sort_unstable_by_key(|Entry(task, event)| (&event.tenant, *task, event.version));
    build.write(connection, STORE, &of_tasks).await
}
