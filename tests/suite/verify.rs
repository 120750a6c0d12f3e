//! `foldline verify`: it passes over real rows, it complains of every kind of wrong row, and its digests are the same
//! wherever the same events were folded.

use std::{
    fs::File,
    io::{BufRead, BufReader, Write},
    path::{Path, PathBuf},
};

use flate2::read::GzDecoder;
use foldline_events::tasks::label_mark;
use foldline_schema::testing::TestDatabase;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{
    client::Client,
    processes::{Stack, TENANT, Up, finished, foldline},
    stored,
};

const HISTORY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/history.ndjson.gz");
/// How many of its commands are taken.
const SLICE: usize = 1_500;
/// How many tasks are made besides, of kinds that it lacks.
const TASKS: u128 = 36;

/// A part of the history, and tasks that are due, blocked, deleted, moved, reassigned and commented.
pub fn commands(folder: &Path) -> PathBuf {
    let path = folder.join("commands.ndjson");
    let mut file = File::create(&path).unwrap();
    let history = BufReader::new(GzDecoder::new(File::open(HISTORY).unwrap()));
    for line in history.lines().take(SLICE) {
        writeln!(file, "{}", line.unwrap()).unwrap();
    }
    let [one, other] = [Uuid::from_u128(1), Uuid::from_u128(2)];
    let people = [Uuid::from_u128(11), Uuid::from_u128(12)];
    let mut number = 0;
    let mut write = |kind: &str, aggregate: Uuid, data: Value| {
        number += 1;
        let id = Uuid::from_u128(0xc0_0000 + number);
        let command = json!({"id": id, "type": format!("tasks.{kind}"), "aggregate": aggregate, "data": data,
            "at": "2026-03-01T23:30:00-02:00"});
        writeln!(file, "{command}").unwrap();
    };
    for project in [one, other] {
        write("create_project", project, json!({"name": "A project"}));
    }
    for n in 0..TASKS {
        let task = Uuid::from_u128(0x7a_0000 + n);
        let data = json!({"projectId": one, "title": format!("Task {n} „Ü“"), "priority": "critical",
            "estimatedHours": 3, "dueDate": "2026-04-01", "metadata": {"area": "ui", "points": n, "ratio": 0.1}});
        write("create_task", task, data);
        write("assign_task", task, json!({"assigneeId": people[0]}));
        for comment in 0..n % 3 {
            let data = json!({"commentId": Uuid::from_u128(0xee_0000 + 10 * n + comment), "text": "Said\n\"so\""});
            write("add_comment", task, data);
        }
        match n % 6 {
            0 => write("block_task", task, json!({"reason": "Waiting"})),
            1 => write("delete_task", task, json!({})),
            2 => write("move_task", task, json!({"projectId": other})),
            3 => write("assign_task", task, json!({"assigneeId": people[1]})),
            4 => write("complete_task", task, json!({"actualHours": 2})),
            _ => write("cancel_task", task, json!({"reason": "Not needed"})),
        }
    }
    path
}

/// Imports all of the file; nothing is rejected.
pub async fn import(file: &Path, client: &Client) {
    let mut command = foldline();
    command.arg("import").arg(file).args([
        "--server",
        &client.api,
        "--token",
        &client.token,
        "--json",
    ]);
    let (status, said) = finished(command).await;
    assert_eq!(status.code(), Some(0), "{said}");
}

/// What `foldline verify --json` says of a view database, and its exit code.
pub async fn verify(view_url: &str, arguments: &[&str]) -> (i32, Value) {
    let mut command = foldline();
    command
        .args(["verify", "--json"])
        .args(arguments)
        .env("VIEW_URL", view_url);
    let (status, said) = finished(command).await;
    (status.code().unwrap(), serde_json::from_str(&said).unwrap())
}

/// The names of the checks that found a difference.
fn red(report: &Value) -> Vec<&str> {
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .filter(|check| check["differing"] != json!(0))
        .map(|check| check["check"].as_str().unwrap())
        .collect()
}

