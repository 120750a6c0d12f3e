//! Makes the views' tables. Part of `foldline migrate`, run by their owner; the projector itself never makes tables.

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{Error, View};

/// Two installations at once would make the same tables; "view" in ASCII.
const INSTALL_LOCK: i64 = 0x7669_6577;

/// Installs every view's present version, after the views' bookkeeping (`foldline_schema::migrate_view`), and shows
/// readers that version: where it is a new one, it is empty at first, and reads with `atLeast` wait until it is folded.
/// Safe to repeat. The tables of older versions stay until somebody drops them.
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
    let table = format!("views.{}_v{}", view.name(), view.version());
    let present: bool = sqlx::query_scalar("select to_regclass($1) is not null")
        .bind(table)
        .fetch_one(&mut *transaction)
        .await?;
    if !present {
        sqlx::raw_sql(AssertSqlSafe(ddl.tables))
            .execute(&mut *transaction)
            .await?;
    }

    let activated = sqlx::query(
        "insert into views.active (view, version)
         values ($1, $2)
         on conflict on constraint active_pkey do update
         set version = excluded.version
         where active.version < excluded.version",
    )
    .bind(view.name())
    .bind(view.version())
    .execute(&mut *transaction)
    .await?
    .rows_affected();
    if activated > 0 {
        sqlx::raw_sql(AssertSqlSafe(ddl.readers))
            .execute(&mut *transaction)
            .await?;
    }
    transaction.commit().await
}
