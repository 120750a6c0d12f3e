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

/// Statements that call a function of the log with nothing but nulls; rights and isolation are looked at before those.
async fn calls(owner: &mut PgConnection, functions: &[&str]) -> Vec<String> {
    let calls: Vec<String> = sqlx::query_scalar(
        "select format('select log.%I(%s)', p.proname, string_agg('null::' || format_type(a.type, null), ', '))
         from pg_proc p
         cross join unnest(p.proargtypes) as a (type)
         where p.pronamespace = 'log'::regnamespace
           and p.proname = any ($1)
         group by p.oid, p.proname",
    )
    .bind(functions)
    .fetch_all(owner)
    .await
    .unwrap();
    assert_eq!(calls.len(), functions.len());
    calls
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
        "foldline_worker",
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
async fn of_all_tables_of_the_log_a_service_may_write_only_the_relay_s_mark_and_the_snapshots() {
    let database = database().await;
    let log = open(&database, foldline_log::Service::Command).await;
    // So many that segments were made by an append, too.
    for n in 0..60 {
        appended(log.append(one(&format!("task-{n}"))).await.unwrap());
    }
    let may: Vec<(String, String, String)> = sqlx::query_as(
        "select r.rolname::text, c.relname::text, p.privilege
         from pg_class c
         join pg_namespace n on n.oid = c.relnamespace
         cross join pg_roles r
         cross join unnest(array['INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER'])
             as p (privilege)
         where n.nspname = 'log'
           and c.relkind in ('r', 'p', 'v', 'm', 'f')
           and r.rolname in ('foldline_command', 'foldline_relay', 'foldline_projector', 'foldline_query', 'foldline_worker')
           and (has_table_privilege(r.oid, c.oid, p.privilege)
                or p.privilege in ('INSERT', 'UPDATE', 'REFERENCES')
                    and has_any_column_privilege(r.oid, c.oid, p.privilege))
         order by 1, 2, 3",
    )
    .fetch_all(&mut owner(&database).await)
    .await
    .unwrap();
    let expected = [
        ("foldline_command", "snapshots", "DELETE"),
        ("foldline_command", "snapshots", "INSERT"),
        ("foldline_command", "snapshots", "UPDATE"),
        ("foldline_relay", "relay", "INSERT"),
        ("foldline_relay", "relay", "UPDATE"),
        ("foldline_worker", "snapshots", "DELETE"),
    ];
    let expected = expected.map(|(role, table, privilege)| {
        let [role, table, privilege] = [role, table, privilege].map(str::to_owned);
        (role, table, privilege)
    });
    assert_eq!(may, expected);
}

/// Snapshots are a cache of one service. Another that reads the log may neither see a tenant's states there nor change
/// what commands are decided on.
#[tokio::test]
async fn only_the_command_service_reads_and_writes_snapshots() {
    let database = database().await;
    let mut owner = owner(&database).await;
    for role in ["foldline_relay", "foldline_projector", "foldline_query"] {
        for statement in [
            "select * from log.snapshots",
            "insert into log.snapshots default values",
            "update log.snapshots set version = 1",
            "delete from log.snapshots",
        ] {
            let refused = as_role(&mut owner, role, statement).await.unwrap_err();
            assert!(
                refused.contains("permission denied"),
                "{role}: {statement}: {refused}"
            );
        }
    }
    let is_bound: bool = sqlx::query_scalar(
        "select relrowsecurity from pg_class where oid = 'log.snapshots'::regclass",
    )
    .fetch_one(&mut owner)
    .await
    .unwrap();
    assert!(is_bound);
}

#[tokio::test]
async fn only_the_command_service_may_append() {
    let database = database().await;
    let mut owner = owner(&database).await;
    for call in calls(&mut owner, &["append", "append_one"]).await {
        for role in ["foldline_relay", "foldline_projector", "foldline_query"] {
            let refused = as_role(&mut owner, role, &call).await.unwrap_err();
            assert!(
                refused.contains("permission denied"),
                "{role}: {call}: {refused}"
            );
        }
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
        "foldline_worker",
    ] {
        for call in calls(&mut owner, &["append_offline", "refusals"]).await {
            let refused = as_role(&mut owner, role, &call).await.unwrap_err();
            assert!(
                refused.contains("permission denied"),
                "{role}: {call}: {refused}"
            );
        }
    }
}

/// A call of a function of the log by names, each argument null but those given.
async fn call_with(owner: &mut PgConnection, function: &str, given: &[(&str, &str)]) -> String {
    let arguments: Vec<(String, String)> = sqlx::query_as(
        "select a.name, format_type(a.type, null)
         from pg_proc p
         cross join unnest(p.proargnames[:p.pronargs], p.proargtypes::oid[]) as a (name, type)
         where p.pronamespace = 'log'::regnamespace
           and p.proname = $1",
    )
    .bind(function)
    .fetch_all(owner)
    .await
    .unwrap();
    assert!(arguments.len() > given.len());
    let value = |name: &str| {
        let given = given.iter().find(|(given, _)| *given == name);
        given.map_or("null".to_owned(), |(_, value)| format!("'{value}'"))
    };
    let arguments: Vec<String> = arguments
        .iter()
        .map(|(name, of_type)| format!("{name} => {}::{of_type}", value(name)))
        .collect();
    format!("select log.{function}({})", arguments.join(", "))
}

#[tokio::test]
async fn no_count_or_number_of_a_caller_reaches_what_was_appended_before() {
    let database = database().await;
    let mut owner = owner(&database).await;
    let one_event = ("event_ids", "{00000000-0000-0000-0000-000000000000}");
    for wrong in [
        ("event_numbers", "{0}"),
        ("event_numbers", "{1,-1}"),
        ("event_partitions", "{-1}"),
        ("event_partitions", "{32}"),
        ("write_event_counts", "{-1}"),
        ("write_last_offsets", "{-3}"),
        ("write_last_offsets", "{2}"),
        ("append_last_offsets", "{0}"),
        ("append_last_offsets", "{2}"),
        ("tag_offsets", "{0}"),
        ("tag_offsets", "{1,2}"),
    ] {
        let call = call_with(&mut owner, "append", &[one_event, wrong]).await;
        let refused = as_role(&mut owner, "foldline_command", &call).await;
        let refused = refused.unwrap_err();
        assert!(refused.contains("out of its range"), "{wrong:?}: {refused}");
    }
    for partition in ["-1", "32"] {
        let call = call_with(&mut owner, "append_one", &[("this_partition", partition)]).await;
        let refused = as_role(&mut owner, "foldline_command", &call).await;
        let refused = refused.unwrap_err();
        assert!(refused.contains("there is no partition"), "{refused}");
    }
}

#[tokio::test]
async fn only_the_worker_may_have_command_ids_forgotten() {
    let database = database().await;
    let mut owner = owner(&database).await;
    let [call] = &calls(&mut owner, &["forget_commands"]).await[..] else {
        panic!("one function");
    };
    for role in [
        "foldline_command",
        "foldline_relay",
        "foldline_projector",
        "foldline_query",
    ] {
        let refused = as_role(&mut owner, role, call).await.unwrap_err();
        assert!(refused.contains("permission denied"), "{role}: {refused}");
    }
    let answer = as_role(&mut owner, "foldline_worker", call).await;
    let is_let_in = |refused: &String| !refused.contains("permission denied");
    assert!(answer.as_ref().err().is_none_or(is_let_in), "{answer:?}");
}

#[tokio::test]
async fn appending_in_a_stricter_isolation_is_refused() {
    let database = database().await;
    let mut owner = owner(&database).await;
    for call in calls(&mut owner, &["append", "append_one", "append_offline"]).await {
        let mut transaction = owner
            .begin_with("begin isolation level repeatable read")
            .await
            .unwrap();
        let refused = sqlx::raw_sql(sqlx::AssertSqlSafe(call))
            .execute(&mut *transaction)
            .await
            .unwrap_err()
            .to_string();
        assert!(refused.contains("needs read committed"), "{refused}");
    }
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