async fn execute(url: &str, statement: &str) -> u64 {
    sqlx::raw_sql(AssertSqlSafe(statement.to_owned()))
        .execute(&mut stored::connect(url).await)
        .await
        .unwrap_or_else(|error| panic!("{statement}: {error}"))
        .rows_affected()
}

/// Views of a part of the history, with nobody at work on them.
async fn folded() -> TestDatabase {
    let folder = foldline_local::temporary_folder().unwrap();
    let database = TestDatabase::empty().await;
    let up = Up::start(folder.path(), Some(&database.url)).await;
    import(&commands(folder.path()), &up.client_of_tests().await).await;
    stored::folded(&database.url, stored::head(&database.url).await).await;
    database
}

/// What is done by hand, in which table, and which checks must see it.
const BY_HAND: [(&str, &str, &[&str]); 16] = [
    (
        "task_dashboard_v3",
        "set estimated_hundredths = estimated_hundredths + 1 where owner = 'project'",
        &["project_dashboard"],
    ),
    (
        "task_dashboard_v3",
        "set efficiency_micros = efficiency_micros - 1 where owner = 'assignee' and efficiency_count > 0",
        &["assignee_dashboard"],
    ),
    (
        "task_dashboard_v3",
        "set total = total - 1, blocked = blocked - 1, critical = critical - 1 where owner = 'project' and blocked > 0",
        &["project_dashboard"],
    ),
    (
        "task_dashboard_day_v3",
        "set due = due + 1 where owner = 'project' and due > 0",
        &["project_dashboard_day"],
    ),
    (
        "task_dashboard_day_v3",
        "set day = day + 1 where owner = 'assignee' and completed > 0",
        &["assignee_dashboard_day"],
    ),
    (
        "task_view_comment_v4",
        "set text = text || '!'",
        &["task_comment"],
    ),
    (
        "task_view_comment_v4",
        "set version = version + 1000",
        &["task_comment"],
    ),
    (
        "task_view_mark_v4",
        "set mark = gen_random_uuid() where mark = '{mark of a label}'",
        &["task_mark"],
    ),
    (
        "task_history_v3",
        "set version = version + 1000 where event_type = 'tasks.TaskCreated'",
        &["task_history", "task_view.past"],
    ),
    (
        "task_history_v3",
        "set position = 0 where event_type = 'tasks.TaskAssigned' and version > 1",
        &["task_history", "task_view.past"],
    ),
    (
        "task_view_v4",
        "set steps_completed = steps_completed + 1 where deleted_at is null",
        &["task_view"],
    ),
    (
        "task_view_past_v4",
        "set until = until + 1",
        &["task_view.past"],
    ),
    (
        "task_view_past_v4",
        "set version = version + 1000",
        &["task_view.past"],
    ),
    (
        "task_view_past_v4",
        "set estimated_hundredths = coalesce(estimated_hundredths, 0) + 1",
        &["task_dashboard.then"],
    ),
    (
        "task_dashboard_task_past_v3",
        "set until = until + 1",
        &["task_dashboard.past"],
    ),
    (
        "task_dashboard_task_past_v3",
        "set status = 'open' where status = 'in_progress'",
        &["task_dashboard.then"],
    ),
];

