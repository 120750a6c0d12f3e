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
