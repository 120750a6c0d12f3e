//! A PostgreSQL of a test's own, of the version under test, which may be stopped hard and comes back where it was.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use foldline_local::{
    Lifetime,
    postgres::{PostgresOptions, PostgresServer},
};
use foldline_schema::testing::TestDatabase;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::task::JoinHandle;

use super::until;
use crate::store::migrate;

/// Between two tries to start a server that cannot start yet.
const START_PAUSE: Duration = Duration::from_millis(500);

pub struct Server {
    pub database: TestDatabase,
    cluster: PathBuf,
    /// Holds the server, which dies with it.
    keeping: JoinHandle<()>,
}

impl Server {
    /// In an empty folder, with a log in it.
    pub async fn start(data: &Path, settings: &[(&str, &str)]) -> Self {
        let small = ("shared_buffers", "16MB");
        let settings = settings.iter().chain([&small]);
        let options = PostgresOptions {
            data: data.to_owned(),
            port: None,
            version: Some(major_under_test().await),
            settings: settings
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            lifetime: Lifetime::DiesWithUs,
        };
        let server = PostgresServer::start(options.clone()).await.unwrap();
        let mut admin = PgConnection::connect(&server.url("postgres"))
            .await
            .unwrap();
        execute(&mut admin, "create database foldline").await;
        admin.close().await.unwrap();
        let url = server.url("foldline");
        migrate(url.clone(), foldline_schema::SEGMENT_POSITIONS).await;
        let options = PostgresOptions {
            port: Some(server.port()),
            ..options
        };
        Self {
            database: TestDatabase { url },
            cluster: data.join("cluster"),
            keeping: tokio::spawn(keep(server, options)),
        }
    }

    /// What it says of itself: its pid, and whether it takes connections.
    fn said(&self) -> Option<(Pid, bool)> {
        let text = fs::read_to_string(self.cluster.join("postmaster.pid")).ok()?;
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let pid = Pid::from_raw(lines.first()?.parse().ok()?);
        Some((pid, lines.get(7) == Some(&"ready")))
    }

    /// What `pg_ctl stop -m immediate` does: no session ends in order, nothing is written any more. Returns when it is
    /// back.
    pub async fn stop_hard(&self) {
        let (before, _) = self.said().expect("it runs");
        kill(before, Signal::SIGQUIT).unwrap();
        until("the server to be back", async || {
            self.said()
                .is_some_and(|(pid, ready)| pid != before && ready)
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.keeping.abort();
    }
}

/// Starts it again whenever it has ended, and again until it can.
async fn keep(mut server: PostgresServer, options: PostgresOptions) {
    loop {
        let error = server.keep().await;
        eprintln!("the server does not start: {error}");
        drop(server);
        server = loop {
            tokio::time::sleep(START_PAUSE).await;
            if let Ok(server) = PostgresServer::start(options.clone()).await {
                break server;
            }
        };
    }
}

pub async fn execute(connection: &mut PgConnection, statement: &str) {
    let statement = AssertSqlSafe(statement.to_owned());
    sqlx::raw_sql(statement).execute(connection).await.unwrap();
}

/// The major version of the server that the other tests use.
pub async fn major_under_test() -> u32 {
    let url = std::env::var("TEST_POSTGRES_URL").expect("`make test` starts one");
    let mut connection = PgConnection::connect(&url).await.unwrap();
    let version: String = sqlx::query_scalar("show server_version_num")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    version.parse::<u32>().unwrap() / 10_000
}
