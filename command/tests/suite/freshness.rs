//! Two handlers over one log: what one has in its cache, the other has long changed.

use foldline_command::{Failure, Outcome};

use crate::service::{database, done, handler, project, task, task_data};
use uuid::Uuid;

fn code(failure: &Failure) -> &'static str {
    let Failure::Rejected(rejection) = failure else {
        panic!("{failure}")
    };
    rejection.code()
}

#[tokio::test]
async fn a_rejection_is_only_said_on_fresh_state() {
    let database = database().await;
    let (mine, other) = (handler(&database).await, handler(&database).await);
    let task = task(&mine).await;
    done(&other, task, "tasks.complete_task", "{}")
        .await
        .unwrap();
    // In this cache the task is still open, so that reopening it looks wrong.
    let reopened = done(&mine, task, "tasks.reopen_task", r#"{"reason":"r"}"#)
        .await
        .unwrap();
    assert_eq!(reopened.version, 3);
}

#[tokio::test]
async fn that_nothing_is_to_be_done_is_only_said_on_fresh_state() {
    let database = database().await;
    let (mine, other) = (handler(&database).await, handler(&database).await);
    let project = project(&mine).await;
    done(
        &other,
        project,
        "tasks.rename_project",
        r#"{"name":"Mars"}"#,
    )
    .await
    .unwrap();
    let back = done(&mine, project, "tasks.rename_project", r#"{"name":"Moon"}"#)
        .await
        .unwrap();
    assert_eq!((back.outcome, back.version), (Outcome::Recorded, 3));
}

#[tokio::test]
async fn a_decision_on_stale_state_is_made_again() {
    let database = database().await;
    let (mine, other) = (handler(&database).await, handler(&database).await);
    let task = task(&mine).await;
    done(&other, task, "tasks.cancel_task", r#"{"reason":"r"}"#)
        .await
        .unwrap();
    let refused = done(&mine, task, "tasks.start_task", "{}")
        .await
        .unwrap_err();
    assert_eq!(code(&refused), "TASK_CANCELLED");
}

#[tokio::test]
async fn a_project_archived_elsewhere_takes_no_tasks_here() {
    let database = database().await;
    let (mine, other) = (handler(&database).await, handler(&database).await);
    let project = project(&mine).await;
    done(&other, project, "tasks.archive_project", "{}")
        .await
        .unwrap();
    let refused = done(
        &mine,
        Uuid::now_v7(),
        "tasks.create_task",
        &task_data(project),
    )
    .await
    .unwrap_err();
    assert_eq!(code(&refused), "PROJECT_ARCHIVED");
}

#[tokio::test]
async fn a_project_that_was_unknown_is_found_once_it_exists() {
    let database = database().await;
    let (mine, other) = (handler(&database).await, handler(&database).await);
    let id = Uuid::now_v7();
    let refused = done(&mine, Uuid::now_v7(), "tasks.create_task", &task_data(id)).await;
    assert_eq!(code(&refused.unwrap_err()), "UNKNOWN_PROJECT");
    done(&other, id, "tasks.create_project", r#"{"name":"Moon"}"#)
        .await
        .unwrap();
    done(&mine, Uuid::now_v7(), "tasks.create_task", &task_data(id))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_handler_that_starts_cold_decides_like_one_that_saw_everything() {
    let database = database().await;
    let task = task(&handler(&database).await).await;
    let cold = handler(&database).await;
    assert_eq!(
        done(&cold, task, "tasks.start_task", "{}")
            .await
            .unwrap()
            .version,
        2
    );
    let colder = handler(&database).await;
    let again = done(&colder, task, "tasks.start_task", "{}").await.unwrap();
    assert_eq!((again.outcome, again.version), (Outcome::Unchanged, 2));
}
