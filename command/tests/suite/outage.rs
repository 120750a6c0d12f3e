use std::time::Duration;

use foldline_schema::testing::TestDatabase;
use futures_util::future::join_all;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::service::{Service, database, done, project, recorded};

/// As many as may wait of all tenants together.
const FLOOD: usize = 4_096;
/// How long a command waits at most that is turned away, and how often it is looked whether the queue is full by now.
const TURNED_AWAY_MS_MAX: u64 = 300;
const LOOKS_MAX: usize = 8;

/// Nobody gets in any more, and whoever was in is out.
async fn shut(url: &str) {
    let (server, name) = url.rsplit_once('/').unwrap();
    let mut admin = PgConnection::connect(&format!("{server}/postgres"))
        .await
        .unwrap();
    for statement in [
        format!("alter database {name} with allow_connections false"),
        format!("select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"),
    ] {
        sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut admin)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn without_its_log_the_service_says_when_to_come_back() {
    let database = database().await;
    let service = Service::over(&database).await;
    let project = project(&service.handler).await;
    shut(&database.url).await;
    says_when_to_come_back(&service, project).await;
}

async fn says_when_to_come_back(service: &Service, project: impl std::fmt::Display) {
    let id = Uuid::now_v7();
    let item = format!(
        r#"[{{"id":"{id}","type":"tasks.rename_project","aggregate":"{project}","data":{{"name":"Mars"}}}}]"#
    );
    let rename = format!("/api/v1/projects/{project}/rename");
    let (one, many) = tokio::join!(
        service.post(&rename, r#"{"name":"Mars"}"#),
        service.post("/api/v1/commands", &item)
    );
    for answer in [one, many] {
        let problem = answer.problem();
        assert_eq!(
            (problem.status, problem.code.as_str()),
            (503, "UNAVAILABLE")
        );
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
}

#[tokio::test]
async fn with_no_connection_to_its_log_to_be_had_the_service_says_when_to_come_back_and_goes_on() {
    let database = database().await;
    let mut owner = PgConnection::connect(&database.url).await.unwrap();
    let mut execute = async |statement: String| {
        let executed = sqlx::raw_sql(AssertSqlSafe(statement))
            .execute(&mut owner)
            .await;
        executed.unwrap();
    };
    let login = format!("login_{}", Uuid::now_v7().simple());
    execute(format!(
        "create role {login} login password 'secret' in role foldline_command"
    ))
    .await;
    let (_, server) = database.url.rsplit_once('@').unwrap();
    let url = format!("postgres://{login}:secret@{server}");
    let service = Service::over(&TestDatabase { url }).await;
    let project = project(&service.handler).await;
    execute(format!(
        "alter role {login} connection limit 0;
         select pg_terminate_backend(pid) from pg_stat_activity where usename = '{login}'"
    ))
    .await;
    says_when_to_come_back(&service, project).await;
    execute(format!("alter role {login} connection limit -1")).await;
    let rename = format!("/api/v1/projects/{project}/rename");
    let answer = service.post(&rename, r#"{"name":"Venus"}"#).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_turns_a_command_away_and_says_when_to_come_back() {
    let database = database().await;
    let service = Service::over(&database).await;
    // The lock of the log: nothing is appended meanwhile.
    let mut holder = PgConnection::connect(&database.url).await.unwrap();
    sqlx::raw_sql("select pg_advisory_lock(1718578276)")
        .execute(&mut holder)
        .await
        .unwrap();
    let handler = service.handler.clone();
    let flood = tokio::spawn(async move {
        let create = async || {
            let id = Uuid::now_v7();
            done(&handler, id, "tasks.create_project", r#"{"name":"Moon"}"#).await
        };
        join_all((0..FLOOD).map(|_| create())).await
    });
    let path = "/api/v1/projects";
    let mut looks = 0;
    let (id, turned_away) = loop {
        let id = Uuid::now_v7();
        let body = format!(r#"{{"id":"{id}","name":"Mars"}}"#);
        let wait = Duration::from_millis(TURNED_AWAY_MS_MAX);
        if let Ok(answer) = tokio::time::timeout(wait, service.post(path, &body)).await {
            break (id, answer);
        }
        looks += 1;
        assert!(looks < LOOKS_MAX, "the queue never gets full");
    };
    let problem = turned_away.problem();
    assert_eq!(
        (problem.status, problem.code.as_str()),
        (503, "UNAVAILABLE")
    );
    let detail = problem.detail.unwrap();
    assert!(
        detail.contains("too many commands of this tenant are waiting"),
        "{detail}"
    );
    assert_eq!(turned_away.header("retry-after"), Some("1"));

    drop(holder);
    let flood = flood.await.unwrap();
    let body = format!(r#"{{"id":"{id}","name":"Mars"}}"#);
    assert_eq!(service.post(path, &body).await.status, 201);
    let events = recorded(&service.log).await;
    let streams = |id: &str| {
        events
            .iter()
            .filter(|event| event.stream.contains(id))
            .count()
    };
    assert_eq!(streams(&id.to_string()), 1);
    let mut accepted = 0;
    for accepted_one in flood.into_iter().flatten() {
        assert_eq!(streams(&accepted_one.stream), 1);
        accepted += 1;
    }
    assert!(accepted > 0);
}
