//! When events were recorded: written beside the rows, so that a reader finds the position that the log had at a time
//! without asking the log. See `schema/view/0010_log_times.sql`.

use chrono::{DateTime, Utc};
use foldline_events::{Partition, Position, Recorded};
use sqlx::{PgConnection, error::BoxDynError};
use uuid::Uuid;

use crate::{
    Error,
    error::unless_unprepared,
    records::{Columns, Record, Records},
};

/// The events of one partition that a delivery brought, in order.
pub(crate) struct Times {
    epoch: Uuid,
    partition: Partition,
    positions: Vec<Position>,
    times: Vec<DateTime<Utc>>,
}

impl Times {
    /// `None` of nothing.
    pub(crate) fn of<'e>(
        epoch: Uuid,
        partition: Partition,
        events: impl Iterator<Item = &'e Recorded>,
    ) -> Option<Self> {
        let (positions, times): (Vec<_>, Vec<_>) = events
            .map(|event| (event.position, event.recorded_at))
            .unzip();
        (!positions.is_empty()).then_some(Self {
            epoch,
            partition,
            positions,
            times,
        })
    }
}

impl Record for Times {
    const TABLE: &'static str = "log_times";

    fn write(&self, columns: &mut Columns<'_>) -> Result<(), BoxDynError> {
        columns
            .encode(self.epoch)?
            .encode(self.partition)?
            .encode(self.times.last().copied())?
            .encode(self.positions.last().copied())?
            .encode(self.positions.as_slice())?
            .encode(self.times.as_slice())?;
        Ok(())
    }
}

// A view of a new version is folded from the beginning again: what it brings is there already, be it in other pieces.
const STORE: &str = "
    insert into views.log_times
    select *
    from unnest($1::views.log_times[])
    on conflict on constraint log_times_pkey do nothing
";

pub(crate) async fn store(connection: &mut PgConnection, times: &[Times]) -> Result<(), Error> {
    if times.is_empty() {
        return Ok(());
    }
    sqlx::query(STORE)
        .bind(Records::new(times))
        .execute(connection)
        .await
        .map_err(unless_unprepared(Error::Times))?;
    Ok(())
}
