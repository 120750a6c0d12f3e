//! Brings the log's database functions to this build's text. Part of `foldline migrate`, after the tables.

use sqlx::{Connection, PgConnection};

use crate::Error;

/// How many segments are made ahead of the one that the head is in.
pub(crate) const SEGMENTS_AHEAD: i32 = 2;

const FUNCTIONS: [&str; 9] = [
    include_str!("../sql/ensure_segments.sql"),
    include_str!("../sql/newest_tagged.sql"),
    include_str!("../sql/refusals.sql"),
    include_str!("../sql/append.sql"),
    include_str!("../sql/append_one.sql"),
    include_str!("../sql/append_offline.sql"),
    include_str!("../sql/position_at.sql"),
    include_str!("../sql/read_stream.sql"),
    include_str!("../sql/tagged.sql"),
];

/// Forms with fewer parameters than now, which `create or replace` would leave beside the present ones. Processes of the
/// build that called them are served by the present ones: what was added has a default.
const DROP_EARLIER_FORMS: &str = "
do $$
declare
    earlier regprocedure;
begin
    for earlier in
        select p.oid::regprocedure
        from pg_proc p
        where p.pronamespace = 'log'::regnamespace
            and (p.proname, p.pronargs) in (('append', 39), ('refusals', 12))
    loop
        execute format('drop function %s', earlier);
    end loop;
end
$$";

/// Installs the functions, all at once, and the first segments. Run by the tables' owner; safe to repeat, and while
/// others append.
pub async fn install(connection: &mut PgConnection) -> Result<(), Error> {
    let mut all = connection.begin().await.map_err(Error::Install)?;
    for text in std::iter::once(DROP_EARLIER_FORMS).chain(FUNCTIONS) {
        sqlx::raw_sql(text)
            .execute(&mut *all)
            .await
            .map_err(Error::Install)?;
    }
    all.commit().await.map_err(Error::Install)?;
    sqlx::query("select log.ensure_segments($1)")
        .bind(SEGMENTS_AHEAD)
        .execute(connection)
        .await
        .map_err(Error::Install)?;
    Ok(())
}
