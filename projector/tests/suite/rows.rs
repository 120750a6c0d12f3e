//! What each event does to the rows.

use foldline_events::tasks::{
    ProjectArchived, ProjectDescribed, ProjectEvent, ProjectRenamed, ProjectRestored,
    ResumedStatus, ReviewStatus, TaskAiReviewRecorded, TaskAiReviewRequested, TaskAssigned,
    TaskBlocked, TaskCommentAdded, TaskCompletionSuggested, TaskDeleted, TaskDescribed,
    TaskDueDateSet, TaskDueDayPassed, TaskEstimated, TaskEvent, TaskKeySet, TaskLabelAdded,
    TaskLabelRemoved, TaskMetadataRemoved, TaskMetadataSet, TaskMoved, TaskPrioritySet,
    TaskRenamed, TaskRestored, TaskStarted, TaskStepAdded, TaskStepCompleted, TaskStepRemoved,
    TaskUnassigned, TaskUnblocked, label_mark, metadata_mark,
};
use foldline_events::{Hours, tasks::Priority};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    history::{History, cancelled, completed, project_created, reopened, task_created, time},
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
    let described = ProjectDescribed {
        description: Some("about it".to_owned()),
    };
    history.project("acme", PROJECT, ProjectEvent::Described(described));
    history.project("acme", PROJECT, ProjectEvent::Archived(ProjectArchived {}));
    let row = folded(&history, "views.project_view").await;
    assert_eq!(
        row,
        json!({
            "tenant": "acme", "project_id": PROJECT, "name": "after", "description": "about it",
            "archived": true, "created_at": at(1), "archived_at": at(4), "updated_at": at(4),
            "version": 4, "position": 4, "partition": history.partition_at(1),
        })
    );
}

