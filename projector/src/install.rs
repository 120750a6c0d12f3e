//! Makes the views' tables. Part of `foldline migrate`, run by their owner; a projector makes tables only by the statements that
//! are written down here.

use sqlx::{Connection, PgConnection};

use crate::{Error, View};

/// Two installations at once would make the same tables; "view" in ASCII.
const INSTALL_LOCK: i64 = 0x7669_6577;

/// Writes the statements of every view's present projection down, after the views' bookkeeping (`foldline_schema::migrate_view`).
/// Of a view that is not there at all, a build with empty tables is made, and shown to readers. Of one that an older projection
/// folded nothing changes: projectors fold a new build beside it and show that when it is whole, see `building.rs`. Safe to repeat.
pub async fn install(connection: &mut PgConnection) -> Result<(), Error> {
    for view in View::ALL {
        install_view(connection, view)
            .await
            .map_err(|source| Error::Install { view, source })?;
    }
    Ok(())
}

async fn install_view(connection: &mut PgConnection, view: View) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin().await?;
    sqlx::query("select pg_advisory_xact_lock($1)")
        .bind(INSTALL_LOCK)
        .execute(&mut *transaction)
        .await?;
    let ddl = view.ddl();
    sqlx::query(
        "insert into views.projections (view, projection, tables, readers)
         values ($1, $2, $3, $4)
         on conflict on constraint projections_pkey do update
         set tables = excluded.tables,
             readers = excluded.readers",
    )
    .bind(view.name())
    .bind(view.projection())
    .bind(ddl.tables)
    .bind(ddl.readers)
    .execute(&mut *transaction)
    .await?;
    let is_there: bool =
        sqlx::query_scalar("select exists (select from views.active where view = $1)")
            .bind(view.name())
            .fetch_one(&mut *transaction)
            .await?;
    if !is_there {
        let version: i32 = sqlx::query_scalar("select views.begin_build($1, $2)")
            .bind(view.name())
            .bind(view.projection())
            .fetch_one(&mut *transaction)
            .await?;
        sqlx::query("select views.show_builds(array[$1], array[$2])")
            .bind(view.name())
            .bind(version)
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}
