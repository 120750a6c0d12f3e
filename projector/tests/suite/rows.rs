//! What each event does to the rows.

use foldline_events::tasks::{
    ProjectArchived, ProjectEvent, ProjectRenamed, TaskAssigned, TaskEvent, TaskLabelAdded,
    TaskStarted, TaskStepAdded, TaskStepCompleted,
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    history::{History, completed, project_created, reopened, task_created, time},
    support::{Views, apply},
};

const PROJECT: Uuid = Uuid::from_u128(0x1000);
const TASK: Uuid = Uuid::from_u128(0x7000);

async fn folded(history: &History, row: &str) -> Value {
    let views = Views::new().await;
    apply(&mut views.writer().await, history.whole()).await;
    views
        .all(&format!("select to_jsonb(r) from {row} r"))
        .await
        .remove(0)
}

#[tokio::test]
async fn a_project_row_follows_its_events() {
    let mut history = History::default();
    history.project("acme", PROJECT, project_created("before"));
    let renamed = ProjectRenamed {
        name: "after".to_owned(),
    };
    history.project("acme", PROJECT, ProjectEvent::Renamed(renamed));
    history.project("acme", PROJECT, ProjectEvent::Archived(ProjectArchived {}));
    let row = folded(&history, "views.project_view").await;
    assert_eq!(
        row,
        json!({
            "tenant": "acme", "project_id": PROJECT, "name": "after", "archived": true,
            "created_at": at(1), "archived_at": at(3), "updated_at": at(3),
            "version": 3, "position": 3, "partition": history.partition_at(1),
        })
    );
}

#[tokio::test]
async fn a_task_row_follows_its_events() {
    let [assignee_id, first, second] = [1, 2, 3].map(Uuid::from_u128);
    let mut history = History::default();
    history.task("acme", TASK, task_created(PROJECT, "build it", Some(250)));
    history.task(
        "acme",
        TASK,
        TaskEvent::Assigned(TaskAssigned { assignee_id }),
    );
    for label in ["b", "a"] {
        let label = label.to_owned();
        history.task(
            "acme",
            TASK,
            TaskEvent::LabelAdded(TaskLabelAdded { label }),
        );
    }
    history.task("acme", TASK, TaskEvent::Started(TaskStarted {}));
    for step_id in [first, second] {
        let content = format!("step {}", step_id.as_u128());
        history.task(
            "acme",
            TASK,
            TaskEvent::StepAdded(TaskStepAdded { step_id, content }),
        );
    }
    let done = TaskStepCompleted { step_id: second };
    history.task("acme", TASK, TaskEvent::StepCompleted(done));
    history.task("acme", TASK, completed(Some(375)));
    let row = folded(&history, "views.task_view").await;
    assert_eq!(
        row,
        json!({
            "tenant": "acme", "task_id": TASK, "project_id": PROJECT, "title": "build it", "priority": "medium",
            "status": "completed", "estimated_hundredths": 250, "actual_hundredths": 375,
            "assignee_id": assignee_id, "labels": ["b", "a"], "metadata": {},
            "steps": [
                {"id": first, "content": "step 2", "completedAt": null},
                {"id": second, "content": "step 3", "completedAt": time(8)},
            ],
            "steps_total": 2, "steps_completed": 1,
            "created_at": at(1), "started_at": at(5), "completed_at": at(9), "cancelled_at": null,
            "updated_at": at(9), "version": 9, "position": 9, "partition": history.partition_at(1),
        })
    );
}

#[tokio::test]
async fn a_reopened_task_is_open_and_has_no_completion() {
    let mut history = History::default();
    history.task("acme", TASK, task_created(PROJECT, "build it", Some(250)));
    history.task("acme", TASK, completed(Some(375)));
    history.task("acme", TASK, reopened());
    let row = folded(&history, "views.task_view").await;
    assert_eq!(row["status"], "open");
    assert_eq!(row["actual_hundredths"], Value::Null);
    assert_eq!(row["completed_at"], Value::Null);
}

/// As `to_jsonb` writes a time in UTC.
fn at(position: i64) -> String {
    time(position).format("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}
