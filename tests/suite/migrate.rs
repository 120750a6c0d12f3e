//! `foldline migrate` where somebody is in its way.

use std::process::Command;

use foldline_schema::testing::TestDatabase;
use sqlx::{Connection, PgConnection};

use crate::processes::{PATIENCE, finished, foldline};

fn migrate(database: &TestDatabase) -> Command {
    let mut command = foldline();
    command.arg("migrate").env("DATABASE_URL", &database.url);
    command
}

/// The first waits for a table, and the second for the first.
#[tokio::test]
async fn migrations_that_wait_for_somebody_s_lock_give_up_and_say_so() {
    let database = TestDatabase::empty().await;
    assert!(finished(migrate(&database)).await.0.success());
    let mut holder = PgConnection::connect(&database.url).await.unwrap();
    let mut holding = holder.begin().await.unwrap();
    sqlx::raw_sql("lock table _foldline_log_migrations")
        .execute(&mut *holding)
        .await
        .unwrap();
    let blocked = async || {
        let output = tokio::task::spawn_blocking({
            let mut command = migrate(&database);
            move || command.output()
        });
        let ended = tokio::time::timeout(PATIENCE, output).await;
        let output = ended.expect("it gives up").unwrap().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(!output.status.success(), "{said}");
        assert!(said.contains("somebody holds a lock"), "{said}");
    };
    tokio::join!(blocked(), blocked());
    holding.rollback().await.unwrap();
    assert!(finished(migrate(&database)).await.0.success());
}
