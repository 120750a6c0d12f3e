use foldline_schema::testing::TestDatabase;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use uuid::Uuid;

use crate::service::{Service, database, project};

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
