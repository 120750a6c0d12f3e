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
        let count = format!("select count(*) from views.{table}_v{}", view.projection());
        rows += views.all::<i64>(&count).await[0];
    }
    rows
}

pub async fn folded(history: &History) -> Views {
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
    until_forgotten(&views, View::TaskView).await;
    running.end().await;

    for (name, before) in names.iter().zip(before) {
        assert_eq!(
            rows_as_of(&views, name, head).await.unwrap(),
            before,
            "{name}"
        );
    }
    for name in ["task_view_at", "task_mark_at"] {
        let refused = rows_as_of(&views, name, head - 1).await;
        assert!(is_refused(&refused), "{name}: {refused:?}");
    }
    for name in ["project_view_at", "project_dashboard_at", "task_history_at"] {
        assert!(
            !rows_as_of(&views, name, head / 2).await.unwrap().is_empty(),
            "{name}"
        );
    }
    for (view, before) in others.iter().zip(of_others) {
        assert_eq!(past_rows(&views, *view).await, before, "{view}");
    }
    for check in Check::ALL {
        assert_eq!(differing(&views, check).await, 0, "{check}");
    }
}

async fn differing(views: &Views, check: Check) -> u64 {
    let options = views.pool.connect_options();
    let connection = PgConnection::connect_with(&options).await.unwrap();
    let mut snapshot = Snapshot::take(connection, &View::ALL, Need::SamePerPartition, 5_000)
        .await
        .unwrap();
    snapshot.check(check, None).await.unwrap().differing
}

#[tokio::test]
async fn what_ended_after_the_position_that_is_kept_stays_and_so_do_the_answers_from_there_on() {
    let history = seeded(66, 400);
    let views = folded(&history).await;
    let (head, middle) = (history.head(), history.head() / 2);
    for table in ["log.events", "log.batches"] {
        let position = if table == "log.events" {
            "position"
        } else {
            "last_position"
        };
        let earlier = format!(
            "update {table} set recorded_at = recorded_at - interval '2 days' where {position} <= {middle}"
        );
        sqlx::query(AssertSqlSafe(earlier))
            .execute(&views.owner)
            .await
            .unwrap();
    }
    let (names, moments) = (
        ["task_view_at", "task_mark_at"],
        [middle, middle + 1, head - 1],
    );
    let mut before = Vec::new();
    for (name, moment) in names
        .iter()
        .flat_map(|name| moments.map(|moment| (*name, moment)))
    {
        before.push((
            name,
            moment,
            rows_as_of(&views, name, moment).await.unwrap(),
        ));
    }
    let later = async || {
        let mut rows = 0;
        for table in View::TaskView.past_tables() {
            let version = View::TaskView.projection();
            let count =
                format!("select count(*) from views.{table}_v{version} where until > {middle}");
            rows += views.all::<i64>(&count).await[0];
        }
        rows
    };
    let stay = later().await;
    assert!(0 < stay && stay < past_rows(&views, View::TaskView).await);

    let retention = Retention::from([(View::TaskView, TimeDelta::days(1))]);
    let running = Running::start_keeping(&views, retention).await;
    let gone = async {
        while past_rows(&views, View::TaskView).await > stay {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
    // Some more rounds.
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    running.end().await;
    assert_eq!(later().await, stay);
    for (name, moment, rows) in before {
        assert_eq!(
            rows_as_of(&views, name, moment).await.unwrap(),
            rows,
            "{name} {moment}"
        );
        let refused = rows_as_of(&views, name, middle - 1).await;
        assert!(is_refused(&refused), "{name}: {refused:?}");
    }
}

#[tokio::test]
async fn a_row_of_the_past_of_a_project_that_does_not_hold_until_the_next_is_seen() {
    let views = folded(&seeded(65, 400)).await;
    assert_eq!(differing(&views, Check::ProjectPast).await, 0);
    let one = "
        update views.project_view_past_v4
        set until = until + 1
        where ctid = (select min(ctid) from views.project_view_past_v4)";
    sqlx::query(one).execute(&views.owner).await.unwrap();
    assert_eq!(differing(&views, Check::ProjectPast).await, 1);
}

/// The sums of dashboards are of what holds; when they last changed is of what ended, too, and may be forgotten.
#[tokio::test]
async fn what_every_view_says_of_the_moments_that_are_kept_stays_when_the_rest_is_forgotten() {
    let history = seeded(63, 400);
    let views = folded(&history).await;
    let head = history.head();
    let sums = "(select * from views.project_dashboard_at where total > 0)";
    let without_position = async || {
        let sums = format!("select (to_jsonb(s) - 'position')::text from {sums} s order by 1");
        let mut transaction = views.pool.begin().await.unwrap();
        sqlx::query("select set_config('foldline.as_of', $1, true)")
            .bind(head.to_string())
            .execute(&mut *transaction)
            .await
            .unwrap();
        let rows: Vec<String> = sqlx::query_scalar(AssertSqlSafe(sums))
            .fetch_all(&mut *transaction)
            .await
            .unwrap();
        rows
    };
    let names = [
        "project_view_at",
        "task_view_at",
        "task_mark_at",
        "task_comment_at",
        "task_history_at",
    ];
    let (mut before, sums_before) = (Vec::new(), without_position().await);
    assert!(sums_before.len() > 3);
    for name in names {
        before.push(rows_as_of(&views, name, head).await.unwrap());
    }
    let all = View::ALL
        .into_iter()
        .filter(|view| view.past_tables().next().is_some());
    let retention: Retention = all.map(|view| (view, TimeDelta::milliseconds(1))).collect();
    // Any number may do it at once.
    let running = [
        Running::start_keeping(&views, retention.clone()).await,
        Running::start_keeping(&views, retention).await,
    ];
    for view in View::ALL {
        until_forgotten(&views, view).await;
    }
    for one in running {
        one.end().await;
    }
    for (name, before) in names.iter().zip(before) {
        assert_eq!(
            rows_as_of(&views, name, head).await.unwrap(),
            before,
            "{name}"
        );
    }
    assert_eq!(without_position().await, sums_before);
}

/// Whoever points a projector at another log by mistake loses nothing.
#[tokio::test]
async fn a_view_that_was_folded_from_another_log_forgets_nothing() {
    let history = seeded(64, 200);
    let views = folded(&history).await;
    let before = past_rows(&views, View::TaskView).await;
    sqlx::query("update views.checkpoints set epoch = gen_random_uuid()")
        .execute(&views.owner)
        .await
        .unwrap();
    let retention = Retention::from([(View::TaskView, TimeDelta::milliseconds(1))]);
    let running = Running::start_keeping(&views, retention).await;
    running.until(|status| !status.is_ready()).await;
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(
        views.all::<i64>("select count(*) from views.kept").await,
        [0]
    );
    assert_eq!(past_rows(&views, View::TaskView).await, before);
}

pub async fn until_forgotten(views: &Views, view: View) {
    let gone = async {
        while past_rows(views, view).await > 0 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, gone).await.unwrap();
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
        let (mut whole, mut refused) = (0, 0);
        while refused == 0 || past_rows(&views, View::TaskView).await > 0 {
            let rows = rows_as_of(&views, "task_view_at", position).await;
            if is_refused(&rows) {
                refused += 1;
                continue;
            }
            assert_eq!(refused, 0, "once refused, always refused");
            assert_eq!(rows.unwrap(), expected, "after {whole} that were whole");
            whole += 1;
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap();
    running.end().await;
}
