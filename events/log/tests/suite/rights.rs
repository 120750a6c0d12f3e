//! What the database itself refuses, whatever our code does.

use sqlx::{Connection, PgConnection};

use crate::store::{appended, database, one, open, owner};

async fn as_role(
    connection: &mut PgConnection,
    role: &str,
    statement: &str,
) -> Result<u64, String> {
    let mut transaction = connection.begin().await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(format!("set local role {role}")))
        .execute(&mut *transaction)
        .await
        .unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
        .execute(&mut *transaction)
        .await
        .map(|done| done.rows_affected())
        .map_err(|error| error.to_string())
}

#[tokio::test]
async fn no_service_can_change_or_remove_what_was_recorded() {
    let database = database().await;
    let log = open(&database, foldline_log::Service::Command).await;
    appended(log.append(one("task-1")).await.unwrap());
    let mut owner = owner(&database).await;
    for role in [
        "foldline_command",
        "foldline_relay",
        "foldline_projector",
        "foldline_query",
    ] {
        for table in ["events", "events_0", "tags", "streams", "commands"] {
            for statement in [
                format!("update log.{table} set tenant = 'other'"),
                format!("delete from log.{table}"),
                format!("truncate log.{table}"),
                format!("insert into log.{table} default values"),
            ] {
                let refused = as_role(&mut owner, role, &statement).await.unwrap_err();
                assert!(
                    refused.contains("permission denied"),
                    "{role}: {statement}: {refused}"
                );
            }
        }
    }
}

#[tokio::test]
async fn only_the_command_service_may_append() {
    let database = database().await;
    let mut owner = owner(&database).await;
    for role in ["foldline_relay", "foldline_projector", "foldline_query"] {
        let call = "select log.append('{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}')";
        let refused = as_role(&mut owner, role, call).await.unwrap_err();
        assert!(refused.contains("permission denied"), "{role}: {refused}");
    }
}

#[tokio::test]
async fn no_service_may_say_when_something_was_recorded() {
    let database = database().await;
    let mut owner = owner(&database).await;
    for role in [
        "foldline_command",
        "foldline_relay",
        "foldline_projector",
        "foldline_query",
    ] {
        let call = "select log.append_offline(0,'{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}')";
        let refused = as_role(&mut owner, role, call).await.unwrap_err();
        assert!(refused.contains("permission denied"), "{role}: {refused}");
    }
}

#[tokio::test]
async fn appending_in_a_stricter_isolation_is_refused() {
    let database = database().await;
    let mut owner = owner(&database).await;
    let call = "begin isolation level repeatable read;
        select log.append('{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}','{}')";
    let refused = sqlx::raw_sql(call)
        .execute(&mut owner)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("needs read committed"), "{refused}");
}

#[tokio::test]
async fn the_query_service_sees_no_event_of_the_log() {
    let database = database().await;
    let mut owner = owner(&database).await;
    for statement in [
        "select * from log.events",
        "select * from log.tagged('acme', '{a}', '{}', 0, 10, 10)",
    ] {
        let refused = as_role(&mut owner, "foldline_query", statement)
            .await
            .unwrap_err();
        assert!(refused.contains("permission denied"), "{refused}");
    }
}
