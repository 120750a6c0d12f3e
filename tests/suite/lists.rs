//! Lists of the tasks that `foldline demo` makes, by every filter in every order: Postgres never reads a table from end to
//! end for them. What it plans, statement by statement, is in `query/src/plans.rs`; here it is what it did.

use std::{fs, path::Path};

use foldline_schema::testing::TestDatabase;
use serde_json::{Map, Value, json};

use crate::{
    client::Client,
    import_ways::{import_offline, prepared, summary},
    processes::{Up, finished, foldline, is_soak, until},
    stored,
};

/// How many tasks there are at full size.
const TASKS: u32 = 100_000;
const TASKS_SMALL: u32 = 300;

const LIST: &str = "query ($filter: TaskFilter, $order: TaskOrder, $after: String) {
    first: tasks(filter: $filter, order: $order, first: 50, after: $after) { nodes { title } pageInfo { endCursor } }
    last: tasks(filter: $filter, order: $order, last: 50) { nodes { title } }
}";

/// Tasks that have something of everything.
const SAMPLE: &str = "{
    tasks(first: 100, order: {by: UPDATED_AT, direction: DESC}) {
        nodes { key projectId assigneeId labels metadata dueDate createdAt }
    }
}";

/// A database that holds the demo, folded by nobody yet.
async fn with_demo(folder: &Path, tasks: u32) -> TestDatabase {
    let database = prepared(folder).await;
    let mut print = foldline();
    print.args(["demo", "--print", "--tasks", &tasks.to_string()]);
    let file = folder.join("demo.ndjson");
    fs::write(&file, finished(print).await.1).unwrap();
    let (code, said) = summary(import_offline(&file, folder, &database.url)).await;
    assert_eq!(code, 0, "{said}");
    eprintln!("{tasks} demo tasks imported offline: {said}");
    database
}

/// Waits as long as anything is folded.
async fn all_is_folded(url: &str) {
    let head = stored::head(url).await;
    let mut before = -1;
    while before < head {
        before = until("a view to move", async || {
            let now: Option<i64> =
                sqlx::query_scalar("select min(position) from views.checkpoints")
                    .fetch_one(&mut stored::connect(url).await)
                    .await
                    .unwrap();
            now.filter(|now| *now > before)
        })
        .await;
    }
    stored::folded(url, head).await;
}

/// A filter for everything by which tasks are filtered, with values that occur.
async fn filters(client: &Client) -> Vec<Value> {
    let sample = client.ask(SAMPLE, json!({})).await;
    let nodes = sample["tasks"]["nodes"].as_array().unwrap().clone();
    let some = |field: &str| {
        let says = |value: &&Value| match value {
            Value::Array(values) => !values.is_empty(),
            Value::Object(fields) => !fields.is_empty(),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => !value.is_null(),
        };
        let mut values = nodes.iter().map(|node| &node[field]);
        values.rfind(says).unwrap().clone()
    };
    let fact: Map<String, Value> = (some("metadata").as_object().unwrap().clone().into_iter())
        .take(1)
        .collect();
    let (created, due) = (some("createdAt"), some("dueDate"));
    vec![
        json!({}),
        json!({"projectId": some("projectId")}),
        json!({"status": ["OPEN"]}),
        json!({"status": ["OPEN", "IN_PROGRESS", "BLOCKED"]}),
        json!({"priority": ["CRITICAL"]}),
        json!({"assigneeId": some("assigneeId")}),
        json!({"unassigned": true}),
        json!({"labels": [some("labels")[0]]}),
        json!({"metadata": fact}),
        json!({"key": some("key")}),
        json!({"dueBefore": due}),
        json!({"dueAfter": due}),
        json!({"overdueAt": created}),
        json!({"createdBefore": created}),
        json!({"createdAfter": created}),
        json!({"updatedBefore": created}),
        json!({"updatedAfter": created}),
        json!({"completedBefore": created}),
        json!({"completedAfter": created}),
        json!({"aiReviewNeeded": true}),
        json!({"aiReviewNeeded": false}),
        json!({"deleted": true}),
        json!({"projectId": some("projectId"), "status": ["OPEN"], "assigneeId": some("assigneeId")}),
    ]
}

async fn list_all(client: &Client) {
    for filter in filters(client).await {
        for by in ["CREATED_AT", "UPDATED_AT", "DUE_DATE", "PRIORITY"] {
            for direction in ["ASC", "DESC"] {
                let order = json!({"by": by, "direction": direction});
                let variables = json!({"filter": filter, "order": order});
                let page = client.ask(LIST, variables).await;
                let found = page["last"]["nodes"] != json!([]);
                assert!(found || filter.as_object().unwrap().len() > 1, "{filter}");
                let after = &page["first"]["pageInfo"]["endCursor"];
                let variables = json!({"filter": filter, "order": order, "after": after});
                client.ask(LIST, variables).await;
            }
        }
    }
}

/// How often tables that lists are read from were read from end to end, by whoever has ended.
async fn sequential_scans(url: &str) -> i64 {
    sqlx::query_scalar(
        "select sum(seq_scan)::bigint
         from pg_stat_user_tables
         where schemaname = 'views'
           and relname ~ '^(task|project)_'",
    )
    .fetch_one(&mut stored::connect(url).await)
    .await
    .unwrap()
}

async fn execute(url: &str, statement: &'static str) {
    sqlx::raw_sql(statement)
        .execute(&mut stored::connect(url).await)
        .await
        .unwrap();
}

#[tokio::test]
async fn no_list_of_demo_tasks_reads_a_table_from_end_to_end_whatever_its_filter_and_order() {
    let folder = foldline_local::temporary_folder().unwrap();
    let tasks = if is_soak() { TASKS } else { TASKS_SMALL };
    let database = with_demo(folder.path(), tasks).await;
    let url = &database.url;
    let folding = Up::start(folder.path(), Some(url)).await;
    all_is_folded(url).await;
    until("no index to be left for later", async || {
        let late: i64 = sqlx::query_scalar("select count(*) from views.late_indexes")
            .fetch_one(&mut stored::connect(url).await)
            .await
            .unwrap();
        (late == 0).then_some(())
    })
    .await;
    drop(folding);
    execute(url, "analyze").await;
    if !is_soak() {
        // Few rows are best read from end to end; now this is done only where no index serves.
        execute(
            url,
            "do $$ begin execute format('alter database %I set enable_seqscan = off', current_database()); end $$",
        )
        .await;
    }

    let before = sequential_scans(url).await;
    let reading = Up::start(folder.path(), Some(url)).await;
    list_all(&reading.client_of_tests().await).await;
    drop(reading);
    assert_eq!(sequential_scans(url).await, before);

    // The count is one that can rise.
    execute(
        url,
        "select count(*) from views.task_view where title = 'nothing'",
    )
    .await;
    until("the count to rise", async || {
        (sequential_scans(url).await > before).then_some(())
    })
    .await;
}
