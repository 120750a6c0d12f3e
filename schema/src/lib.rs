//! The contracts: the tables of the log and of the views' bookkeeping, as two histories of migrations, because
//! `LOG_URL` and `VIEW_URL` may be different servers.
//!
//! Beside them lie the contracts with readers: the events' JSON Schemas in `schema/events`, `query.graphql` and
//! `openapi.json`. They are goldens: generated from the code, and held to it by tests; [`events`] says which change of an
//! event breaks whom.
//!
//! It must not know what is done with the tables. The log's functions stand in `events/log/sql`, each view's own
//! tables beside its projection in `projector/src`; `foldline migrate` installs all of them, in that order.

pub mod events;
#[cfg(feature = "testing")]
pub mod testing;

use sqlx::{
    PgConnection, SqlSafeStr,
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

/// What the database says when a lock was not had in time.
const LOCK_NOT_AVAILABLE: &str = "55P03";

/// How many positions a segment of the log holds, unless said otherwise at the first migration.
pub const SEGMENT_POSITIONS: i64 = 4_000_000;

const LOG: &[(i64, &str, &str)] = &[
    (1, "log", include_str!("../log/0001_log.sql")),
    (2, "batches", include_str!("../log/0002_batches.sql")),
    (3, "snapshots", include_str!("../log/0003_snapshots.sql")),
    (4, "work", include_str!("../log/0004_work.sql")),
    (
        5,
        "command_ids",
        include_str!("../log/0005_command_ids.sql"),
    ),
];
const VIEW: &[(i64, &str, &str)] = &[
    (1, "view", include_str!("../view/0001_view.sql")),
    (2, "parked", include_str!("../view/0002_parked.sql")),
    (3, "leases", include_str!("../view/0003_leases.sql")),
    (4, "lag", include_str!("../view/0004_lag.sql")),
    (5, "wishes", include_str!("../view/0005_wishes.sql")),
    (
        6,
        "late_indexes",
        include_str!("../view/0006_late_indexes.sql"),
    ),
    (
        7,
        "late_statistics",
        include_str!("../view/0007_late_statistics.sql"),
    ),
    (
        8,
        "stall_reasons",
        include_str!("../view/0008_stall_reasons.sql"),
    ),
    (9, "history", include_str!("../view/0009_history.sql")),
    (10, "log_times", include_str!("../view/0010_log_times.sql")),
    (11, "kept", include_str!("../view/0011_kept.sql")),
    (12, "rebuilds", include_str!("../view/0012_rebuilds.sql")),
    (13, "late_keys", include_str!("../view/0013_late_keys.sql")),
    (14, "builds", include_str!("../view/0014_builds.sql")),
];

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot migrate the {history} tables")]
    Migrate {
        history: &'static str,
        #[source]
        source: MigrateError,
    },
    #[error(
        "somebody holds a lock that migrating the {history} tables needs; end that session (`select pid from pg_locks`), or \
         wait for it, and migrate again"
    )]
    Blocked { history: &'static str },
    #[error("cannot name the cell {cell:?}: use 1 to 32 of a-z, 0-9 and -")]
    Cell {
        cell: String,
        #[source]
        source: sqlx::Error,
    },
    #[error(
        "the migrating user may not act as {role}, and may not grant it to itself; let whoever owns the role grant it"
    )]
    Grant {
        role: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("cannot remove the views")]
    RemoveViews(#[source] sqlx::Error),
    #[error("this database holds the log of cell {present:?}, not of {wanted:?}")]
    AnotherCell { present: String, wanted: String },
}

/// Brings the log's tables to the present, and names the cell when it is new. Run by their owner, on a connection whose
/// `lock_timeout` bounds how long others are waited for.
///
/// # Errors
/// [`Error::Blocked`] when others are waited for too long; [`Error::Cell`] and [`Error::AnotherCell`] when the database may not
/// have this name; [`Error::Grant`] when the user may not act as a service; [`Error::Migrate`] otherwise.
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
    for role in [
        "foldline_command",
        "foldline_relay",
        "foldline_projector",
        "foldline_query",
        "foldline_worker",
    ] {
        grant_role(connection, role).await?;
    }
    Ok(())
}

/// Brings the views' bookkeeping to the present. Run by its owner.
pub async fn migrate_view(connection: &mut PgConnection) -> Result<(), Error> {
    run(connection, "view", "_foldline_view_migrations", VIEW).await?;
    for role in ["foldline_projector", "foldline_query"] {
        grant_role(connection, role).await?;
    }
    Ok(())
}

/// Removes the views, their tables and their bookkeeping, where they are of a log that is no more. Migrated again, they are folded
/// from the beginning of the log that is there.
pub async fn remove_views(connection: &mut PgConnection) -> Result<(), Error> {
    sqlx::raw_sql(
        "drop schema if exists views cascade; drop table if exists _foldline_view_migrations",
    )
    .execute(connection)
    .await
    .map(drop)
    .map_err(Error::RemoveViews)
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
        .map_err(|source| match is_kept_waiting(&source) {
            true => Error::Blocked { history },
            false => Error::Migrate { history, source },
        })
}

/// Whether a lock was not had in the time that the connection gives.
fn is_kept_waiting(error: &MigrateError) -> bool {
    let (MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _)) = error else {
        return false;
    };
    let said = source.as_database_error().and_then(|said| said.code());
    said.is_some_and(|code| code == LOCK_NOT_AVAILABLE)
}

/// Lets the owner act as a service: `foldline up` does so when one person's URL serves all roles. Who may already is
/// left alone: on a managed server the roles may be somebody else's, who has to grant them.
async fn grant_role(connection: &mut PgConnection, role: &'static str) -> Result<(), Error> {
    let failed = |source| Error::Grant { role, source };
    for tried in 1..=GRANT_TRIES_MAX {
        let may: bool = sqlx::query_scalar("select pg_has_role(current_user, $1, 'member')")
            .bind(role)
            .fetch_one(&mut *connection)
            .await
            .map_err(failed)?;
        if may {
            break;
        }
        let grant = sqlx::AssertSqlSafe(format!("grant {role} to current_user"));
        match sqlx::raw_sql(grant).execute(&mut *connection).await {
            Ok(_) => break,
            Err(source) if tried == GRANT_TRIES_MAX => return Err(failed(source)),
            Err(_) => {}
        }
    }
    Ok(())
}

/// Roles belong to the whole server, so a grant can collide with one made from another database at the same moment.
const GRANT_TRIES_MAX: u32 = 20;
