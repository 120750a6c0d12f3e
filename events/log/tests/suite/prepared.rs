//! A database that another build prepared: an older one is refused with what it lacks, a newer one serves as long as it can.

use std::str::FromStr;

use foldline_log::{Error, Log, LogOptions, Service};
use foldline_schema::testing::TestDatabase;
use sqlx::{AssertSqlSafe, postgres::PgConnectOptions};

use crate::store::{appended, at, database, one, open, owner, tenant};

const SERVICES: [Service; 3] = [Service::Command, Service::Relay, Service::Projector];

async fn opened(database: &TestDatabase, service: Service) -> Result<Log, Error> {
    let options = LogOptions {
        url: PgConnectOptions::from_str(&database.url).unwrap(),
        direct: None,
        service,
        connections_max: 4,
    };
    Log::open(options).await
}

async fn execute(database: &TestDatabase, statements: &str) {
    sqlx::raw_sql(AssertSqlSafe(statements.to_owned()))
        .execute(&mut owner(database).await)
        .await
        .unwrap();
}

/// What is said to be missing.
fn lacks<T: std::fmt::Debug>(answer: Result<T, Error>) -> String {
    match answer {
        Err(Error::NotMigrated { lacks }) => lacks,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_database_that_an_earlier_build_migrated_is_refused_with_what_it_lacks() {
    let empty = TestDatabase::empty().await;
    let of_the_first_build = TestDatabase::empty().await;
    let first = include_str!("../../../../schema/log/0001_log.sql");
    execute(&of_the_first_build, first).await;
    let cell = "insert into log.cell (name, segment_positions) values ('test', 50)";
    execute(&of_the_first_build, cell).await;
    let without_a_function = database().await;
    execute(&without_a_function, "drop function log.read_stream").await;
    let with_another_form = database().await;
    execute(
        &with_another_form,
        "drop function log.tagged;
         create function log.tagged(text, text[], text[], bigint, bigint) returns void language sql as ''",
    )
    .await;
    for service in SERVICES {
        let said = lacks(opened(&empty, service).await);
        assert!(said.contains("log.cell"), "{said}");
        let said = lacks(opened(&of_the_first_build, service).await);
        for absent in ["table log.batches", "table log.snapshots", "log.append("] {
            assert!(said.contains(absent), "{said}");
        }
        assert!(!said.contains("table log.events"), "{said}");
        let said = lacks(opened(&without_a_function, service).await);
        let form = "function log.read_stream(text, text, bigint, bigint, bigint, bigint)";
        assert_eq!(said, form);
        let said = lacks(opened(&with_another_form, service).await);
        let form = "function log.tagged(text, text[], text[], bigint, bigint, integer)";
        assert_eq!(said, form);
    }
}

#[tokio::test]
async fn a_database_that_a_later_build_migrated_serves_this_one_while_its_functions_can_be_called_so()
 {
    let database = database().await;
    let with = |added: &str| {
        format!(
            "drop function log.position_at;
             create function log.position_at(instant timestamptz, {added}) returns bigint language sql as 'select 7::bigint';
             grant execute on function log.position_at to public"
        )
    };
    execute(
        &database,
        "create table log.later (); alter table log.cell add column later text",
    )
    .await;
    execute(&database, &with("later text default 'x'")).await;
    for service in SERVICES {
        let log = opened(&database, service).await.unwrap();
        assert_eq!(log.position_at(at()).await.unwrap(), 7);
    }
    execute(&database, &with("later text")).await;
    let said = lacks(opened(&database, Service::Relay).await);
    assert_eq!(said, "function log.position_at(timestamp with time zone)");
}

#[tokio::test]
async fn a_migration_by_an_earlier_build_than_the_last_one_changes_nothing() {
    let database = database().await;
    execute(
        &database,
        "insert into _foldline_log_migrations (version, description, success, checksum, execution_time)
         values (9999, 'later', true, '', 0)",
    )
    .await;
    let mut owner = owner(&database).await;
    let refused = foldline_schema::migrate_log(&mut owner, "test", 50).await;
    assert!(
        matches!(refused, Err(foldline_schema::Error::Migrate { .. })),
        "{refused:?}"
    );
}

/// As after a restore of an older database under running processes.
#[tokio::test]
async fn a_function_that_is_gone_under_a_running_process_is_not_the_fault_of_who_asks() {
    let database = database().await;
    let log = open(&database, Service::Command).await;
    appended(log.append(one("task-1")).await.unwrap());
    execute(
        &database,
        "alter function log.append rename to append_gone;
         alter function log.append_one rename to append_one_gone;
         drop function log.read_stream;
         drop function log.position_at",
    )
    .await;
    for lacked in [
        lacks(log.append(one("task-1")).await),
        lacks(log.read_stream(&tenant(), "task-1", 0, 10).await),
        lacks(log.position_at(at()).await),
    ] {
        assert!(lacked.contains("does not exist"), "{lacked}");
    }
    execute(&database, "alter table log.events rename to events_gone").await;
    let said = lacks(log.read(0, 10).await);
    assert!(said.contains("log.events"), "{said}");

    // And once it is migrated, it goes on.
    execute(&database, "alter table log.events_gone rename to events").await;
    foldline_log::install(&mut owner(&database).await)
        .await
        .unwrap();
    appended(log.append(one("task-1")).await.unwrap());
}
