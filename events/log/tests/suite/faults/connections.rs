//! No connection to be had: others hold all that the server gives.

use std::time::Duration;

use foldline_log::{Error, Log, Service, Verdict};
use foldline_schema::testing::TestDatabase;
use futures_util::future::join_all;
use sqlx::PgConnection;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Load, is_soak, load::ANSWER_BOUND, server::execute, settle};
use crate::store::{appended, database_with_large_segments, one, open, owner};

const LOGS: usize = 3;
const APPENDERS: usize = 12;
/// How many appends wait behind each other.
const WAITING: usize = 20;
/// How many appends must be given up for want of a connection.
const GIVEN_UP_MIN: usize = 4;
/// Above what a connection of the pool is waited for.
const READ_BOUND: Duration = Duration::from_secs(20);

/// A login that only has the rights of the command service, and so many connections.
struct Login {
    name: String,
    owner: PgConnection,
    as_login: TestDatabase,
}

impl Login {
    async fn new(database: &TestDatabase) -> Self {
        let name = format!("login_{}", Uuid::now_v7().simple());
        let mut owner = owner(database).await;
        let create = format!("create role {name} login password 'secret' in role foldline_command");
        execute(&mut owner, &create).await;
        let (_, server) = database.url.rsplit_once('@').unwrap();
        let url = format!("postgres://{name}:secret@{server}");
        Self {
            name,
            owner,
            as_login: TestDatabase { url },
        }
    }

    /// -1 is any number. Those that there are too many are ended.
    async fn limit(&mut self, connections: i32) {
        let name = &self.name;
        let limit = format!(
            "alter role {name} connection limit {connections};
             select pg_terminate_backend(pid) from pg_stat_activity where usename = '{name}' and {connections} >= 0"
        );
        execute(&mut self.owner, &limit).await;
    }

    async fn remove(mut self) {
        self.limit(0).await;
        let drop = format!("drop role {}", self.name);
        execute(&mut self.owner, &drop).await;
    }
}

async fn read(log: &Log) -> Result<usize, Error> {
    let reading = tokio::time::timeout(READ_BOUND, log.read(0, 10)).await;
    reading
        .expect("a read is answered within the bound")
        .map(|events| events.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_no_connection_to_be_had_appends_and_reads_say_so_and_go_on_with_the_first() {
    let database = database_with_large_segments().await;
    let mut login = Login::new(&database).await;
    let log = open(&login.as_login, Service::Command).await;
    appended(log.append(one("task-1")).await.unwrap());
    login.limit(0).await;
    // Of one stream, so that no two of them share a batch.
    let appends = join_all((0..WAITING).map(|_| log.append(one("task-1"))));
    let (appends, found) = tokio::join!(tokio::time::timeout(ANSWER_BOUND, appends), read(&log));
    for append in appends.expect("appends are answered within the bound") {
        assert!(
            matches!(append, Err(Error::Unavailable { .. })),
            "{append:?}"
        );
    }
    assert!(matches!(found, Err(Error::Read(_))), "{found:?}");
    login.limit(-1).await;
    appended(log.append(one("task-1")).await.unwrap());
    assert_eq!(read(&log).await.unwrap(), 2);
    drop(log);
    login.remove().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_many_want_two_connections_everything_is_answered_and_nothing_lost() {
    let database = database_with_large_segments().await;
    let mut login = Login::new(&database).await;
    let mut logs = Vec::new();
    for _ in 0..LOGS {
        logs.push(open(&login.as_login, Service::Command).await);
    }
    let load = Load::start(&logs, APPENDERS);
    load.goes_on(50).await;
    let (mut answered, mut failed) = (0, 0);
    for round in 1..=if is_soak() { 5 } else { 1 } {
        login.limit(2).await;
        let due = load.failed() + GIVEN_UP_MIN;
        let began = Instant::now();
        while load.failed() < due && began.elapsed() < ANSWER_BOUND {
            match read(&logs[answered % LOGS]).await {
                Ok(_) => answered += 1,
                Err(Error::Read(_)) => failed += 1,
                Err(error) => panic!("{error}"),
            }
        }
        login.limit(-1).await;
        load.goes_on(50).await;
        eprintln!("round {round}: {answered} reads answered, {failed} not");
    }
    let (complaints, _) = settle(&database, load).await;
    assert_eq!(complaints, [""; 0]);
    drop(logs);
    login.remove().await;
}

/// What a server says that was failed over from, and one whose keeper found its disk full.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_reads_for_a_while_refuses_nothing_for_good() {
    let database = database_with_large_segments().await;
    let log = open(&database, Service::Command).await;
    appended(log.append(one("task-1")).await.unwrap());
    let mut owner = owner(&database).await;
    let read_only = async |owner: &mut PgConnection, setting: &str| {
        let set = format!(
            "do $$ begin execute format('alter database %I {setting}', current_database()); end $$;
             select pg_terminate_backend(pid) from pg_stat_activity
             where datname = current_database() and pid <> pg_backend_pid()"
        );
        execute(owner, &set).await;
    };
    read_only(&mut owner, "set default_transaction_read_only = on").await;
    let waiting = tokio::spawn(async move { log.append(one("task-1")).await });
    // Time enough to be turned down.
    tokio::time::sleep(Duration::from_millis(300)).await;
    execute(&mut owner, "set default_transaction_read_only = off").await;
    read_only(&mut owner, "reset default_transaction_read_only").await;
    let answer = waiting.await.unwrap();
    assert!(
        matches!(answer, Ok(Verdict::Appended(_) | Verdict::Known(_))),
        "{answer:?}"
    );
}
