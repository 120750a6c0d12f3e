//! Brings the log's database functions to this build's text. Part of `foldline migrate`, after the tables.

use sqlx::PgConnection;

use crate::Error;

/// How many segments are made ahead of the one that the head is in.
pub(crate) const SEGMENTS_AHEAD: i32 = 2;

const FUNCTIONS: [&str; 7] = [
    include_str!("../sql/ensure_segments.sql"),
    include_str!("../sql/refusals.sql"),
    include_str!("../sql/append.sql"),
    include_str!("../sql/append_one.sql"),
    include_str!("../sql/append_offline.sql"),
    include_str!("../sql/position_at.sql"),
    include_str!("../sql/tagged.sql"),
];

/// Installs the functions and the first segments. Run by the tables' owner; safe to repeat.
pub async fn install(connection: &mut PgConnection) -> Result<(), Error> {
    for function in FUNCTIONS {
        sqlx::raw_sql(function)
            .execute(&mut *connection)
            .await
            .map_err(Error::Install)?;
    }
    sqlx::query("select log.ensure_segments($1)")
        .bind(SEGMENTS_AHEAD)
        .execute(connection)
        .await
        .map_err(Error::Install)?;
    Ok(())
}
