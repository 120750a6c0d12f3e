//! The contracts: the tables of the log and of the views' bookkeeping, as two histories of migrations, because
//! `LOG_URL` and `VIEW_URL` may be different servers.
//!
//! It must not know what is done with the tables. The log's functions stand in `events/log/sql`, each view's own
//! tables beside its projection in `projector/src`; `foldline migrate` installs all of them, in that order.

#[cfg(feature = "testing")]
pub mod testing;

use sqlx::{
    PgConnection, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// How many positions a segment of the log holds, unless said otherwise at the first migration.
pub const SEGMENT_POSITIONS: i64 = 4_000_000;

const LOG: &[(i64, &str, &str)] = &[(1, "log", include_str!("../log/0001_log.sql"))];
const VIEW: &[(i64, &str, &str)] = &[(1, "view", include_str!("../view/0001_view.sql"))];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot migrate the {history} tables")]
    Migrate {
        history: &'static str,
        #[source]
        source: sqlx::migrate::MigrateError,
    },
    #[error("cannot name the cell {cell:?}: use 1 to 32 of a-z, 0-9 and -")]
    Cell {
        cell: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("cannot let {user} act as the services' roles")]
    Grant {
        user: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("this database holds the log of cell {present:?}, not of {wanted:?}")]
    AnotherCell { present: String, wanted: String },
}

/// Brings the log's tables to the present, and names the cell when it is new. Run by their owner.
pub async fn migrate_log(
    connection: &mut PgConnection,
    cell: &str,
    segment_positions: i64,
) -> Result<(), Error> {
    run(connection, "log", "_foldline_log_migrations", LOG).await?;
    sqlx::query(
        "insert into log.cell (name, segment_positions) values ($1, $2) on conflict do nothing",
    )
    .bind(cell)
    .bind(segment_positions)
    .execute(&mut *connection)
    .await
    .map_err(|source| Error::Cell {
        cell: cell.to_owned(),
        source,
    })?;
    let present: String = sqlx::query_scalar("select name from log.cell")
        .fetch_one(&mut *connection)
        .await
        .map_err(|source| Error::Cell {
            cell: cell.to_owned(),
            source,
        })?;
    if present != cell {
        return Err(Error::AnotherCell {
            present,
            wanted: cell.to_owned(),
        });
    }
    let roles = "foldline_command, foldline_relay, foldline_projector, foldline_query";
    grant_roles(connection, roles).await
}

/// Brings the views' bookkeeping to the present. Run by its owner.
pub async fn migrate_view(connection: &mut PgConnection) -> Result<(), Error> {
    run(connection, "view", "_foldline_view_migrations", VIEW).await?;
    grant_roles(connection, "foldline_projector, foldline_query").await
}

async fn run(
    connection: &mut PgConnection,
    history: &'static str,
    table: &'static str,
    files: &[(i64, &'static str, &'static str)],
) -> Result<(), Error> {
    let migrations = files
        .iter()
        .map(|&(version, name, sql)| {
            let kind = MigrationType::Simple;
            Migration::new(version, name.into(), kind, sql.into_sql_str(), false)
        })
        .collect();
    let mut migrator = Migrator::with_migrations(migrations);
    // Two histories may share a database, so each keeps a table of its own.
    migrator.dangerous_set_table_name(table);
    migrator
        .run(&mut *connection)
        .await
        .map_err(|source| Error::Migrate { history, source })
}

/// Lets the owner act as each service: `foldline up` does so when one person's URL serves all roles.
async fn grant_roles(connection: &mut PgConnection, roles: &'static str) -> Result<(), Error> {
    let user: String = sqlx::query_scalar("select current_user::text")
        .fetch_one(&mut *connection)
        .await
        .map_err(|source| Error::Grant {
            user: "the owner".to_owned(),
            source,
        })?;
    let grant = format!("grant {roles} to current_user");
    let mut tries = 0;
    loop {
        tries += 1;
        match sqlx::raw_sql(sqlx::AssertSqlSafe(grant.clone()))
            .execute(&mut *connection)
            .await
        {
            Ok(_) => return Ok(()),
            Err(_) if tries < GRANT_TRIES_MAX => {}
            Err(source) => return Err(Error::Grant { user, source }),
        }
    }
}

/// Roles belong to the whole server, so a grant can collide with one made from another database at the same moment.
const GRANT_TRIES_MAX: u32 = 20;
