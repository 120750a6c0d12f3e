//! Rows of the past are kept for as long as was said, and whoever would miss one that is gone is refused.

use chrono::TimeDelta;
use foldline_events::Position;
use foldline_log::Service;
use foldline_projector::{
    Retention, View,
    verify::{Check, Need, Snapshot},
};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::{
    history::History,
    log::{PATIENCE, Running, append, open},
    seeded::seeded,
    support::Views,
};

/// The rows of a table or view, as of a position where it has one.
async fn rows_as_of(
    views: &Views,
    name: &str,
    position: Position,
) -> Result<Vec<String>, sqlx::Error> {
    let mut transaction = views.pool.begin().await?;
    sqlx::query("select set_config('foldline.as_of', $1, true)")
        .bind(position.to_string())
        .execute(&mut *transaction)
        .await?;
    let rows = format!("select to_jsonb(r)::text from views.{name} r order by 1");
    sqlx::query_scalar(AssertSqlSafe(rows))
        .fetch_all(&mut *transaction)
        .await
}

fn is_refused(rows: &Result<Vec<String>, sqlx::Error>) -> bool {
    let error = rows.as_ref().err().and_then(sqlx::Error::as_database_error);
    error.is_some_and(|error| error.code().as_deref() == Some("FL001"))
}

async fn past_rows(views: &Views, view: View) -> i64 {
    let mut rows = 0;
    for table in view.past_tables() {
        let count = format!("select count(*) from views.{table}_v{}", view.version());
        rows += views.all::<i64>(&count).await[0];
    }
    rows
}

async fn folded(history: &History) -> Views {
    let views = Views::new().await;
    let log = open(views.options(), Service::Command).await;
    append(&log, &history.events).await;
    let running = Running::start(&views).await;
    running.folded(history.head()).await;
    running.end().await;
    views
}

#[tokio::test]
async fn a_view_forgets_what_ended_before_and_nothing_that_holds_and_no_other_view_forgets() {
    let history = seeded(61, 400);
    let views = folded(&history).await;
    let head = history.head();
    let names = [
        "project_view_at",
        "task_view_at",
        "task_mark_at",
        "project_dashboard_at",
    ];
    let mut before = Vec::new();
    for name in names {
        before.push(rows_as_of(&views, name, head).await.unwrap());
    }
    let others = [View::ProjectView, View::TaskDashboard];
    let mut of_others = Vec::new();
    for view in others {
        of_others.push(past_rows(&views, view).await);
    }
    assert!(of_others.iter().all(|rows| *rows > 10), "{of_others:?}");

    let retention = Retention::from([(View::TaskView, TimeDelta::milliseconds(1))]);
    let running = Running::start_keeping(&views, retention).await;
    let gone = async {
        while past_rows(&views, View::TaskView).await > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    running.end().await;

    for (name, before) in names.iter().zip(before) {
        assert_eq!(
            rows_as_of(&views, name, head).await.unwrap(),
            before,
            "{name}"
        );
    }
    let refused = rows_as_of(&views, "task_view_at", head - 1).await;
    assert!(is_refused(&refused), "{refused:?}");
    for name in ["project_view_at", "project_dashboard_at", "task_history_at"] {
        assert!(
            !rows_as_of(&views, name, head / 2).await.unwrap().is_empty(),
            "{name}"
        );
    }
    for (view, before) in others.iter().zip(of_others) {
        assert_eq!(past_rows(&views, *view).await, before, "{view}");
    }
    let connection = PgConnection::connect_with(&views.pool.connect_options())
        .await
        .unwrap();
    let mut snapshot = Snapshot::take(connection, &View::ALL, Need::SamePerPartition, 5_000)
        .await
        .unwrap();
    for check in Check::ALL {
        let outcome = snapshot.check(check, None).await.unwrap();
        assert_eq!(outcome.differing, 0, "{check}: {:?}", outcome.differences);
    }
}

#[tokio::test]
async fn who_reads_while_rows_go_reads_all_of_them_or_is_refused() {
    let history = seeded(62, 600);
    let views = folded(&history).await;
    let position = history.head() / 2;
    let expected = rows_as_of(&views, "task_view_at", position).await.unwrap();
    assert!(expected.len() > 10);
    let retention = Retention::from([(View::TaskView, TimeDelta::milliseconds(1))]);
    let running = Running::start_keeping(&views, retention).await;
    let reading = async {
        let mut read = 0;
        loop {
            let rows = rows_as_of(&views, "task_view_at", position).await;
            if is_refused(&rows) {
                return read;
            }
            assert_eq!(rows.unwrap(), expected, "after {read} that were whole");
            read += 1;
        }
    };
    let read = tokio::time::timeout(PATIENCE, reading).await.unwrap();
    assert!(read > 0, "some were read before");
    running.end().await;
}
