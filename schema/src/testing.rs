//! A database of its own for every test, on the real server that `TEST_POSTGRES_URL` names (`make test` starts one).

#![expect(
    clippy::disallowed_methods,
    reason = "tests are an edge: ids and settings enter here"
)]

use std::{future::Future, sync::OnceLock};

use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::sync::OnceCell;
use uuid::Uuid;

/// A database that nobody else uses.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    pub url: String,
}

impl TestDatabase {
    /// A copy of a template that `prepare` fills once per test binary; `prepare` is given the template's URL and must
    /// leave no connection open.
    pub async fn prepared<F: Future<Output = ()>>(prepare: impl FnOnce(String) -> F) -> Self {
        static TEMPLATE: OnceCell<String> = OnceCell::const_new();
        let template = TEMPLATE
            .get_or_init(|| async {
                let name = new_name();
                execute(format!("create database {name}")).await;
                prepare(url_of(&name)).await;
                name
            })
            .await;
        let name = new_name();
        execute(format!("create database {name} template {template}")).await;
        Self { url: url_of(&name) }
    }

    /// An empty one.
    pub async fn empty() -> Self {
        let name = new_name();
        execute(format!("create database {name}")).await;
        Self { url: url_of(&name) }
    }

    /// Takes away what its log recorded after a position, and everybody's connections, as a failover does to a server that
    /// had not received it.
    pub async fn lose_end(&self, head: i64) {
        let mut owner = PgConnection::connect(&self.url)
            .await
            .expect("the server of TEST_POSTGRES_URL answers");
        let lose = format!(
            "begin;
             delete from log.events where position > {head};
             delete from log.tags where position > {head};
             delete from log.commands where position > {head};
             delete from log.batches where last_position > {head};
             delete from log.streams;
             insert into log.streams (tenant, stream, version, last_position)
             select tenant, stream, max(version), max(position) from log.events group by tenant, stream;
             commit"
        );
        sqlx::raw_sql(AssertSqlSafe(lose))
            .execute(&mut owner)
            .await
            .expect("the tests' user owns the log");
        let sessions: Vec<i32> = sqlx::query_scalar(
            "select pid
             from pg_stat_activity
             where datname = current_database()
               and backend_type = 'client backend'
               and pid <> pg_backend_pid()",
        )
        .fetch_all(&mut owner)
        .await
        .expect("the tests' user sees sessions");
        // Some end by themselves meanwhile.
        sqlx::query("select pg_terminate_backend(pid, 10000) from unnest($1::integer[]) as pid")
            .bind(&sessions)
            .execute(&mut owner)
            .await
            .expect("the tests' user may end sessions");
        let staying: i64 = sqlx::query_scalar(
            "select count(*)
             from pg_stat_activity
             where datname = current_database()
               and pid = any($1)",
        )
        .bind(&sessions)
        .fetch_one(&mut owner)
        .await
        .expect("the tests' user sees sessions");
        assert_eq!(staying, 0, "sessions stay");
    }
}

fn new_name() -> String {
    format!("foldline_test_{}", Uuid::now_v7().simple())
}

fn server() -> &'static str {
    static URL: OnceLock<String> = OnceLock::new();
    URL.get_or_init(|| {
        std::env::var("TEST_POSTGRES_URL")
            .expect("TEST_POSTGRES_URL is not set; run the suite with `make test`, which starts the servers")
    })
}

fn url_of(database: &str) -> String {
    let (server, _admin_database) = server()
        .rsplit_once('/')
        .expect("TEST_POSTGRES_URL ends in the name of a database");
    format!("{server}/{database}")
}

async fn execute(statement: String) {
    let mut connection = PgConnection::connect(server())
        .await
        .expect("the server of TEST_POSTGRES_URL answers");
    sqlx::raw_sql(AssertSqlSafe(statement))
        .execute(&mut connection)
        .await
        .expect("the user of TEST_POSTGRES_URL may create databases");
    connection.close().await.expect("a fresh connection closes");
}
