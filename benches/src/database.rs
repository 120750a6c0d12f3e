//! Databases on the server that `TEST_POSTGRES_URL` names: one for each measurement, dropped after it.

use std::str::FromStr;

use anyhow::Context;
use foldline_log::{Log, LogOptions, Service};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

/// As many as the command service opens (`COMMAND_CONNECTIONS_MAX` in `src/roles.rs`).
const CONNECTIONS: u32 = 8;

pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// An empty one.
    #[expect(clippy::disallowed_methods, reason = "a benchmark is an edge")]
    pub async fn create() -> anyhow::Result<Self> {
        let server = std::env::var("TEST_POSTGRES_URL")
            .context("TEST_POSTGRES_URL is not set; run it with `make bench-…`")?;
        let name = format!("bench_{}", Uuid::now_v7().simple());
        let database = Self { server, name };
        let create = format!("create database {}", database.name);
        database.on_server(&create).await?;
        Ok(database)
    }

    /// One with an empty log.
    pub async fn with_log() -> anyhow::Result<Self> {
        let database = Self::create().await?;
        let mut owner = PgConnection::connect(&database.url()).await?;
        foldline_schema::migrate_log(&mut owner, "bench", foldline_schema::SEGMENT_POSITIONS)
            .await?;
        foldline_log::install(&mut owner).await?;
        owner.close().await?;
        Ok(database)
    }

    pub fn url(&self) -> String {
        let server = self
            .server
            .rsplit_once('/')
            .map_or("", |(server, _)| server);
        format!("{server}/{}", self.name)
    }

    /// Gone, and what it wrote is out of the way of the next measurement.
    pub async fn drop(self) -> anyhow::Result<()> {
        let drop = format!("drop database {} with (force)", self.name);
        self.on_server(&drop).await?;
        self.on_server("checkpoint").await
    }

    async fn on_server(&self, statement: &str) -> anyhow::Result<()> {
        let mut connection = PgConnection::connect(&self.server).await?;
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut connection)
            .await?;
        connection.close().await?;
        Ok(())
    }
}

pub async fn open(url: &str) -> anyhow::Result<Log> {
    let options = LogOptions {
        url: PgConnectOptions::from_str(url)?,
        direct: None,
        service: Service::Command,
        connections_max: CONNECTIONS,
    };
    Ok(Log::open(options).await?)
}
