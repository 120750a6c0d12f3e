//! The query role sees the rows of one tenant, and changes none.

use sqlx::AssertSqlSafe;

use crate::{
    seeded::seeded,
    support::{Views, apply},
};

const SEEN: [&str; 33] = [
    "project_view",
    "project_view_v4",
    "project_view_past_v4",
    "task_view",
    "task_view_v4",
    "task_view_past_v4",
    "task_comment",
    "task_view_comment_v4",
    "task_mark",
    "task_view_mark_v4",
    "task_view_mark_past_v4",
    "task_history",
    "task_history_v3",
    "project_dashboard",
    "project_dashboard_day",
    "assignee_dashboard",
    "task_dashboard_v3",
    "task_dashboard_day_v3",
    "task_dashboard_task_v3",
    "task_dashboard_task_past_v3",
    "assignee_dashboard_day",
    // Every version.
    "project_version",
    "task_version",
    // As of a position.
    "project_view_at",
    "task_view_at",
    "task_comment_at",
    "task_mark_at",
    "task_history_at",
    "task_dashboard_task_at",
    "project_dashboard_at",
    "project_dashboard_day_at",
    "assignee_dashboard_at",
    "assignee_dashboard_day_at",
];

#[tokio::test]
async fn rows_of_another_tenant_are_invisible() {
    let views = Views::new().await;
    apply(&mut views.writer().await, seeded(6, 900).whole()).await;
    let mut acme = views.query(Some("acme")).await;
    let mut nobody = views.query(None).await;
    for table in SEEN {
        let count =
            |condition: &str| format!("select count(*) from views.{table} where {condition}");
        let own: i64 = sqlx::query_scalar(AssertSqlSafe(count("tenant = 'acme'")))
            .fetch_one(&mut acme)
            .await
            .unwrap();
        assert!(own > 0, "{table}");
        let others: i64 = sqlx::query_scalar(AssertSqlSafe(count("tenant <> 'acme'")))
            .fetch_one(&mut acme)
            .await
            .unwrap();
        assert_eq!(others, 0, "{table}");
        let without: i64 = sqlx::query_scalar(AssertSqlSafe(count("true")))
            .fetch_one(&mut nobody)
            .await
            .unwrap();
        assert_eq!(without, 0, "{table}");
    }
}

#[tokio::test]
async fn the_query_role_can_write_nothing() {
    let views = Views::new().await;
    let mut acme = views.query(Some("acme")).await;
    for table in SEEN.into_iter().chain(["checkpoints", "active"]) {
        let delete = format!("delete from views.{table}");
        let refused = sqlx::query(AssertSqlSafe(delete)).execute(&mut acme).await;
        assert!(refused.is_err(), "{table}");
    }
}

#[tokio::test]
async fn every_table_of_a_view_has_row_level_security() {
    let views = Views::new().await;
    let open = "select relname::text from pg_class
                where relnamespace = 'views'::regnamespace
                    and relkind = 'r'
                    and not relrowsecurity
                order by relname";
    let of_no_tenant = [
        "active",
        "builds",
        "checkpoints",
        "heads",
        "kept",
        "lag",
        "late_indexes",
        "leases",
        "log_times",
        "projections",
        "projectors",
    ];
    assert_eq!(views.all::<String>(open).await, of_no_tenant);
}
