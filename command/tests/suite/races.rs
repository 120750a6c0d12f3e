use std::time::Duration;

use foldline_events::tasks::project_tag;
use futures_util::future::join_all;
use uuid::Uuid;

use crate::service::{database, done, handler, log, project, recorded, task, task_data};

/// Rounds of one archival against many creations, a bit later each, so that it falls among them somewhere.
const ROUNDS: u64 = 12;
const TASKS_PER_ROUND: usize = 40;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_is_created_after_its_project_was_archived() {
    let database = database().await;
    let (mine, other) = (handler(&database).await, handler(&database).await);
    let mut archived_in_the_middle = 0;
    for round in 0..ROUNDS {
        let project = project(&mine).await;
        let data = task_data(project);
        let creations = join_all((0..TASKS_PER_ROUND).map(|n| {
            let handler = if n % 2 == 0 { &mine } else { &other };
            let data = &data;
            async move {
                // Not all at once, or one statement would write them all.
                tokio::time::sleep(Duration::from_micros(300 * n as u64)).await;
                done(handler, Uuid::now_v7(), "tasks.create_task", data)
                    .await
                    .is_ok()
            }
        }));
        let archival = async {
            tokio::time::sleep(Duration::from_millis(round)).await;
            done(&other, project, "tasks.archive_project", "{}")
                .await
                .unwrap()
        };
        let (created, archived) = tokio::join!(creations, archival);
        let created = created.iter().filter(|created| **created).count();
        archived_in_the_middle += usize::from((1..TASKS_PER_ROUND).contains(&created));

        let events = recorded(&log(&database).await).await;
        let tasks: Vec<i64> = events
            .iter()
            .filter(|event| event.event_type == "tasks.TaskCreated")
            .filter(|event| event.tags.contains(&project_tag(project)))
            .map(|event| event.position)
            .collect();
        assert_eq!(tasks.len(), created);
        let late = tasks
            .iter()
            .filter(|position| **position > archived.cursor.position)
            .count();
        assert_eq!(late, 0, "round {round}");
    }
    assert!(
        archived_in_the_middle > 0,
        "no round raced, so nothing was shown"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_on_one_stream_all_get_their_turn() {
    let database = database().await;
    let (mine, other) = (handler(&database).await, handler(&database).await);
    let task = task(&mine).await;
    let labels: Vec<String> = (0..24).map(|n| format!(r#"{{"label":"{n}"}}"#)).collect();
    let answers = join_all(labels.iter().enumerate().map(|(n, label)| {
        let handler = if n % 2 == 0 { &mine } else { &other };
        done(handler, task, "tasks.add_label", label)
    }))
    .await;
    let mut versions: Vec<i64> = answers
        .into_iter()
        .map(|answer| answer.unwrap().version)
        .collect();
    versions.sort_unstable();
    assert_eq!(versions, (2..26).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twins_of_one_command_are_recorded_once() {
    let database = database().await;
    let (mine, other) = (handler(&database).await, handler(&database).await);
    for _ in 0..20 {
        let task = task(&mine).await;
        let request = crate::service::request(task, "tasks.start_task", "{}");
        let caller = crate::service::caller(foldline_gate::Role::Member);
        let (one, twin) = tokio::join!(
            mine.handle(&caller, request.clone()),
            other.handle(&caller, request.clone())
        );
        let (one, twin) = (one.unwrap(), twin.unwrap());
        assert_eq!((one.version, one.cursor), (twin.version, twin.cursor));
    }
}
