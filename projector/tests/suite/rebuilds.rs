//! Rows are folded again in their place, and nobody notices but by what was wrong.

use std::time::Duration;

use foldline_events::{
    Tenant,
    tasks::{TaskEvent, TaskLabelAdded, TaskLabelRemoved, task_stream},
};
use foldline_log::Service;
use foldline_projector::{
    Differing, View,
    rebuilds::{self, Outcome, Which},
};
use sqlx::AssertSqlSafe;
use uuid::Uuid;

use crate::{
    log::{PATIENCE, Running, append, open, replayed},
    proof::{WRONGS, execute, proving},
    retention::folded,
    seeded::seeded,
    support::Views,
};

fn of(view: View, tenant: &str, stream: Option<&str>) -> Which {
    Which {
        view,
        tenant: Tenant::parse(tenant).unwrap(),
        stream: stream.map(str::to_owned),
    }
}

/// Asks, and waits until it was done.
async fn rebuilt(views: &Views, which: &Which) -> Outcome {
    let mut desk = views.pool.acquire().await.unwrap();
    let asked_at = rebuilds::ask(&mut desk, which, "ada").await.unwrap();
    let done = async {
        loop {
            let outcome = rebuilds::outcome(&mut desk, which, asked_at).await.unwrap();
            if outcome.to_do == 0 {
                return outcome;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, done).await.unwrap()
}

#[tokio::test]
async fn every_kind_of_row_that_was_changed_by_hand_is_found_named_and_mended() {
    let mut history = seeded(83, 600);
    // A task that had a mark, and has it no more.
    let (task, label) = (Uuid::from_u128(0x7000), "gone".to_owned());
    for event in [
        TaskEvent::LabelAdded(TaskLabelAdded {
            label: label.clone(),
        }),
        TaskEvent::LabelRemoved(TaskLabelRemoved { label }),
    ] {
        history.task("acme", task, event);
    }
    let expected = replayed(&history).await;
    let views = folded(&history).await;
    let running = proving(&views).await;
    for (view, table, wrong) in WRONGS {
        execute(&views, wrong).await;
        assert_ne!(views.rows().await, expected, "{wrong}");
        let status = running
            .until(|status| !status.proof.differing.is_empty())
            .await;
        let Differing {
            view: of_view,
            tenant,
            stream,
            first,
            ..
        } = &status.proof.differing[0];
        assert_eq!(*of_view, view.name(), "{wrong}");
        assert!(first.starts_with(&format!("{table} ")), "{wrong}: {first}");
        let outcome = rebuilt(&views, &of(view, tenant.as_str(), Some(stream))).await;
        assert_eq!((outcome.done, outcome.refused.len()), (1, 0), "{wrong}");
        assert_eq!(views.rows().await, expected, "{wrong}");
        running
            .until(|status| status.proof.differing.is_empty())
            .await;
    }
    let through = Some(history.head());
    running
        .until(|status| status.proof.verified_through == through)
        .await;
    running.end().await;
}

#[tokio::test]
async fn all_rows_of_a_tenant_are_mended_while_events_come_and_no_other_tenants_are_touched() {
    let history = seeded(85, 900);
    let views = Views::new().await;
    let log = open(views.options(), Service::Command).await;
    let (first, rest) = history.events.split_at(500);
    append(&log, first).await;
    let running = Running::start(&views).await;
    running.folded(500).await;
    for wrong in [
        "update views.task_view_v4 set title = 'forged'",
        "delete from views.task_view_mark_v4",
        "delete from views.task_view_past_v4",
        "update views.task_dashboard_v3 set total = total + 1, open = open + 1, low = low + 1, position = 9000",
        "delete from views.task_dashboard_day_v3",
    ] {
        execute(&views, &format!("{wrong} where tenant = 'acme'")).await;
    }
    let spared = "select (to_jsonb(r))::text from views.task_view_v4 r where tenant = 'zeta' and title = 'spared'";
    let one = "update views.task_view_v4 set title = 'spared'
         where ctid = (select min(ctid) from views.task_view_v4 where tenant = 'zeta')";
    execute(&views, one).await;

    let appending = append(&log, rest);
    let rebuilding = async {
        for view in [View::TaskView, View::TaskDashboard] {
            let outcome = rebuilt(&views, &of(view, "acme", None)).await;
            assert_eq!((outcome.done, outcome.refused.len()), (32, 0), "{view}");
            assert!(outcome.events > 100, "{outcome:?}");
        }
    };
    tokio::join!(appending, rebuilding);
    running.folded(history.head()).await;
    let of_acme = |rows: Vec<String>| -> Vec<String> {
        let is_of_acme = |row: &String| row.contains("\"tenant\": \"acme\"");
        rows.into_iter().filter(is_of_acme).collect()
    };
    let rows = of_acme(views.rows().await);
    assert!(rows.len() > 500);
    assert_eq!(rows, of_acme(replayed(&history).await));
    assert_eq!(views.all::<String>(spared).await.len(), 1);
    running.end().await;
}

#[tokio::test]
async fn a_row_of_a_stream_that_has_no_events_goes() {
    let history = seeded(86, 200);
    let views = folded(&history).await;
    let nobody = Uuid::from_u128(0xdead);
    let junk = format!(
        "insert into views.project_view_v4
         select 'acme', '{nobody}', name, description, archived, created_at, archived_at, updated_at, version, position,
             partition
         from views.project_view_v4
         limit 1"
    );
    execute(&views, &junk).await;
    let stream = format!("project-{nobody}");
    let which = of(View::ProjectView, "acme", Some(&stream));
    let lies_in = format!(
        "update views.project_view_v4 set partition = {} where project_id = '{nobody}'",
        foldline_events::partition_of(&which.tenant, &stream)
    );
    execute(&views, &lies_in).await;
    let running = Running::start(&views).await;
    let outcome = rebuilt(&views, &which).await;
    assert_eq!((outcome.done, outcome.events), (1, 0));
    assert_eq!(views.rows().await, replayed(&history).await);
    running.end().await;
}

#[tokio::test]
async fn rows_stay_as_they_are_where_an_event_cannot_be_folded_again() {
    let history = seeded(87, 400);
    let views = folded(&history).await;
    let spoilt = "
        update log.events set payload = '{\"title\":1}'
        where position = (
            select min(position) from log.events where version = 1 and stream like 'task-%'
        )
        returning stream";
    let stream = views.all::<String>(spoilt).await.remove(0);
    let tenant = views
        .all::<String>(&format!(
            "select tenant from log.events where stream = '{stream}'"
        ))
        .await
        .remove(0);
    let running = Running::start(&views).await;
    let outcome = rebuilt(&views, &of(View::TaskView, &tenant, Some(&stream))).await;
    assert_eq!((outcome.done, outcome.refused.len()), (0, 1));
    let why = &outcome.refused[0].1;
    assert!(why.contains("cannot fold the event at position"), "{why}");
    assert_eq!(views.rows().await, replayed(&history).await);
    assert!(running.health.status().is_ready());
    running.end().await;
}

#[tokio::test]
async fn what_is_left_out_of_a_view_is_left_out_when_it_is_folded_again() {
    let history = seeded(88, 400);
    let views = Views::new().await;
    let log = open(views.options(), Service::Command).await;
    append(&log, &history.events).await;
    let spoilt = "
        update log.events set type = 'tasks.TaskAbducted'
        where position = (
            select min(position) from log.events where version = 2 and stream like 'task-%'
        )
        returning stream || ' ' || tenant";
    let name = views.all::<String>(spoilt).await.remove(0);
    let (stream, tenant) = name.split_once(' ').unwrap();
    let running = Running::start(&views).await;
    running.folded(history.head()).await;
    let before = views.rows().await;
    for view in [View::TaskView, View::TaskHistory, View::TaskDashboard] {
        for of_stream in [Some(stream), None] {
            let outcome = rebuilt(&views, &of(view, tenant, of_stream)).await;
            assert_eq!(outcome.refused, [], "{view}");
        }
    }
    assert_eq!(views.rows().await, before);
    assert_eq!(running.health.status().parked, 3, "it waits as before");
    running.end().await;
}

#[tokio::test]
async fn what_was_asked_while_no_projector_ran_is_done_by_the_next() {
    let history = seeded(89, 300);
    let views = folded(&history).await;
    let (tenant, task) = task(&views).await;
    let stream = task_stream(task);
    execute(
        &views,
        &format!("update views.task_view_v4 set title = 'forged' where task_id = '{task}'"),
    )
    .await;
    let which = of(View::TaskView, &tenant, Some(&stream));
    let mut desk = views.pool.acquire().await.unwrap();
    let asked_at = rebuilds::ask(&mut desk, &which, "ada").await.unwrap();
    let outcome = rebuilds::outcome(&mut desk, &which, asked_at)
        .await
        .unwrap();
    assert_eq!((outcome.to_do, outcome.done), (1, 0));
    drop(desk);
    let running = Running::start(&views).await;
    rebuilt(&views, &which).await;
    running.end().await;
    assert_eq!(views.rows().await, replayed(&history).await);
}

/// What comes later is the feed's, and would be folded twice.
#[tokio::test]
async fn rows_are_folded_again_as_far_as_their_partition_is_and_no_further() {
    let mut history = seeded(91, 300);
    let views = folded(&history).await;
    let head = usize::try_from(history.head()).unwrap();
    let (tenant, task) = task(&views).await;
    let partition =
        foldline_events::partition_of(&Tenant::parse(&tenant).unwrap(), &task_stream(task));
    for label in ["later", "still later"] {
        let label = label.to_owned();
        history.task(
            &tenant,
            task,
            TaskEvent::LabelAdded(TaskLabelAdded { label }),
        );
    }
    let running = Running::start(&views).await;
    running.folded(i64::try_from(head).unwrap()).await;
    // The partition stands still, whoever wants to go on with it.
    let mut holding = views.owner.begin().await.unwrap();
    sqlx::query("select from views.checkpoints where partition = $1 for update")
        .bind(partition)
        .fetch_all(&mut *holding)
        .await
        .unwrap();
    let stream = task_stream(task);
    let which = of(View::TaskView, &tenant, Some(&stream));
    let mut desk = views.pool.acquire().await.unwrap();
    rebuilds::ask(&mut desk, &which, "ada").await.unwrap();
    drop(desk);
    let waits = "select count(*) from pg_stat_activity
         where datname = current_database() and wait_event_type = 'Lock' and query like '%for no key update%'";
    let waiting = async {
        while views.all::<i64>(waits).await[0] == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
    let log = open(views.options(), Service::Command).await;
    append(&log, &history.events[head..]).await;
    holding.rollback().await.unwrap();
    running.folded(history.head()).await;
    let done = "select count(*) from views.rebuilds where why_not is null and ended_at is not null";
    let ended = async {
        while views.all::<i64>(done).await[0] == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap();
    assert_eq!(running.health.status().parked, 0);
    assert_eq!(views.rows().await, replayed(&history).await);
    running.end().await;
}

#[tokio::test]
async fn who_lost_a_partition_replaces_nothing_until_it_is_taken_again() {
    let history = seeded(92, 300);
    let views = folded(&history).await;
    let (tenant, task) = task(&views).await;
    let stream = task_stream(task);
    let partition = foldline_events::partition_of(&Tenant::parse(&tenant).unwrap(), &stream);
    let running = Running::start(&views).await;
    running.folded(history.head()).await;
    // As whoever takes it over does.
    execute(
        &views,
        &format!("update views.checkpoints set fence = fence + 1 where partition = {partition}"),
    )
    .await;
    let which = of(View::TaskView, &tenant, Some(&stream));
    let (lost, outcome) = tokio::join!(
        running.until(|status| status
            .stalled
            .iter()
            .any(|stall| stall.partition == partition)),
        rebuilt(&views, &which)
    );
    assert_eq!(lost.stalled[0].position, None, "{:?}", lost.stalled);
    assert_eq!((outcome.done, outcome.refused.len()), (1, 0));
    assert_eq!(views.rows().await, replayed(&history).await);
    running.end().await;
}

/// A tenant and a task of it.
async fn task(views: &Views) -> (String, Uuid) {
    sqlx::query_as("select tenant, task_id from views.task_view_v4 order by task_id limit 1")
        .fetch_one(&views.owner)
        .await
        .unwrap()
}

#[tokio::test]
async fn no_reader_misses_a_row_while_it_is_replaced() {
    let history = seeded(90, 600);
    let views = folded(&history).await;
    let running = Running::start(&views).await;
    let seen = "
        select concat_ws(
            ' ',
            (select count(*) from views.task_view),
            (select count(*) from views.task_mark),
            (select count(*) from views.task_comment),
            (select sum(total) from views.project_dashboard),
            (select sum(total) from views.assignee_dashboard)
        )";
    let before = views.all::<String>(seen).await;
    let rebuilding = async {
        for view in [View::TaskView, View::TaskDashboard] {
            for tenant in ["acme", "zeta"] {
                rebuilt(&views, &of(view, tenant, None)).await;
            }
        }
    };
    tokio::pin!(rebuilding);
    let mut looks = 0;
    loop {
        tokio::select! {
            biased;
            () = &mut rebuilding => break,
            now = views.all::<String>(seen) => {
                assert_eq!(now, before, "after {looks} looks");
                looks += 1;
            }
        }
    }
    assert!(looks > 10, "{looks}");
    running.end().await;
}

#[tokio::test]
async fn the_query_role_neither_sees_nor_writes_what_is_asked() {
    let views = Views::new().await;
    let mut acme = views.query(Some("acme")).await;
    for statement in ["select from views.rebuilds", "delete from views.rebuilds"] {
        let refused = sqlx::query(AssertSqlSafe(statement.to_owned()))
            .execute(&mut acme)
            .await;
        assert!(refused.is_err(), "{statement}");
    }
}
