//! Dashboards against sums made in plain Rust.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use foldline_events::{
    Hours,
    tasks::{TaskCompleted, TaskDueDateSet, TaskEvent},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    story::{Plain, Story, day, id, instant},
    support::fixture,
    ws::Socket,
};

const FIGURES: &str = "
    total completed byStatus { open inProgress blocked completed cancelled } byPriority { low medium high critical }
    estimatedHours actualHours averageEfficiency overdue(at: $at)
    days(from: $from, to: $to) { day created completed } dueDays(from: $from, to: $to) { day tasks }";

fn hours(of: impl Iterator<Item = Option<Hours>>) -> f64 {
    let hundredths = of.flatten().map(Hours::hundredths).sum();
    Hours::from_hundredths(hundredths).as_number()
}

/// Of completed tasks with actual hours and an estimate above 0; each ratio in millionths, rounded half up.
fn efficiency(tasks: &[Plain]) -> Option<f64> {
    let ratio = |task: &Plain| {
        let (actual, estimate) = (task.actual?.hundredths(), task.estimate?.hundredths());
        (estimate > 0).then(|| (actual * 2_000_000 + estimate) / (2 * estimate))
    };
    let ratios: Vec<i64> = tasks.iter().filter_map(ratio).collect();
    #[expect(clippy::cast_precision_loss, reason = "small numbers")]
    let mean = || ratios.iter().sum::<i64>() as f64 / ratios.len() as f64 / 1e6;
    (!ratios.is_empty()).then(mean)
}

fn figures(tasks: &[Plain], at: DateTime<Utc>, days: &[NaiveDate]) -> Value {
    let count = |holds: &dyn Fn(&Plain) -> bool| tasks.iter().filter(|task| holds(task)).count();
    let status = |status: &'static str| count(&|task| task.status == status);
    let priority = |rank: i32| count(&|task| task.priority as i32 == rank);
    let is_open = |task: &Plain| !["COMPLETED", "CANCELLED"].contains(&task.status);
    let on =
        |at: Option<DateTime<Utc>>, day: NaiveDate| at.is_some_and(|at| at.date_naive() == day);
    let day = |day: &NaiveDate| {
        json!({"day": day, "created": count(&|task| on(Some(task.created_at), *day)),
               "completed": count(&|task| on(task.completed_at, *day))})
    };
    let due_day = |day: &NaiveDate| json!({"day": day, "tasks": count(&|task| is_open(task) && task.due == Some(*day))});
    json!({
        "total": tasks.len(), "completed": status("COMPLETED"),
        "byStatus": {"open": status("OPEN"), "inProgress": status("IN_PROGRESS"), "blocked": status("BLOCKED"),
                     "completed": status("COMPLETED"), "cancelled": status("CANCELLED")},
        "byPriority": {"low": priority(0), "medium": priority(1), "high": priority(2), "critical": priority(3)},
        "estimatedHours": hours(tasks.iter().map(|task| task.estimate)),
        "actualHours": hours(tasks.iter().map(|task| task.actual)),
        "averageEfficiency": efficiency(tasks),
        "overdue": count(&|task| task.is_overdue(at)),
        "days": days.iter().map(day).collect::<Vec<_>>(),
        "dueDays": days.iter().map(due_day).collect::<Vec<_>>(),
    })
}

#[tokio::test]
async fn every_figure_equals_a_plain_recomputation_at_any_instant() {
    let fixture = fixture().await;
    let mut story = Story::seeded(&[("acme", 200), ("globex", 50)]);
    story.fold(&fixture).await;
    let tasks: Vec<Plain> = story
        .of("acme")
        .into_iter()
        .filter(|task| !task.deleted)
        .collect();
    let days: Vec<NaiveDate> = (0..9)
        .map(|n| day("2026-02-24") + TimeDelta::days(n))
        .collect();
    let query = format!(
        "query($owner: ID!, $person: UUID!, $at: DateTime, $from: Date!, $to: Date!) {{
             project: projectDashboard(projectId: $owner) {{ {FIGURES} }}
             assignee: assigneeDashboard(assigneeId: $person) {{ {FIGURES} }} }}"
    );
    // A task is overdue from the midnight on that ends its day.
    for at in [
        "2026-02-26T23:59:59.999999Z",
        "2026-02-27T00:00:00Z",
        "2026-03-01T02:00:00+02:00",
        "2030-01-01T00:00:00Z",
    ] {
        let at = instant(at);
        for (project, person) in [(1, 100), (2, 101), (5, 102)] {
            let variables = json!({"owner": id(project), "person": id(person), "at": at,
                                   "from": days.first(), "to": days.last()});
            let data = fixture.data(&query, variables).await;
            let of = |holds: &dyn Fn(&Plain) -> bool| -> Vec<Plain> {
                tasks.iter().filter(|task| holds(task)).cloned().collect()
            };
            let of_project = of(&|task| task.project == id(project));
            let of_person = of(&|task| task.assignee == Some(id(person)));
            assert_eq!(
                data["project"],
                figures(&of_project, at, &days),
                "{project} at {at}"
            );
            assert_eq!(
                data["assignee"],
                figures(&of_person, at, &days),
                "{person} at {at}"
            );
        }
    }
}

