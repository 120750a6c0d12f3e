//! Streams are folded again beside everything else, and rows that are not what the events leave are named.

use std::time::Duration;

use chrono::TimeDelta;
use foldline_log::Service;
use foldline_projector::{Differing, Retention, View};
use sqlx::AssertSqlSafe;

use crate::{
    log::{Running, append, open, replayed},
    retention::{folded, until_forgotten},
    seeded::seeded,
    support::Views,
};

/// What goes wrong with a row by hand, one for each kind of row that is folded from one stream.
pub const WRONGS: [(View, &str, &str); 12] = [
    (
        View::ProjectView,
        "project_view",
        "update views.project_view_v4 set name = name || '!' where ctid = (select min(ctid) from views.project_view_v4)",
    ),
    (
        View::ProjectView,
        "project_view_past",
        "delete from views.project_view_past_v4 where ctid = (select max(ctid) from views.project_view_past_v4)",
    ),
    (
        View::TaskView,
        "task_view",
        "update views.task_view_v4 set title = 'forged' where ctid = (select min(ctid) from views.task_view_v4)",
    ),
    (
        View::TaskView,
        "task_view",
        "delete from views.task_view_v4 where ctid = (select max(ctid) from views.task_view_v4)",
    ),
    (
        View::TaskView,
        "task_view_past",
        "update views.task_view_past_v4 set until = until + 1
         where ctid = (select min(ctid) from views.task_view_past_v4)",
    ),
    (
        View::TaskView,
        "task_view_comment",
        "update views.task_view_comment_v4 set text = 'never said'
         where ctid = (select min(ctid) from views.task_view_comment_v4)",
    ),
    (
        View::TaskView,
        "task_view_mark",
        "delete from views.task_view_mark_v4 where ctid = (select min(ctid) from views.task_view_mark_v4)",
    ),
    (
        View::TaskView,
        "task_view_mark_past",
        "update views.task_view_mark_past_v4 set until = until + 1
         where ctid = (select min(ctid) from views.task_view_mark_past_v4)",
    ),
    (
        View::TaskHistory,
        "task_history",
        "update views.task_history_v3 set actor = 'nobody' where ctid = (select min(ctid) from views.task_history_v3)",
    ),
    (
        View::TaskHistory,
        "task_history",
        "insert into views.task_history_v3
         select tenant, task_id, version + 1000, position, event_id, event_type, schema_version, payload, actor, command_id,
             correlation_id, causation_id, occurred_at, recorded_at, partition
         from views.task_history_v3
         limit 1",
    ),
    (
        View::TaskDashboard,
        "task_dashboard_task",
        "update views.task_dashboard_task_v3 set estimated_hundredths = 4242
         where ctid = (select min(ctid) from views.task_dashboard_task_v3)",
    ),
    (
        View::TaskDashboard,
        "task_dashboard_task_past",
        "delete from views.task_dashboard_task_past_v3
         where ctid = (select min(ctid) from views.task_dashboard_task_past_v3)",
    ),
];

pub async fn execute(views: &Views, statement: &str) {
    let done = sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&views.owner);
    assert!(done.await.unwrap().rows_affected() > 0, "{statement}");
}

/// The views of a history, with a projector that proves them.
pub async fn proving(views: &Views) -> Running {
    let pause = Some(Duration::from_millis(1));
    Running::start_with(views, |options| options.proof_pause = pause).await
}

#[tokio::test]
async fn rows_that_are_what_the_events_leave_are_proven_up_to_where_the_views_are() {
    let history = seeded(81, 400);
    let views = folded(&history).await;
    let running = proving(&views).await;
    let through = Some(history.head());
    let status = running
        .until(|status| status.proof.verified_through == through)
        .await;
    assert_eq!(status.proof.differing, [] as [Differing; 0]);
    let streams =
        "select count(distinct (tenant, stream)) from log.events where stream ~ '^(task|project)-'";
    let projects = "select count(*) from views.project_view";
    let streams = views.all::<i64>(streams).await[0];
    let of_views = 3 * streams - 2 * views.all::<i64>(projects).await[0];
    assert!(
        status.proof.compared >= of_views.unsigned_abs(),
        "every stream in every view: {} of {of_views}",
        status.proof.compared
    );
    running.end().await;
    assert_eq!(
        views.rows().await,
        replayed(&history).await,
        "it leaves nothing"
    );
}

#[tokio::test]
async fn events_that_come_while_it_is_proven_are_no_difference() {
    let history = seeded(82, 900);
    let views = Views::new().await;
    let log = open(views.options(), Service::Command).await;
    append(&log, &history.events[..100]).await;
    let running = proving(&views).await;
    let head = Some(history.head());
    let appending = append(&log, &history.events[100..]);
    let looking = running.until(|status| {
        assert_eq!(status.proof.differing, [] as [Differing; 0]);
        status.proof.verified_through == head
    });
    let (_, status) = tokio::join!(appending, looking);
    assert!(status.proof.compared > 100, "{:?}", status.proof);
    running.end().await;
}

#[tokio::test]
async fn nothing_is_proven_while_a_row_differs() {
    let history = seeded(83, 300);
    let views = folded(&history).await;
    let (_, _, wrong) = WRONGS[2];
    execute(&views, wrong).await;
    let running = proving(&views).await;
    let compared = running
        .until(|status| !status.proof.differing.is_empty())
        .await
        .proof
        .compared;
    // Some rounds more.
    let status = running
        .until(|status| status.proof.compared > compared + 1_000)
        .await;
    assert_eq!(status.proof.verified_through, None);
    assert_eq!(status.proof.differing.len(), 1, "{:?}", status.proof);
    running.end().await;
}

#[tokio::test]
async fn what_is_left_out_and_what_need_not_be_kept_is_no_difference() {
    let history = seeded(84, 400);
    let views = Views::new().await;
    let log = open(views.options(), Service::Command).await;
    append(&log, &history.events).await;
    // One that nobody can read, in the middle of a stream.
    let spoilt = "
        update log.events set type = 'tasks.TaskAbducted'
        where position = (
            select min(position) from log.events where version = 3 and stream like 'task-%'
        )";
    execute(&views, spoilt).await;
    let retention = View::ALL
        .into_iter()
        .filter(|view| view.past_tables().next().is_some());
    let retention: Retention = retention
        .map(|view| (view, TimeDelta::milliseconds(1)))
        .collect();
    let running = Running::start_with(&views, |options| {
        options.retention = retention;
        options.proof_pause = Some(Duration::from_millis(1));
    })
    .await;
    running.folded(history.head()).await;
    for view in View::ALL {
        until_forgotten(&views, view).await;
    }
    // A whole round after that, at least.
    let before = running.health.status().proof.compared;
    let status = running
        .until(|status| status.proof.compared > before + 700)
        .await;
    assert_eq!(status.proof.differing, [] as [Differing; 0]);
    assert_eq!(status.proof.verified_through, Some(history.head()));
    assert_eq!(status.parked, 3);
    running.end().await;
}
