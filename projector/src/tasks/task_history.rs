//! `task_history`: the recorded events of every task, as they were recorded.

use foldline_events::{Event, Recorded};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Error, Folded, View};

pub(crate) const VERSION: i32 = 1;
pub(crate) const DDL: &str = include_str!("task_history.sql");

const VIEW: View = View::TaskHistory;

// An event comes once, but a constraint is a promise of the table and not of whoever writes it: so no `on conflict`.
const STORE: &str = "
    insert into views.task_history_v{version} (
        tenant, task_id, version, position, event_id, event_type, schema_version, payload, actor, command_id,
        correlation_id, causation_id, occurred_at, recorded_at, partition
    )
    select *
    from unnest(
        $1::text[], $2::uuid[], $3::bigint[], $4::bigint[], $5::uuid[], $6::text[], $7::smallint[], $8::text[],
        $9::text[], $10::uuid[], $11::uuid[], $12::uuid[], $13::timestamptz[], $14::timestamptz[], $15::smallint[]
    )
";

pub(crate) async fn fold(
    connection: &mut PgConnection,
    events: &[Folded<'_>],
) -> Result<(), Error> {
    let mut of_tasks: Vec<(Uuid, &Recorded)> = Vec::new();
    for folded in events {
        match folded.event {
            Event::Task(_) => of_tasks.push((folded.aggregate()?, folded.recorded)),
            Event::Project(_) | Event::TaskKey(_) => {}
        }
    }
    if of_tasks.is_empty() {
        return Ok(());
    }
    // Sorted like the key, so that the index is written from one end to the other.
    of_tasks.sort_unstable_by_key(|(task, recorded)| (&recorded.tenant, *task, recorded.version));
    let events = of_tasks.as_slice();
    sqlx::query(VIEW.sql(STORE))
        .bind(column(events, |event| event.tenant.as_str()))
        .bind(events.iter().map(|(task, _)| *task).collect::<Vec<_>>())
        .bind(column(events, |event| event.version))
        .bind(column(events, |event| event.position))
        .bind(column(events, |event| event.id))
        .bind(column(events, |event| event.event_type.as_str()))
        .bind(column(events, |event| event.schema_version))
        .bind(column(events, |event| event.payload.as_str()))
        .bind(column(events, |event| event.actor.as_str()))
        .bind(column(events, |event| event.command_id))
        .bind(column(events, |event| event.correlation_id))
        .bind(column(events, |event| event.causation_id))
        .bind(column(events, |event| event.occurred_at))
        .bind(column(events, |event| event.recorded_at))
        .bind(column(events, |event| event.partition))
        .execute(connection)
        .await
        .map_err(VIEW.rows_error())?;
    Ok(())
}

fn column<'e, T>(events: &[(Uuid, &'e Recorded)], of: impl Fn(&'e Recorded) -> T) -> Vec<T> {
    events.iter().map(|(_, recorded)| of(recorded)).collect()
}