#[tokio::test]
async fn what_was_imported_is_verified_and_one_wrong_row_of_any_kind_is_seen() {
    let database = folded().await;
    let url = &database.url;
    let (code, report) = verify(url, &[]).await;
    assert_eq!((code, &report["well"]), (0, &json!(true)), "{report}");
    let compared = report["checks"].as_array().unwrap().iter();
    for check in compared {
        assert!(check["compared"].as_u64().unwrap() >= 16, "{check}");
    }

    let label: String = sqlx::query_scalar(
        "select labels[1] from views.task_view_v4 where tenant = $1 and labels <> '{}' limit 1",
    )
    .bind(TENANT)
    .fetch_one(&mut stored::connect(url).await)
    .await
    .unwrap();
    for (table, change, seen_by) in BY_HAND {
        let change = change.replace("{mark of a label}", &label_mark(&label).to_string());
        execute(
            url,
            &format!("create table kept as select * from views.{table}"),
        )
        .await;
        let (set, rest) = change.split_once(" where ").unwrap_or((&change, "true"));
        let changed = execute(
            url,
            &format!(
                "update views.{table} {set}
                 where ctid = (
                     select ctid from views.{table} where tenant = '{TENANT}' and {rest} order by ctid limit 1
                 )"
            ),
        )
        .await;
        assert_eq!(changed, 1, "{table} {change}");
        let (code, report) = verify(url, &["--tenant", TENANT]).await;
        assert_eq!(
            (code, red(&report)),
            (1, seen_by.to_vec()),
            "{table} {change}: {report}"
        );
        execute(
            url,
            &format!("delete from views.{table}; insert into views.{table} select * from kept; drop table kept"),
        )
        .await;
    }
    assert_eq!(verify(url, &[]).await.0, 0, "all was put right again");
    for arguments in [
        &["--tenant", "nobody"][..],
        &["--digest", "--tenant", "nobody"],
    ] {
        let (code, _) = verify(url, arguments).await;
        assert_eq!(code, 2, "that all of nothing is equal proves nothing");
    }
}

#[tokio::test]
async fn a_row_that_is_missing_is_seen_and_told() {
    let database = folded().await;
    let url = &database.url;
    for (table, seen_by) in [
        (
            "task_dashboard_v3",
            vec!["project_dashboard", "assignee_dashboard"],
        ),
        (
            "task_dashboard_day_v3",
            vec!["project_dashboard_day", "assignee_dashboard_day"],
        ),
        (
            "task_view_comment_v4",
            vec!["task_view.comments_total", "task_comment"],
        ),
        ("task_view_mark_v4", vec!["task_mark"]),
        (
            "task_history_v3",
            vec!["task_comment", "task_history", "task_view.past"],
        ),
        ("task_view_past_v4", vec!["task_view.past"]),
        ("task_dashboard_task_past_v3", vec!["task_dashboard.then"]),
    ] {
        execute(
            url,
            &format!("create table kept as select * from views.{table}; delete from views.{table}"),
        )
        .await;
        let (code, report) = verify(url, &[]).await;
        assert_eq!((code, red(&report)), (1, seen_by), "{table}");
        let shown = report["checks"].as_array().unwrap().iter();
        let shown = shown.map(|check| check["differences"].as_array().unwrap().len());
        assert_eq!(shown.max(), Some(10), "the first ten are shown");
        execute(
            url,
            &format!("insert into views.{table} select * from kept; drop table kept"),
        )
        .await;
    }
    execute(url, "delete from views.task_view_comment_v4 where ctid = (select min(ctid) from views.task_view_comment_v4)").await;
    let mut command = foldline();
    command.arg("verify").env("VIEW_URL", url);
    let (status, said) = finished(command).await;
    assert_eq!(status.code(), Some(1));
    assert!(said.contains("DIFFER  task_comment"), "{said}");
    assert!(said.contains("stored      nothing"), "{said}");
}

/// Rows of the past that are wrong, which columns of them, and which checks see it as of then.
const OF_THE_PAST: [(&str, &str, &[&str]); 4] = [
    (
        "task_view_past_v4",
        "set estimated_hundredths = coalesce(estimated_hundredths, 0) + 7 where deleted_at is null",
        &["project_dashboard"],
    ),
    (
        "task_dashboard_task_past_v3",
        "set priority = 'low' where priority = 'critical' and not deleted",
        &["project_dashboard"],
    ),
    (
        "task_view_past_v4",
        "set comments_total = comments_total + 1",
        &["task_view.comments_total"],
    ),
    (
        "task_view_past_v4",
        "set labels = array_append(labels, 'made up')",
        &["task_mark"],
    ),
];

