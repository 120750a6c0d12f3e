//! Databases on the server that `TEST_POSTGRES_URL` names: one for each measurement, dropped after it.

use std::{str::FromStr, time::Instant};

use anyhow::Context;
use foldline_log::{Log, LogOptions, Offline, OfflineAppend, Service};
use sqlx::{AssertSqlSafe, Connection, PgConnection, postgres::PgConnectOptions};
use uuid::Uuid;

use crate::sample;

/// As many as the command service opens (`COMMAND_CONNECTIONS_MAX` in `src/roles.rs`).
const CONNECTIONS: u32 = 8;

/// How many appends an import hands over at a time.
const IMPORT_APPENDS: usize = 1_000;

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

    /// Imports so many events past the batcher, each on a stream of its own, as [`sample::append`] makes them. Returns the head.
    pub async fn fill(&self, events: usize) -> anyhow::Result<i64> {
        let began = Instant::now();
        let mut offline = Offline::connect(&PgConnectOptions::from_str(&self.url())?).await?;
        let mut import = offline.begin().await?;
        let mut left = events;
        while left > 0 {
            let appends: Vec<OfflineAppend> = (0..left.min(IMPORT_APPENDS))
                .map(|_| {
                    let append = sample::append();
                    let recorded_at = append.writes[0].events[0].occurred_at;
                    OfflineAppend {
                        append,
                        recorded_at,
                    }
                })
                .collect();
            left -= appends.len();
            import.append(&appends).await?;
        }
        let head = import.commit().await?;
        self.tidy().await?;
        let seconds = began.elapsed().as_secs_f64();
        eprintln!("a backlog of {head} events, made in {seconds:.0} s");
        Ok(head)
    }

    /// Counts and cleans its tables, and writes everything out, so that nobody does while it is read.
    pub async fn tidy(&self) -> anyhow::Result<()> {
        let mut owner = PgConnection::connect(&self.url()).await?;
        for statement in ["vacuum analyze", "checkpoint"] {
            sqlx::raw_sql(statement).execute(&mut owner).await?;
        }
        Ok(owner.close().await?)
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
        connections_max: CONNECTIONS,
        ..LogOptions::new(url.parse()?, Service::Command)
    };
    Ok(Log::open(options).await?)
}
