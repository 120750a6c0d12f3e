//! Somebody who may connect to the database takes the lock of the log, and keeps it.

use std::{
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

use foldline_log::{Error, SEGMENTS_AHEAD_MAX, Service};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::time::Instant;
use tracing_subscriber::fmt::MakeWriter;
use uuid::Uuid;

use crate::store::{appended, database, one, open, owner};

/// Two tries of two seconds, a pause, and what a loaded machine adds; far below what a statement may take.
const ANSWER_BOUND: Duration = Duration::from_secs(8);

/// What was logged in this thread, as text.
#[derive(Clone, Default)]
struct Logged(Arc<Mutex<Vec<u8>>>);

impl Logged {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Logged {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Logged {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A login that nobody gave any right.
async fn stranger(owner: &mut PgConnection, url: &str) -> (String, PgConnection) {
    let name = format!("stranger_{}", Uuid::new_v4().simple());
    let create = format!("create role {name} login password 'stranger'");
    sqlx::raw_sql(AssertSqlSafe(create))
        .execute(owner)
        .await
        .unwrap();
    let (_, rest) = url
        .rsplit_once('@')
        .unwrap_or(url.split_once("//").unwrap());
    let url = format!("postgres://{name}:stranger@{rest}");
    (name, PgConnection::connect(&url).await.unwrap())
}

#[tokio::test]
async fn while_a_stranger_holds_the_log_s_lock_appends_are_answered_within_their_bound_and_the_log_names_the_stranger()
 {
    let logged = Logged::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(logged.clone())
        .with_ansi(false)
        .finish();
    let _logging = tracing::subscriber::set_default(subscriber);
    let database = database().await;
    let mut owner = owner(&database).await;
    let log = open(&database, Service::Command).await;
    appended(log.append(one("task-1")).await.unwrap());

    let (name, mut stranger) = stranger(&mut owner, &database.url).await;
    let pid: i32 = sqlx::query_scalar("select pg_backend_pid() from pg_advisory_lock(1718578276)")
        .fetch_one(&mut stranger)
        .await
        .unwrap();
    let began = Instant::now();
    let waiting = (0..3).map(|n| log.append(one(&format!("task-{n}"))));
    for answer in futures_util::future::join_all(waiting).await {
        assert!(
            matches!(
                answer,
                Err(Error::Unavailable {
                    is_unknown: false,
                    ..
                })
            ),
            "{answer:?}"
        );
    }
    let waited = began.elapsed();
    assert!(waited < ANSWER_BOUND, "{waited:?}");
    let text = logged.text();
    let line = text
        .lines()
        .find(|line| line.contains("holds the log's lock"));
    let line = line.unwrap_or_else(|| panic!("{text}"));
    for named in [format!("pid={pid}"), format!("login=\"{name}\"")] {
        assert!(line.contains(&named), "{line}");
    }

    stranger.close().await.unwrap();
    appended(log.append(one("task-1")).await.unwrap());
    assert_eq!(log.head().await.unwrap().position, 2);
    let drop = format!("drop role {name}");
    sqlx::raw_sql(AssertSqlSafe(drop))
        .execute(&mut owner)
        .await
        .unwrap();
}

#[tokio::test]
async fn no_service_makes_more_segments_than_a_bound() {
    let database = database().await;
    let mut owner = owner(&database).await;
    let segments = "select count(*) from pg_inherits where inhparent = 'log.events'::regclass";
    sqlx::raw_sql("set role foldline_relay")
        .execute(&mut owner)
        .await
        .unwrap();
    for ahead in [Some(SEGMENTS_AHEAD_MAX + 1), Some(i32::MAX), Some(-1), None] {
        let made = sqlx::query("select log.ensure_segments($1)")
            .bind(ahead)
            .execute(&mut owner)
            .await;
        let refused = made.unwrap_err().to_string();
        assert!(refused.contains("0 to 100 ahead"), "{refused}");
    }
    for _ in 0..2 {
        sqlx::query("select log.ensure_segments($1)")
            .bind(SEGMENTS_AHEAD_MAX)
            .execute(&mut owner)
            .await
            .unwrap();
    }
    for role in ["foldline_command", "foldline_projector", "foldline_query"] {
        let as_role = AssertSqlSafe(format!("set role {role}"));
        sqlx::raw_sql(as_role).execute(&mut owner).await.unwrap();
        let made = sqlx::raw_sql("select log.ensure_segments(1)");
        let refused = made.execute(&mut owner).await.unwrap_err().to_string();
        assert!(refused.contains("permission denied"), "{role}: {refused}");
    }
    sqlx::raw_sql("reset role")
        .execute(&mut owner)
        .await
        .unwrap();
    let made: i64 = sqlx::query_scalar(segments)
        .fetch_one(&mut owner)
        .await
        .unwrap();
    assert_eq!(made, i64::from(SEGMENTS_AHEAD_MAX) + 1);
}