#[tokio::test]
async fn a_restored_project_is_not_archived() {
    let mut history = History::default();
    history.project("acme", PROJECT, project_created("it"));
    history.project("acme", PROJECT, ProjectEvent::Archived(ProjectArchived {}));
    history.project("acme", PROJECT, ProjectEvent::Restored(ProjectRestored {}));
    let row = folded(&history, "views.project_view").await;
    assert_eq!(
        (&row["archived"], &row["archived_at"]),
        (&json!(false), &Value::Null)
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
            "tenant": "acme", "task_id": TASK, "project_id": PROJECT, "key": null, "title": "build it",
            "description": null, "priority": "medium", "priority_rank": 2, "status": "completed",
            "blocked_reason": null, "estimated_hundredths": 250, "actual_hundredths": 375, "due_date": null,
            "due_rank": "9999-12-31",
            "assignee_id": assignee_id, "labels": ["b", "a"], "metadata": {},
            "steps": [
                {"id": first, "content": "step 2", "completedAt": null},
                {"id": second, "content": "step 3", "completedAt": time(8)},
            ],
            "steps_total": 2, "steps_completed": 1, "comments_total": 0,
            "review_status": "none", "review_needed": false, "review_at": null, "review_summary": null,
            "created_by": "tester", "created_at": at(1), "started_at": at(5), "blocked_at": null,
            "completed_at": at(9), "cancelled_at": null, "deleted_at": null,
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

/// A task to which these things happened after its creation.
fn history_of(events: impl IntoIterator<Item = TaskEvent>) -> History {
    let mut history = History::default();
    history.task("acme", TASK, task_created(PROJECT, "build it", Some(250)));
    for event in events {
        history.task("acme", TASK, event);
    }
    history
}

/// The task's row after them; only these columns of it.
async fn after(events: impl IntoIterator<Item = TaskEvent>, columns: &[&str]) -> Value {
    let row = folded(&history_of(events), "views.task_view").await;
    let columns = columns.iter().map(|name| row[name].clone());
    columns.collect::<Vec<_>>().into()
}

#[tokio::test]
async fn what_describes_a_task_is_replaced() {
    let text = |text: &str| Some(text.to_owned());
    let day = chrono::NaiveDate::from_ymd_opt(2026, 3, 1);
    let other = Uuid::from_u128(9);
    let events = [
        TaskEvent::Renamed(TaskRenamed {
            title: "new".to_owned(),
        }),
        TaskEvent::Described(TaskDescribed {
            description: text("more"),
        }),
        TaskEvent::PrioritySet(TaskPrioritySet {
            priority: Priority::Critical,
        }),
        TaskEvent::Estimated(TaskEstimated {
            estimated_hours: Some(Hours::from_hundredths(1)),
        }),
        TaskEvent::DueDateSet(TaskDueDateSet { due_date: day }),
        TaskEvent::KeySet(TaskKeySet { key: text("A-1") }),
        TaskEvent::Moved(TaskMoved {
            from_project_id: PROJECT,
            project_id: other,
        }),
        TaskEvent::Assigned(TaskAssigned { assignee_id: other }),
        TaskEvent::Unassigned(TaskUnassigned {}),
    ];
    let columns = [
        "title",
        "description",
        "priority",
        "priority_rank",
        "estimated_hundredths",
        "due_date",
        "due_rank",
        "key",
        "project_id",
        "assignee_id",
    ];
    assert_eq!(
        after(events, &columns).await,
        json!([
            "new", "more", "critical", 4, 1, day, day, "A-1", other, null
        ])
    );
}

#[tokio::test]
async fn a_blocked_task_says_why_until_it_goes_on() {
    let columns = ["status", "blocked_reason", "blocked_at"];
    let blocked = || {
        TaskEvent::Blocked(TaskBlocked {
            reason: "no parts".to_owned(),
        })
    };
    assert_eq!(
        after([blocked()], &columns).await,
        json!(["blocked", "no parts", at(2)])
    );
    let unblocked = TaskEvent::Unblocked(TaskUnblocked {
        status: ResumedStatus::InProgress,
    });
    assert_eq!(
        after([blocked(), unblocked], &columns).await,
        json!(["in_progress", null, null])
    );
    assert_eq!(
        after([blocked(), cancelled()], &columns).await,
        json!(["cancelled", null, null])
    );
}

#[tokio::test]
async fn a_review_is_needed_from_its_request_to_a_verdict() {
    let columns = [
        "review_status",
        "review_needed",
        "review_at",
        "review_summary",
    ];
    let requested = || TaskEvent::AiReviewRequested(TaskAiReviewRequested {});
    let recorded = |status| {
        TaskEvent::AiReviewRecorded(TaskAiReviewRecorded {
            status,
            summary: Some("seen".to_owned()),
        })
    };
    assert_eq!(
        after([requested()], &columns).await,
        json!(["requested", true, at(2), null])
    );
    for (status, name, needed) in [
        (ReviewStatus::InProgress, "in_progress", true),
        (ReviewStatus::Failed, "failed", true),
        (ReviewStatus::Approved, "approved", false),
        (ReviewStatus::ChangesWanted, "changes_wanted", false),
    ] {
        assert_eq!(
            after([requested(), recorded(status)], &columns).await,
            json!([name, needed, at(3), "seen"])
        );
    }
}

#[tokio::test]
async fn a_deleted_task_keeps_its_row_and_can_come_back() {
    let deleted = || TaskEvent::Deleted(TaskDeleted {});
    assert_eq!(after([deleted()], &["deleted_at"]).await, json!([at(2)]));
    let restored = TaskEvent::Restored(TaskRestored {});
    assert_eq!(
        after([deleted(), restored], &["deleted_at"]).await,
        json!([null])
    );
}

#[tokio::test]
async fn a_removed_step_is_gone() {
    let added = |n| {
        TaskEvent::StepAdded(TaskStepAdded {
            step_id: Uuid::from_u128(n),
            content: "a step".to_owned(),
        })
    };
    let removed = TaskEvent::StepRemoved(TaskStepRemoved {
        step_id: Uuid::from_u128(1),
    });
    let columns = ["steps", "steps_total"];
    assert_eq!(
        after([added(1), added(2), removed], &columns).await,
        json!([[{"id": Uuid::from_u128(2), "content": "a step", "completedAt": null}], 1])
    );
}

#[tokio::test]
async fn what_reactions_say_of_a_task_is_one_more_version_of_it_and_changes_not_how_it_stands() {
    let due_date = chrono::NaiveDate::from_ymd_opt(2026, 3, 1);
    let said = [
        TaskEvent::DueDateSet(TaskDueDateSet { due_date }),
        TaskEvent::DueDayPassed(TaskDueDayPassed {
            due_date: due_date.unwrap(),
        }),
        TaskEvent::CompletionSuggested(TaskCompletionSuggested {}),
    ];
    let columns = ["status", "completed_at", "due_date", "version"];
    assert_eq!(
        after(said, &columns).await,
        json!(["open", null, "2026-03-01", 4])
    );
}

#[tokio::test]
async fn a_comment_is_kept_with_its_author_and_counted() {
    let comment_id = Uuid::from_u128(5);
    let history = history_of([TaskEvent::CommentAdded(TaskCommentAdded {
        comment_id,
        text: "so it is".to_owned(),
    })]);
    assert_eq!(
        folded(&history, "views.task_comment").await,
        json!({
            "tenant": "acme", "task_id": TASK, "version": 2, "comment_id": comment_id, "text": "so it is",
            "author": "tester", "created_at": at(2), "position": 2, "partition": history.partition_at(1),
        })
    );
    let row = folded(&history, "views.task_view").await;
    assert_eq!(row["comments_total"], 1);
}

#[tokio::test]
async fn a_task_is_marked_with_its_labels_and_facts_and_with_no_former_ones() {
    let label = |text: &str| text.to_owned();
    let fact = |value: i64| {
        TaskEvent::MetadataSet(TaskMetadataSet {
            name: "crew".to_owned(),
            value: value.into(),
        })
    };
    let history = history_of([
        TaskEvent::LabelAdded(TaskLabelAdded { label: label("a") }),
        TaskEvent::LabelAdded(TaskLabelAdded { label: label("b") }),
        TaskEvent::LabelRemoved(TaskLabelRemoved { label: label("a") }),
        fact(2),
        fact(3),
        TaskEvent::MetadataSet(TaskMetadataSet {
            name: "gone".to_owned(),
            value: true.into(),
        }),
        TaskEvent::MetadataRemoved(TaskMetadataRemoved {
            name: "gone".to_owned(),
        }),
    ]);
    let mut expected = [label_mark("b"), metadata_mark("crew", &json!(3))];
    expected.sort_unstable();
    // All at once, and each event in a delivery of its own.
    for step in [history.head(), 1] {
        let views = Views::new().await;
        let mut writer = views.writer().await;
        for before in (0..history.head()).step_by(usize::try_from(step).unwrap()) {
            let slices = history.slices(before, (before + step).min(history.head()));
            apply(&mut writer, slices).await;
        }
        let marks: Vec<Uuid> = views
            .all("select mark from views.task_mark order by mark")
            .await;
        assert_eq!(marks, expected);
    }
}

#[tokio::test]
async fn the_history_holds_every_event_of_a_task_as_it_was_recorded() {
    let history = history_of([TaskEvent::Started(TaskStarted {}), completed(None)]);
    let views = Views::new().await;
    apply(&mut views.writer().await, history.whole()).await;
    let events: Vec<String> = views
        .all("select version || ' ' || event_type || ' ' || payload from views.task_history order by version")
        .await;
    let recorded = history
        .events
        .iter()
        .map(|event| format!("{} {} {}", event.version, event.event_type, event.payload));
    assert_eq!(events, recorded.collect::<Vec<_>>());
}

/// As `to_jsonb` writes a time in UTC.
fn at(position: i64) -> String {
    time(position).format("%Y-%m-%dT%H:%M:%S+00:00").to_string()
}