#[tokio::test]
async fn what_readers_see_as_of_a_position_is_verified_and_one_wrong_row_of_then_is_seen_then_alone()
 {
    let database = folded().await;
    let url = &database.url;
    let head = stored::head(url).await;
    for position in [0, 1, head / 3, head / 2, head - 1, head] {
        let (code, report) = verify(url, &["--as-of", &position.to_string()]).await;
        assert_eq!(code, 0, "{position}: {report}");
        assert_eq!(report["asOf"], position.to_string());
        if position == 0 {
            let compared = report["checks"].as_array().unwrap().iter();
            assert!(
                compared
                    .map(|check| &check["compared"])
                    .all(|compared| compared == 0)
            );
        }
    }
    let (code, _) = verify(url, &["--as-of", &(head + 1).to_string()]).await;
    assert_eq!(code, 2, "nobody knows yet");
    let (code, _) = verify(url, &["project_view", "--as-of", "1"]).await;
    assert_eq!(code, 2, "that nothing was compared proves nothing");

    for (table, change, seen_by) in OF_THE_PAST {
        let (set, rest) = change.split_once(" where ").unwrap_or((change, "true"));
        let mut owner = stored::connect(url).await;
        let find = format!(
            "select position, until from views.{table}
             where tenant = '{TENANT}' and {rest} and until - position > 2 order by position limit 1"
        );
        let (position, until): (i64, i64) = sqlx::query_as(AssertSqlSafe(find))
            .fetch_one(&mut owner)
            .await
            .unwrap();
        execute(
            url,
            &format!("create table kept as select * from views.{table}"),
        )
        .await;
        let of_it = format!("where position = {position} and tenant = '{TENANT}'");
        execute(url, &format!("update views.{table} {set} {of_it}")).await;
        for (at, expected) in [
            (position - 1, vec![]),
            (position, seen_by.to_vec()),
            (until - 1, seen_by.to_vec()),
            (until, vec![]),
        ] {
            let (_, report) = verify(url, &["--as-of", &at.to_string()]).await;
            let mut seen = red(&report);
            if !expected.is_empty() {
                // An assignee's dashboard is wrong too where there was one.
                seen.retain(|check| *check != "assignee_dashboard");
            }
            assert_eq!(seen, expected, "{table} {change} as of {at}: {report}");
        }
        execute(
            url,
            &format!("delete from views.{table}; insert into views.{table} select * from kept; drop table kept"),
        )
        .await;
    }
}

