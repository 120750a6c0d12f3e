//! Dashboards of a history as of the first of each month, against a count that ends there.

use std::path::Path;

use serde_json::{Value, json};

use crate::{
    client::Client,
    import::history,
    import_ways::{import_offline, prepared, summary},
    processes::{Up, is_soak},
    recount::{FIGURES, recount, recount_until, shown},
    stored,
};

/// They reach into March.
const SLICE: usize = 15_000;
const MONTHS: u32 = 12;
const MONTHS_OF_SLICE: u32 = 3;

/// What the dashboards of everybody who ever had a task said at a time.
async fn had_happened(file: &Path, everybody: &Value, at: &str, client: &Client) {
    let counted = recount_until(file, at).await;
    let fields = [
        ("projects", "projectDashboard", "ID", "projectId"),
        ("assignees", "assigneeDashboard", "UUID", "assigneeId"),
    ];
    for (owners, field, id_type, argument) in fields {
        let query = format!(
            "query ($id: {id_type}!, $at: DateTime!) {{
                {field}({argument}: $id, asOf: {{recordedAt: $at}}) {{ {FIGURES} }}
            }}"
        );
        for id in everybody[owners].as_object().unwrap().keys() {
            let answer = client.ask(&query, json!({"id": id, "at": at})).await;
            match counted[owners].get(id) {
                Some(count) => assert_eq!(answer[field], shown(count), "{field} {id} at {at}"),
                None => assert!(
                    answer[field].is_null() || answer[field]["total"] == 0,
                    "{field} {id} at {at}: {answer}"
                ),
            }
        }
    }
}

#[tokio::test]
async fn dashboards_as_of_the_first_of_each_month_say_what_had_happened_by_then() {
    let folder = foldline_local::temporary_folder().unwrap();
    let (file, _) = history(folder.path(), SLICE);
    let months = if is_soak() { MONTHS } else { MONTHS_OF_SLICE };
    let database = prepared(folder.path()).await;
    let url = &database.url;
    let (code, summary) = summary(import_offline(&file, folder.path(), url)).await;
    assert_eq!(code, 0, "{summary}");
    let up = Up::start(folder.path(), Some(url)).await;
    let client = up.client_of_tests().await;
    stored::folded(url, stored::head(url).await).await;
    let everybody = recount(&file).await;
    for month in 1..=months {
        let at = format!("2024-{month:02}-01T00:00:00Z");
        had_happened(&file, &everybody, &at, &client).await;
    }
}
