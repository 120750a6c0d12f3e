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