#[tokio::test]
async fn one_view_is_verified_by_the_checks_that_read_it() {
    let database = folded().await;
    let url = &database.url;
    let (code, report) = verify(url, &["task_history"]).await;
    assert_eq!(code, 0, "{report}");
    let checks = report["checks"].as_array().unwrap().iter();
    let names: Vec<&str> = checks
        .map(|check| check["check"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["task_comment", "task_history", "task_view.past"]);
    let (code, report) = verify(url, &["project_view", "--digest"]).await;
    assert_eq!((code, report["views"].as_array().unwrap().len()), (0, 1));
    let mut command = foldline();
    command.args(["verify", "tasks"]).env("VIEW_URL", url);
    let (status, _) = finished(command).await;
    assert_eq!(status.code(), Some(2), "there is no such view");
}

#[tokio::test]
async fn views_that_stand_apart_or_are_not_there_are_not_checked() {
    let database = folded().await;
    let url = &database.url;
    execute(
        url,
        "update views.checkpoints set position = position - 1 where view = 'task_dashboard' and partition = 5",
    )
    .await;
    let (code, report) = verify(url, &["--wait-max", "1"]).await;
    assert_eq!(code, 2);
    let error = report["error"].as_str().unwrap();
    assert!(error.contains("partition 5"), "{error}");

    for url in [
        &TestDatabase::empty().await.url,
        "postgres://127.0.0.1:1/nothing",
    ] {
        let (code, report) = verify(url, &[]).await;
        assert_eq!(code, 2, "{report}");
    }
}

#[tokio::test]
async fn digests_are_the_same_from_kafka_from_postgres_and_of_a_fresh_replay() {
    let folder = foldline_local::temporary_folder().unwrap();
    let stack = Stack::started().await;
    let (from_postgres, replayed) = (TestDatabase::empty().await, TestDatabase::empty().await);
    let following = stack.replay_into(&from_postgres).await;
    let file = commands(folder.path());
    import(&file, &stack.client().await).await;
    let head = stored::head(&stack.database.url).await;
    let replaying = stack.replay_into(&replayed).await;
    let databases = [&stack.database, &from_postgres, &replayed];
    let mut digests = Vec::new();
    for database in databases {
        stored::folded(&database.url, head).await;
        assert_eq!(verify(&database.url, &[]).await.0, 0);
        let (code, report) = verify(&database.url, &["--digest"]).await;
        assert_eq!(code, 0, "{report}");
        assert_eq!(report["completedPrefix"], head.to_string());
        digests.push(report);
    }
    assert_eq!(digests[0], digests[1], "Kafka's and Postgres' feed");
    assert_eq!(digests[0], digests[2], "a fresh replay");
    covers_every_table(&stack.database.url, &digests[0]).await;
    drop((following, replaying));

    another_row_is_another_digest(&replayed.url, &digests[0]).await;
    another_log_of_the_same_commands_has_the_same(&file, folder.path(), &from_postgres.url).await;
}

/// No table of a view is forgotten.
async fn covers_every_table(url: &str, report: &Value) {
    let tables: Vec<String> = sqlx::query_scalar(
        "select tablename::text
         from pg_tables
         where schemaname = 'views'
             and tablename ~ '_v[0-9]+$'
         order by 1",
    )
    .fetch_all(&mut stored::connect(url).await)
    .await
    .unwrap();
    let views = report["views"].as_array().unwrap().iter();
    let mut covered: Vec<&str> = views
        .flat_map(|view| view["tables"].as_array().unwrap())
        .map(|table| table.as_str().unwrap())
        .collect();
    covered.sort_unstable();
    assert_eq!(covered, tables);
}

async fn another_row_is_another_digest(url: &str, right: &Value) {
    let digests = |report: &Value| {
        let views = report["views"].as_array().unwrap().clone();
        let digest = |view: Value| (view["view"].clone(), view["digest"].clone());
        views.into_iter().map(digest).collect::<Vec<_>>()
    };
    for (view, change) in [
        (
            "project_view",
            "update views.project_view_v4 set name = name || '!'",
        ),
        (
            "task_view",
            "update views.task_view_v4 set title = title || '!'",
        ),
        (
            "task_history",
            "update views.task_history_v3 set recorded_at = recorded_at + interval '1 us'",
        ),
        (
            "task_dashboard",
            "update views.task_dashboard_v3 set total = total + 1, open = open + 1, low = low + 1",
        ),
    ] {
        execute(url, change).await;
        let (_, report) = verify(url, &["--digest"]).await;
        for (was, is) in digests(right).into_iter().zip(digests(&report)) {
            let same = was == is;
            // What was changed before stays so.
            assert!(!same || was.0 != json!(view), "{change}");
        }
    }
    let (_, before) = verify(url, &["--digest"]).await;
    execute(url, "truncate views.task_view_mark_v4").await;
    let (_, after) = verify(url, &["--digest"]).await;
    assert_ne!(before, after);
}

async fn another_log_of_the_same_commands_has_the_same(file: &Path, folder: &Path, url: &str) {
    let database = TestDatabase::empty().await;
    let up = Up::start(folder, Some(&database.url)).await;
    import(file, &up.client_of_tests().await).await;
    stored::folded(&database.url, stored::head(&database.url).await).await;
    let arguments = ["--digest", "--across-logs", "--tenant", TENANT];
    let [one, other] = [url, &database.url].map(|url| verify(url, &arguments));
    let (one, other) = (one.await.1, other.await.1);
    assert_eq!(one["views"], other["views"]);
    assert_ne!(one["epoch"], other["epoch"]);
    let arguments = ["--digest", "--tenant", TENANT];
    assert_ne!(verify(url, &arguments).await.1["views"], one["views"]);
}
