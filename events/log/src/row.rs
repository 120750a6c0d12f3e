//! Events as rows of the database.

use foldline_events::{Recorded, Tenant};
use sqlx::{Row, postgres::PgRow};

use crate::Error;

/// A query of events: the columns that [`recorded`] takes, then what is given.
macro_rules! select_recorded {
    ($rest:literal) => {
        concat!(
            "select position, partition, id, tenant, stream, version, type, schema_version, payload, tags, actor, \
             command_id, correlation_id, causation_id, trace_context, occurred_at, recorded_at ",
            $rest
        )
    };
}
pub(crate) use select_recorded;

/// By their places: looking for 17 names in each row takes longer than everything else here. The payload is of type `json`,
/// which is sent as its text; a cast to `text` would cost the server two copies of it.
pub(crate) fn recorded(row: &PgRow) -> Result<Recorded, Error> {
    Ok(Recorded {
        position: row.get(0),
        partition: row.get(1),
        id: row.get(2),
        tenant: Tenant::parse(row.get(3))?,
        stream: row.get(4),
        version: row.get(5),
        event_type: row.get(6),
        schema_version: row.get(7),
        payload: row.get_unchecked(8),
        tags: row.get(9),
        actor: row.get(10),
        command_id: row.get(11),
        correlation_id: row.get(12),
        causation_id: row.get(13),
        trace_context: row.get(14),
        occurred_at: row.get(15),
        recorded_at: row.get(16),
    })
}