#[tokio::test]
async fn a_project_without_tasks_and_an_assignee_without_tasks_have_zeros_and_no_project_is_null() {
    let fixture = fixture().await;
    fixture.project("acme", id(1), "empty", 10, 7).await;
    let query = "query($p: ID!, $a: UUID!, $none: ID!) {
        project: projectDashboard(projectId: $p) { total byPriority { high } averageEfficiency overdue position }
        assignee: assigneeDashboard(assigneeId: $a) { assigneeId total averageEfficiency overdue position
            days(from: \"2026-01-01\", to: \"2026-01-02\") { day created } }
        none: projectDashboard(projectId: $none) { total }
    }";
    let data = fixture
        .data(query, json!({"p": id(1), "a": id(2), "none": id(3)}))
        .await;
    assert_eq!(
        data,
        json!({
            "project": {"total": 0, "byPriority": {"high": 0}, "averageEfficiency": null, "overdue": 0, "position": "7"},
            "assignee": {"assigneeId": id(2), "total": 0, "averageEfficiency": null, "overdue": 0, "position": "0",
                         "days": [{"day": "2026-01-01", "created": 0}, {"day": "2026-01-02", "created": 0}]},
            "none": null,
        })
    );
}

#[tokio::test]
async fn a_series_has_from_one_to_366_days() {
    let fixture = fixture().await;
    let query = "query($from: Date!, $to: Date!) { assigneeDashboard(assigneeId: \"00000000-0000-0000-0000-000000000001\") {
        days(from: $from, to: $to) { day } } }";
    let year = json!({"from": "2024-01-01", "to": "2024-12-31"});
    let days = fixture.data(query, year).await["assigneeDashboard"]["days"].clone();
    assert_eq!(days.as_array().unwrap().len(), 366);
    for (from, to) in [
        ("2024-01-01", "2025-01-01"),
        ("2024-01-02", "2024-01-01"),
        ("0001-01-01", "9999-12-31"),
    ] {
        let code = fixture.code(query, json!({"from": from, "to": to})).await;
        assert_eq!(code, "BAD_USER_INPUT", "{from} {to}");
    }
}

#[tokio::test]
async fn a_dashboard_is_sent_as_it_is_and_then_each_time_any_of_it_changed() {
    let fixture = fixture().await;
    let mut story = Story::seeded(&[("acme", 100)]);
    story.fold(&fixture).await;
    let mut socket = Socket::ready(&fixture).await;
    let query = "subscription($id: ID!) { projectDashboard(projectId: $id) {
        projectId completed dueDays(from: \"2027-05-05\", to: \"2027-05-05\") { tasks }
    } }";
    socket.subscribe("a", query, json!({"id": id(1)})).await;
    let sent = async |socket: &mut Socket| {
        let sent = socket.data().await["projectDashboard"].clone();
        (
            sent["completed"].as_i64().unwrap(),
            sent["dueDays"][0]["tasks"].as_i64().unwrap(),
        )
    };
    let (completed, due) = sent(&mut socket).await;
    assert_eq!(due, 0);

    let open = |story: &Story, project: u128| -> Uuid {
        let tasks = story.of("acme").into_iter();
        let mut open = tasks
            .filter(|task| task.project == id(project) && task.status == "OPEN" && !task.deleted);
        open.next().unwrap().id
    };
    // Nothing but a day changes, and no sum.
    let task = open(&story, 1);
    let due_date = Some(day("2027-05-05"));
    story.task(
        "acme",
        task,
        TaskEvent::DueDateSet(TaskDueDateSet { due_date }),
    );
    story.fold(&fixture).await;
    assert_eq!(sent(&mut socket).await, (completed, 1));

    let done = || TaskEvent::Completed(TaskCompleted { actual_hours: None });
    story.task("acme", task, done());
    story.fold(&fixture).await;
    assert_eq!(sent(&mut socket).await, (completed + 1, 0));

    // Another project's.
    let other = open(&story, 2);
    story.task("acme", other, done());
    story.fold(&fixture).await;
    socket.is_silent().await;
}

#[tokio::test]
async fn a_task_is_overdue_from_the_midnight_on_that_ends_its_day() {
    let fixture = fixture().await;
    let mut story = Story::seeded(&[("acme", 80)]);
    story.fold(&fixture).await;
    let query = "query($at: DateTime) { tasks(first: 100) { nodes { taskId overdue(at: $at) } } }";
    for at in ["2026-02-27T23:59:59Z", "2026-02-28T00:00:00Z"] {
        let tasks = fixture.data(query, json!({"at": at})).await["tasks"]["nodes"].clone();
        let overdue: BTreeMap<Uuid, bool> = (tasks.as_array().unwrap().iter())
            .map(|task| {
                (
                    task["taskId"].as_str().unwrap().parse().unwrap(),
                    task["overdue"].as_bool().unwrap(),
                )
            })
            .collect();
        for task in story.of("acme").iter().filter(|task| !task.deleted) {
            assert_eq!(overdue[&task.id], task.is_overdue(instant(at)), "{task:?}");
        }
    }
    // Without an instant, now.
    let now =
        "{ tasks(filter: {status: [OPEN], dueBefore: \"2026-03-02\"}) { nodes { overdue } } }";
    let tasks = fixture.data(now, json!({})).await["tasks"]["nodes"].clone();
    assert!(
        tasks
            .as_array()
            .unwrap()
            .iter()
            .all(|task| task["overdue"] == true)
    );
}
