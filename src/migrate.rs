//! `foldline migrate`: tables, functions and roles, then the tables of every view. Safe to repeat.

use anyhow::Context;
use sqlx::{Connection, PgConnection, postgres::PgConnectOptions};

use crate::config::MigrateArgs;

/// How long a lock is waited for that somebody else holds, another migration included.
const LOCK_TIMEOUT: &str = "20s";

pub async fn run(args: MigrateArgs) -> anyhow::Result<()> {
    let config = args.read()?;
    if let Some(database) = config.log {
        log(&database.direct, &args.cell).await?;
        println!("log: up to date");
    }
    if let Some(database) = config.view {
        views(&database.direct).await?;
        println!("views: up to date");
    }
    Ok(())
}

/// Brings the log's database to this version.
pub async fn log(options: &PgConnectOptions, cell: &str) -> anyhow::Result<()> {
    let mut owner = PgConnection::connect_with(&patient(options))
        .await
        .context("cannot connect to the log's database")?;
    foldline_schema::migrate_log(&mut owner, cell, foldline_schema::SEGMENT_POSITIONS).await?;
    foldline_log::install(&mut owner).await?;
    owner.close().await.context("cannot close the connection")
}

/// Brings the views' database to this version.
pub async fn views(options: &PgConnectOptions) -> anyhow::Result<()> {
    let mut owner = PgConnection::connect_with(&patient(options))
        .await
        .context("cannot connect to the views' database")?;
    foldline_schema::migrate_view(&mut owner).await?;
    foldline_projector::install(&mut owner).await?;
    owner.close().await.context("cannot close the connection")
}

fn patient(options: &PgConnectOptions) -> PgConnectOptions {
    options.clone().options([("lock_timeout", LOCK_TIMEOUT)])
}
