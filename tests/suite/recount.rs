//! Every figure of every dashboard, counted again by a program that knows the file and nothing of the product.

use std::{path::Path, process::Command};

use serde_json::{Map, Value, json};
use sqlx::AssertSqlSafe;

use crate::{
    processes::{TENANT, finished},
    stored,
};

const RECOUNT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/recount.py");

/// Every figure of a dashboard, as GraphQL is asked for it.
pub const FIGURES: &str = "
    total completed
    byStatus { open inProgress blocked completed cancelled }
    byPriority { low medium high critical }
    estimatedHours actualHours averageEfficiency
";

/// `{"projects": {id: {"figures": …, "days": …}}, "assignees": …}`.
pub async fn recount(file: &Path) -> Value {
    recount_with(file, &[]).await
}

/// The same of what happened up to and at a time.
pub async fn recount_until(file: &Path, time: &str) -> Value {
    recount_with(file, &["--until", time]).await
}

async fn recount_with(file: &Path, options: &[&str]) -> Value {
    let mut python = Command::new("python3");
    python.arg(RECOUNT).args(options).arg(file);
    let (status, counts) = finished(python).await;
    assert!(status.success(), "the recount succeeds");
    let counts: Value = serde_json::from_str(&counts).unwrap();
    assert!(!counts["projects"].as_object().unwrap().is_empty());
    counts
}

/// What GraphQL is to say of [`FIGURES`], where so much was counted.
pub fn shown(count: &Value) -> Value {
    let count = &count["figures"];
    let number = |name: &str| count[name].as_f64().unwrap();
    let mean = || number("efficiency_micros") / number("efficiency_count") / 1e6;
    json!({
        "total": count["total"],
        "completed": count["completed"],
        "byStatus": {
            "open": count["open"],
            "inProgress": count["in_progress"],
            "blocked": count["blocked"],
            "completed": count["completed"],
            "cancelled": count["cancelled"],
        },
        "byPriority": {
            "low": count["low"],
            "medium": count["medium"],
            "high": count["high"],
            "critical": count["critical"],
        },
        "estimatedHours": number("estimated_hundredths") / 100.0,
        "actualHours": number("actual_hundredths") / 100.0,
        "averageEfficiency": (count["efficiency_count"] != 0).then(mean),
    })
}

/// The same, as readers of the views see it.
async fn dashboards(views_url: &str) -> Value {
    let mut all = Map::new();
    for (name, owner) in [("projects", "project"), ("assignees", "assignee")] {
        let owners: Value = sqlx::query_scalar(AssertSqlSafe(format!(
            "select coalesce(
                 jsonb_object_agg(
                     o.{owner}_id,
                     jsonb_build_object(
                         'figures', to_jsonb(o) - array['tenant', '{owner}_id', 'position'],
                         'days', coalesce(d.days, '{{}}')
                     )
                 ),
                 '{{}}'
             )
             from views.{owner}_dashboard o
             left join (
                 select {owner}_id,
                     jsonb_object_agg(
                         day,
                         jsonb_build_object('created', created, 'completed', completed, 'due', due)
                     ) as days
                 from views.{owner}_dashboard_day
                 where tenant = $1
                   and (created, completed, due) <> (0, 0, 0)
                 group by {owner}_id
             ) d using ({owner}_id)
             where tenant = $1
               and total > 0"
        )))
        .bind(TENANT)
        .fetch_one(&mut stored::connect(views_url).await)
        .await
        .unwrap();
        all.insert(name.to_owned(), owners);
    }
    Value::Object(all)
}

/// Waits until the views have folded everything, and compares.
pub async fn dashboards_equal_the_recount(file: &Path, url: &str) {
    stored::folded(url, stored::head(url).await).await;
    let (counted, shown) = (recount(file).await, dashboards(url).await);
    for owners in ["projects", "assignees"] {
        let ids = |of: &Value| -> Vec<String> {
            of[owners].as_object().unwrap().keys().cloned().collect()
        };
        assert_eq!(ids(&shown), ids(&counted), "{owners}");
        for id in ids(&counted) {
            assert_eq!(shown[owners][&id], counted[owners][&id], "{owners} {id}");
        }
    }
}
