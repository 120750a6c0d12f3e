//! A connection to the views as the projector's role: that of one who reads, or asks for, what concerns every tenant.

use std::time::Duration;

use anyhow::Context;
use sqlx::{ConnectOptions, Connection, PgConnection};

use crate::{config::Views, status::running};

/// How long the database may take to accept a connection.
const CONNECT_SECONDS_MAX: u64 = 5;

pub async fn connect(views: &Views) -> anyhow::Result<PgConnection> {
    let database = match &views.database {
        Some(database) => database.clone(),
        None => running::database(views.data.as_deref())?,
    };
    let options = database.url.options([("role", "foldline_projector")]);
    // What is counted over it takes its time.
    let options = options.disable_statement_logging();
    let bound = Duration::from_secs(CONNECT_SECONDS_MAX);
    tokio::time::timeout(bound, PgConnection::connect_with(&options))
        .await
        .with_context(|| {
            format!("the views' database did not answer within {CONNECT_SECONDS_MAX} s")
        })?
        .context("cannot connect to the views' database")
}
