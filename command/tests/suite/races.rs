use std::time::Duration;

use foldline_command::{Failure, Handler};
use foldline_events::{Recorded, tasks::project_tag};
use futures_util::future::join_all;
use uuid::Uuid;

use crate::service::{database, done, handler, log, project, recorded, task, task_data};

/// Rounds of one archival against many tasks that come, a bit later each, so that it falls among them somewhere.
const ROUNDS: u64 = 12;
const TASKS_PER_ROUND: usize = 40;

/// Tasks that belong to another project so far.
async fn tasks_elsewhere(handler: &Handler) -> Vec<Uuid> {
    let data = task_data(project(handler).await);
    let tasks = (0..TASKS_PER_ROUND).map(async |_| {
        let task = Uuid::now_v7();
        done(handler, task, "tasks.create_task", &data)
            .await
            .unwrap();
        task
    });
    join_all(tasks).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_task_comes_into_a_project_after_it_was_archived() {
    let database = database().await;
    let (mine, other) = (handler(&database).await, handler(&database).await);
    let mut archived_in_the_middle = 0;
    let mut moved_in_time = 0;
    for round in 0..ROUNDS {
        let project = project(&mine).await;
        let elsewhere = tasks_elsewhere(&mine).await;
        let (new, here) = (
            task_data(project),
            format!(r#"{{"projectId":"{project}"}}"#),
        );
        let comings = join_all(elsewhere.iter().enumerate().map(|(n, task)| {
            let handler = if n % 2 == 0 { &mine } else { &other };
            let (task, command_type, data) = match n % 4 {
                0 | 1 => (Uuid::now_v7(), "tasks.create_task", &new),
                _ => (*task, "tasks.move_task", &here),
            };
            async move {
                // Not all at once, or one statement would write them all.
                tokio::time::sleep(Duration::from_micros(300 * n as u64)).await;
                match done(handler, task, command_type, data).await {
                    Ok(_) => true,
                    Err(Failure::Rejected(rejection)) => {
                        assert_eq!(rejection.code(), "PROJECT_ARCHIVED");
                        false
                    }
                    Err(failure) => panic!("{failure}"),
                }
            }
        }));
        let archival = async {
            tokio::time::sleep(Duration::from_millis(round)).await;
            done(&other, project, "tasks.archive_project", "{}")
                .await
                .unwrap()
        };
        let (came, archived) = tokio::join!(comings, archival);
        let came = came.iter().filter(|came| **came).count();
        archived_in_the_middle += usize::from((1..TASKS_PER_ROUND).contains(&came));

        let events = recorded(&log(&database).await).await;
        let of_tasks: Vec<&Recorded> = (events.iter())
            .filter(|event| event.stream.starts_with("task-"))
            .filter(|event| event.tags.contains(&project_tag(project)))
            .collect();
        assert_eq!(of_tasks.len(), came);
        moved_in_time += (of_tasks.iter())
            .filter(|event| event.event_type == "tasks.TaskMoved")
            .count();
        let late = (of_tasks.iter())
            .filter(|event| event.position > archived.cursor.position)
            .count();
        assert_eq!(late, 0, "round {round}");
    }
    assert!(
        archived_in_the_middle > 0 && moved_in_time > 0,
        "no round raced, so nothing was shown"
    );
}

#[tokio::test]
async fn a_task_may_leave_an_archived_project_and_come_back_once_it_is_restored() {
    let database = database().await;
    let (mine, other) = (handler(&database).await, handler(&database).await);
    let (from, to, task) = (project(&mine).await, project(&mine).await, Uuid::now_v7());
    done(&mine, task, "tasks.create_task", &task_data(from))
        .await
        .unwrap();
    let move_to = async |handler, project| {
        let data = format!(r#"{{"projectId":"{project}"}}"#);
        done(handler, task, "tasks.move_task", &data).await
    };
    done(&other, from, "tasks.archive_project", "{}")
        .await
        .unwrap();
    move_to(&mine, to).await.unwrap();
    let Err(Failure::Rejected(refused)) = move_to(&mine, from).await else {
        panic!("it came back")
    };
    assert_eq!(refused.code(), "PROJECT_ARCHIVED");
    done(&other, from, "tasks.restore_project", "{}")
        .await
        .unwrap();
    assert_eq!(move_to(&mine, from).await.unwrap().version, 3);
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commands_on_one_stream_that_come_at_once_are_all_done() {
    let database = database().await;
    let handler = handler(&database).await;
    let project = project(&handler).await;
    // More than a command is decided again; few enough to have their turns in time on a slow machine.
    let names: Vec<String> = (0..100)
        .map(|n| format!(r#"{{"name":"No. {n}"}}"#))
        .collect();
    let renamings = names
        .iter()
        .map(|data| done(&handler, project, "tasks.rename_project", data));
    for renamed in join_all(renamings).await {
        renamed.unwrap();
    }
}
